"""The composition root: the only place that chooses implementations and opens ports."""

from __future__ import annotations

import errno
import gc
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import FrameType
from typing import IO, TYPE_CHECKING

import structlog

from service import coefficients, metrics
from service.decoder import Decoder
from service.dicom import listener
from service.dicom.commitment import Commitments
from service.dicom.description import Descriptions
from service.dicom.find import Finder
from service.dicom.ingest import Ingest
from service.errors import OutOfResourcesError, UsageError
from service.farewell import END_S, LINGER_S, end_within
from service.jobs.engine import Engine
from service.jobs.engine import Role as Work
from service.jobs.pipeline import Models, default_models
from service.settings import Settings
from service.store.index import Index
from service.store.objects import ObjectStore, open_objects

if TYPE_CHECKING:
    from service.web import Server

LOOK_S = 1.0  # how often it is looked whether the listener processes live
COUNTS_TOLD_EVERY_S = 1.0
log = structlog.get_logger(__name__)


def clock() -> datetime:
    """The present moment, timezone-aware UTC."""
    return datetime.now(UTC)


def open_index(settings: Settings) -> Index:
    """The index at its current schema; the data folder is made when it is missing.

    Raises
    ------
    UsageError : the data folder cannot be made or written to.
    """
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UsageError(
            f"expected a data folder at {folder}, found: {error.strerror}; set CARINA_DATA_DIR or "
            "--data-dir to one that this user may write"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(
            f"expected a data folder that may be written, found that {folder} may not: change its "
            "owner, or set CARINA_DATA_DIR or --data-dir to another"
        )
    index = Index(settings.index_url)
    index.migrate()
    return index


def configure_logging(settings: Settings) -> None:
    """JSON lines on standard error; the libraries' own chatter only from WARNING on."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # the one of that moment
    )
    logging.basicConfig(level=max(level, logging.WARNING), stream=sys.stderr)
    # pydicom's warnings quote the offending value, which may be a patient's name.
    logging.getLogger("pydicom").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"pydicom\.")
    # pynetdicom's errors quote what a peer sent, line breaks and control characters included.
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)


@dataclass(slots=True)
class Parts:
    """What a process works with; `services` is what its edges are handed."""

    settings: Settings
    index: Index
    objects: ObjectStore
    engine: Engine
    ingest: Ingest
    decoder: Decoder

    def finder(self) -> Finder:
        """What answers queries on the DICOM port."""
        descriptions = Descriptions(self.index, self.objects, self.decoder)
        return Finder(self.index, descriptions, clock, self.settings.ae_title)

    def commitments(self) -> Commitments:
        """What takes storage commitments in."""
        return Commitments(self.index, self.settings.nodes, self.engine.commitment_asked, clock)

    def open_dicom(self) -> listener.Listener:
        """Open the DICOM port in this process."""
        return listener.serve(self.settings, self.ingest, self.finder(), self.commitments())

    def close(self) -> None:
        """Let running studies finish, then let go of the stores."""
        self.engine.stop()
        self.decoder.close()
        self.index.close()


def build(settings: Settings, role: Work) -> Parts:
    """Open the stores and the jobs for one role of a process; nothing listens yet.

    Raises
    ------
    UsageError : a setting names a folder or a model file that cannot be used.
    """
    if role != "enqueue":
        coefficients.check(settings)
    index = open_index(settings)
    objects = open_objects(
        settings.object_store_url, settings.object_store_endpoint, settings.data_dir / "objects"
    )
    decoder = Decoder(settings.decoder_memory_mb, settings.decoder_timeout_s)
    models = None if role == "enqueue" else models_for(decoder)
    engine = Engine(settings, index, objects, models, role=role, decoding=decoder)
    ingest = Ingest(
        index,
        objects,
        engine.study_arrived,
        clock,
        max_object_mb=settings.max_object_mb,
        min_free_disk_mb=settings.min_free_disk_mb,
    )
    return Parts(settings, index, objects, engine, ingest, decoder)


def models_for(decoder: Decoder) -> Models:
    """The models that ship with Carina, behind a decoder that bounds what a film may cost."""
    return replace(default_models(), read=decoder.read)


def web_server(parts: Parts) -> Server:
    """Pages, API and DICOMweb over `parts`, not serving yet."""
    from service.web import Server, application  # noqa: PLC0415  # a listener starts without

    return Server(application(parts, models_for(parts.decoder), clock), parts.settings)


def _let_lie() -> None:
    """Hide what was loaded from the collector: its walks held every request up for 0.2 s."""
    gc.collect()
    gc.freeze()


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Uvicorn raises SIGTERM again when it is done: leave by way of what is still to be closed."""
    raise SystemExit(0)


class Running:
    """A started service: wait for it, stop it."""

    def __init__(self, settings: Settings) -> None:
        _claim_port("the pages", settings.http_host, settings.http_port, "CARINA_HTTP_PORT")
        _claim_port("DICOM", settings.dicom_host, settings.dicom_port, "CARINA_DICOM_PORT")
        self._parts = build(settings, "all")
        try:
            self._server = web_server(self._parts)
            self._parts.engine.start()
            self._ports = Ports(self._parts)
        except BaseException:
            self._parts.close()  # else the jobs' threads keep the process alive
            raise

    def wait(self) -> None:
        """Serve until SIGINT or SIGTERM, then end in order: ports, pages, jobs, stores."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _leave)
        _let_lie()
        try:
            self._server.run()
        finally:
            end_within(END_S)
            try:
                self._ports.close()
            finally:
                self._parts.close()
                end_within(LINGER_S)

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Come back when the pages answer.

        Raises
        ------
        OutOfResourcesError : they do not within `timeout_s`.
        """
        end = time.monotonic() + timeout_s
        while not self._server.started:
            if time.monotonic() > end:
                raise OutOfResourcesError(f"expected pages within {timeout_s:.0f} s, found none")
            time.sleep(0.05)


class Ports:
    """The DICOM port: threads here, or several processes on one port, kept alive."""

    def __init__(self, parts: Parts) -> None:
        settings = parts.settings
        _claim_port("DICOM", settings.dicom_host, settings.dicom_port, "CARINA_DICOM_PORT")
        self._settings = settings
        self._closing = threading.Event()
        self._inside: listener.Listener | None = None
        self._listening: socket.socket | None = None
        self._children: list[subprocess.Popen[bytes]] = []
        self._keeper = threading.Thread(target=self._keep_alive, name="listeners", daemon=True)
        if settings.listener_processes == 1:
            self._inside = parts.open_dicom()
            return
        self._listening = listener.open_port(settings)
        self._children = [self._spawn(self._listening) for _ in range(settings.listener_processes)]
        self._keeper.start()

    def _spawn(self, listening: socket.socket) -> subprocess.Popen[bytes]:
        fd = listening.fileno()
        environment = {**os.environ, **_as_environment(self._settings, fd)}
        command = [sys.executable, "-m", "service", "listen"]
        # One pipe ends with this process, however it ends: then the listener ends as well. By the
        # other one it tells what it counts, which nobody could ask it for.
        child = subprocess.Popen(  # noqa: S603
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(fd,),
        )
        threading.Thread(target=hear_counts, args=(child.stdout,), daemon=True).start()
        return child

    def _keep_alive(self) -> None:
        """Start a listener process again that has ended; its connections wait meanwhile."""
        listening = self._listening
        while listening and not self._closing.wait(LOOK_S):
            for place, child in enumerate(self._children):
                if child.poll() is None or self._closing.is_set():
                    continue
                log.warning("listener ended, started again", status=child.returncode)
                try:
                    self._children[place] = self._spawn(listening)
                except OSError as error:  # no memory or process left: at the next look perhaps
                    log.warning("listener could not be started", why=error.strerror)

    def close(self) -> None:
        """Stop taking in; what was not acknowledged will be sent again."""
        self._closing.set()
        if self._inside is not None:
            self._inside.stop()
        if self._listening is not None:
            self._keeper.join()
            self._listening.close()
        for child in self._children:
            child.terminate()
        for child in self._children:
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def hear_counts(told: IO[bytes]) -> None:
    """Add what a listener process counts to the metrics of this one, until it ends."""
    before: dict[str, float] = {}
    with told:
        for line in told:
            try:
                now = json.loads(line)
                metrics.add_received(now, before)
            except (ValueError, TypeError, AttributeError):  # a library printed something
                continue
            before = now


def _tell_counts(stopped: threading.Event) -> None:
    """Tell the process that started this listener what it counts."""
    with suppress(OSError):  # that process is gone
        while not stopped.wait(COUNTS_TOLD_EVERY_S):
            print(json.dumps(metrics.received()), flush=True)
        print(json.dumps(metrics.received()), flush=True)


def _as_environment(settings: Settings, listening_fd: int) -> dict[str, str]:
    """The settings that the command line overrode, for a child; one listener a child."""
    return {
        "CARINA_DATA_DIR": str(settings.data_dir),
        "CARINA_DICOM_HOST": settings.dicom_host,
        "CARINA_DICOM_PORT": str(settings.dicom_port),
        "CARINA_LOG_LEVEL": settings.log_level,
        "CARINA_LISTENER_PROCESSES": "1",
        "CARINA_LISTENING_FD": str(listening_fd),
    }


def _claim_port(what: str, host: str, port: int, variable: str) -> None:
    """Say in plain words when a port is taken, before anything is started.

    Raises
    ------
    UsageError : the port is taken, or not for this user or machine.
    """
    if port == 0:
        return
    with socket.socket(listener.family_of(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UsageError(_no_port(what, host, port, variable, error)) from error


def _no_port(what: str, host: str, port: int, variable: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"expected port {port} free for {what}, found it taken ({error.strerror}): stop "
            f"the other program or set {variable} to a free port"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"expected to open port {port} for {what}, found that this user may not "
            f"({error.strerror}): ports below 1024 need CAP_NET_BIND_SERVICE; give it, or set "
            f"{variable} to a higher port"
        )
    return (
        f"expected an address of this machine for {what}, found {host!r} ({error.strerror}): "
        f"correct {variable.replace('PORT', 'HOST')}"
    )


def start(settings: Settings) -> Running:
    """Start pages, API, DICOM port and worker in this process tree."""
    configure_logging(settings)
    return Running(settings)


def listen(settings: Settings, stopped: threading.Event) -> None:
    """The DICOM port alone, until `stopped`."""
    configure_logging(settings)
    parts = build(settings, "enqueue")
    try:
        parts.engine.start()
        if settings.listening_fd >= 0:
            port = parts.open_dicom()
            for task in (_end_with_parent, _tell_counts):
                threading.Thread(target=task, args=(stopped,), daemon=True).start()
            _let_lie()
            stopped.wait()
            end_within(END_S)
            port.stop()
        else:
            ports = Ports(parts)
            _let_lie()
            stopped.wait()
            end_within(END_S)
            ports.close()
    finally:
        parts.close()
    end_within(LINGER_S)


def _end_with_parent(stopped: threading.Event) -> None:
    """A listener that outlives its service would keep the port from the next one."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    stopped.set()


def work(settings: Settings, stopped: threading.Event) -> None:
    """The jobs alone, until `stopped`."""
    configure_logging(settings)
    parts = build(settings, "work")
    try:
        parts.engine.start()
        stopped.wait()
        end_within(END_S)
    finally:
        parts.close()
    end_within(LINGER_S)
