"""Disk full, database stopped, object store failing, clock set back: nothing acknowledged is lost.

Meanwhile the sender is told 0xA700 and sends again later, as a PACS does; afterwards every object
that was acknowledged has led to one result, and no process was started again.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.jobs import engine as engine_module
from service.jobs import watch
from service.jobs.engine import clock
from service.jobs.pipeline import Models
from service.records import AuditEvent, Patient
from tests.service.jobs.science import SMALL, film
from tests.service.jobs.test_engine import until
from tests.service.listening import SUCCESS, running

OUT_OF_RESOURCES = 0xA700
pytestmark = pytest.mark.timeout(600)
AUDIT = AuditEvent(clock(), "ada", "write", "success", "P1")


@dataclass
class Gate:
    """Holds the science in the middle of a study until a test has done its harm."""

    inside: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def models(self) -> Models:
        def check(radiograph: Any) -> None:
            self.inside.set()
            self.opened.wait(300)
            SMALL.check(radiograph)

        return replace(SMALL, check=check)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of six megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.call(words):
        pytest.skip("left out: a small file system cannot be mounted here (not root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no byte free."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return filler
    return filler


def test_a_full_disk_refuses_films_and_holds_up_none_that_was_taken(small_disk: Path) -> None:
    gate = Gate()
    with running(small_disk, gate.models()) as node:
        assert node.send(film()) == SUCCESS
        assert gate.inside.wait(100)
        filler, late = fill(small_disk), film()
        assert node.send(late) == OUT_OF_RESOURCES
        gate.opened.set()  # the study in the middle cannot be written down either
        assert node.send(late) == OUT_OF_RESOURCES
        filler.unlink()
        until(lambda: node.send(late) == SUCCESS, seconds=100)
        node.assert_each_once()


class FailingStore:
    """The S3 server at another port, where it answers 500 while it is told to."""

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        self.failing = False
        self.refused = 0
        self._store = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self, threaded=True)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> FailingStore:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if not self.failing:
            answer: Iterable[bytes] = self._store(environ, start)
            return answer
        self.refused += 1
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start("500 Internal Server Error", [("Content-Type", "application/xml")])
        return [b"<Error><Code>InternalError</Code><Message>broken</Message></Error>"]


def test_an_object_store_that_answers_500_refuses_films_and_holds_up_none_that_was_taken(
    s3_endpoint: str,
    tmp_path: Path,  # the same store, with its bucket and credentials
) -> None:
    gate = Gate()
    with FailingStore() as store:
        chosen = {
            "object_store_url": f"s3://carina/{tmp_path.name}",
            "object_store_endpoint": store.address,
        }
        with running(tmp_path, gate.models(), **chosen) as node:
            assert node.send(film()) == SUCCESS
            assert gate.inside.wait(100)
            store.failing = True
            late = film()
            assert node.send(late) == OUT_OF_RESOURCES
            before = store.refused
            gate.opened.set()
            until(
                lambda: store.refused > before, seconds=100
            )  # the study in the middle meets it as well
            store.failing = False
            assert node.send(late) == SUCCESS
            node.assert_each_once()


def stop_and_start(cluster: Any, folder: Path, away_s: float) -> None:
    gate = Gate()
    with running(folder, gate.models(), database_url=f"{cluster.address}/postgres") as node:
        assert node.send(film()) == SUCCESS
        assert gate.inside.wait(100)
        cluster.stop()
        late = film()
        assert node.send(late) == OUT_OF_RESOURCES
        gate.opened.set()
        threading.Event().wait(away_s)
        assert node.send(late) == OUT_OF_RESOURCES
        cluster.start()
        until(lambda: node.send(late) == SUCCESS, seconds=100)
        node.assert_each_once()


@pytest.mark.peer
def test_a_database_that_stops_refuses_films_and_holds_up_none_that_was_taken(
    postgresql_cluster: Any, tmp_path: Path
) -> None:
    stop_and_start(postgresql_cluster, tmp_path, away_s=1)


@pytest.mark.slow
@pytest.mark.peer
def test_a_database_that_is_away_for_half_a_minute_costs_nothing(
    postgresql_cluster: Any, tmp_path: Path
) -> None:
    stop_and_start(postgresql_cluster, tmp_path, away_s=30)


def test_a_clock_that_is_set_back_an_hour_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_S", 0.1)
    monkeypatch.setattr(engine_module, "REST_S", 0.5)
    behind = timedelta(0)
    minutes = itertools.count()  # each look sees another minute: no test waits for one

    def changing() -> datetime:
        return clock() - behind + timedelta(minutes=next(minutes) // 20)

    with running(tmp_path, clock=changing) as node:
        node.index.put_patient(Patient("P1", admitted_at=clock() - timedelta(days=1)), AUDIT)
        assert node.send(film(patient_id="P1")) == SUCCESS
        until(node.is_done, seconds=100)
        until(lambda: node.index.risks("P1"), seconds=100)
        behind = timedelta(hours=1)
        node.pacs.away = True
        assert node.send(film(patient_id="P2")) == SUCCESS
        known = len(node.index.risks("P1"))
        node.engine.risk_due("P1")
        until(lambda: len(node.index.risks("P1")) > known, seconds=100)
        node.pacs.away = False
        node.assert_each_once()
