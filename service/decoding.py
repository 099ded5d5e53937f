"""Films from the network are decoded in a process of its own, with bounded memory and time.

Six decoders of three languages read what a sender calls a film. Whatever its bytes make them do, it
costs this process nothing but an answer: the film is `undecodable`.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Protocol, cast

import numpy as np
import structlog
from numpy.typing import NDArray
from pydicom.pixels.utils import pixel_array

from models.part10 import MAX_FILE_BYTES, parse
from models.radiograph import Radiograph, read_bytes
from models.refusal import Refusal, RefusalCode
from service.errors import OutOfResourcesError

PROCESSES = 2  # at once; more films wait their turn
LONGEST_ANSWER = 1 << 16
START_S = 60.0  # on a machine that is busy with other things
KEPT_BYTES = 128 << 20  # of memory between films
_SECRETS = ("CARINA_", "AWS_", "PG")
_log = structlog.get_logger(__name__)
Answer = dict[str, Any]
_TOO_LARGE: Answer = {
    "refused": "undecodable",
    "message": f"expected at most {MAX_FILE_BYTES >> 20} MiB, found a larger file; send one film",
}


class Decoding(Protocol):
    """Bytes from the network to pixels: `Decoder`, or `InProcess` where nothing is hostile."""

    def read(self, data: bytes) -> Radiograph:
        """The film in a DICOM, PNG or JPEG file."""

    def frame(self, data: bytes, number: int) -> bytes:
        """Little-endian pixels of one frame of a DICOM file, counted from 1."""


class InProcess:
    """Decodes here: for the batch commands and for the decoding process itself."""

    def read(self, data: bytes) -> Radiograph:
        """The film in a DICOM, PNG or JPEG file.

        Raises
        ------
        Refusal : the bytes are no film that can be decoded.
        """
        return read_bytes(data)

    def frame(self, data: bytes, number: int) -> bytes:
        """Little-endian pixels of one frame of a DICOM file, counted from 1.

        Raises
        ------
        Refusal : the frame cannot be decoded.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they quote values of the patient
                pixels = pixel_array(parse(data), index=number - 1, raw=True)
        except Refusal:
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
                raise
            # As in models.radiograph: Rust panics are no Exception.
            raise Refusal(
                "undecodable",
                f"expected pixel data that can be decoded, found {type(error).__name__} in its "
                "bytes",
            ) from error
        return bytes(pixels.astype(pixels.dtype.newbyteorder("<")).tobytes())


class Decoder:
    """Decodes in processes that stay warm, and are ended where a film exceeds its bounds.

    Parameters
    ----------
    memory_mb : address space of a decoding process.
    timeout_s : for one film.
    """

    def __init__(self, memory_mb: int = 4096, timeout_s: float = 60.0) -> None:
        self._memory_mb = memory_mb
        self.timeout_s = timeout_s
        self._turns = threading.BoundedSemaphore(PROCESSES)
        self._lock = threading.Lock()
        self._idle: list[_Process] = []

    def read(self, data: bytes) -> Radiograph:
        """The film in a DICOM, PNG or JPEG file.

        Raises
        ------
        Refusal : the bytes are no film that can be decoded within the bounds.
        OutOfResourcesError : no process can be started; try again.
        """
        answer, pixels = self._ask("read", data)
        shape = (int(answer["rows"]), int(answer["columns"]))
        return _radiograph(answer, pixels.view(np.float32).reshape(shape))

    def frame(self, data: bytes, number: int) -> bytes:
        """Little-endian pixels of one frame of a DICOM file, counted from 1.

        Raises
        ------
        Refusal : the frame cannot be decoded within the bounds.
        OutOfResourcesError : no process can be started; try again.
        """
        return self._ask("frame", data, number)[1].tobytes()

    def warm(self) -> None:
        """Start a process ahead of the first film.

        Raises
        ------
        OutOfResourcesError : no process can be started.
        """
        with self._borrowed() as process:
            process.wait_ready()

    def pids(self) -> list[int]:
        """The processes that wait for a film."""
        with self._lock:
            return [one.pid for one in self._idle]

    def close(self) -> None:
        """End the processes that wait."""
        with self._lock:
            idle, self._idle = self._idle, []
        for one in idle:
            one.end()

    def _ask(self, task: str, data: bytes, number: int = 1) -> tuple[Answer, NDArray[np.uint8]]:
        """An answer that is no refusal, and the bytes that came with it."""
        for is_last in (False, True):
            try:
                with self._borrowed() as process:
                    answer, pixels = process.ask(task, data, number, self.timeout_s)
                break
            except _EndedError as error:
                _log.warning("decoder ended", why=str(error), size_bytes=len(data))
                if is_last or error.is_bound:  # else it may have been ended from outside
                    raise _refused(error) from error
        if "refused" in answer:
            raise Refusal(cast(RefusalCode, answer["refused"]), str(answer["message"]))
        return answer, pixels

    @contextmanager
    def _borrowed(self) -> Iterator[_Process]:
        with self._turns:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            process = process or _Process(self._memory_mb, self.timeout_s)
            try:
                yield process
            except BaseException:
                process.end()
                raise
            with self._lock:
                self._idle.append(process)


class _EndedError(Exception):
    """The process ended, or was ended, before it answered."""

    def __init__(self, why: str, *, is_bound: bool = False) -> None:
        super().__init__(why)
        self.is_bound = is_bound


def _refused(error: _EndedError) -> Refusal:
    return Refusal(
        "undecodable",
        f"expected pixel data that can be decoded, found that the decoder {error}; send the film "
        "uncompressed or as JPEG 2000",
    )


class _Process:
    """One decoding process: the question goes down a pipe, bytes through memory that both hold."""

    def __init__(self, memory_mb: int, timeout_s: float) -> None:
        self._memory = -1
        self._is_ready = False
        try:
            self._memory = os.memfd_create("carina-film")
            self._child = subprocess.Popen(  # noqa: S603
                _program(self._memory, memory_mb, timeout_s),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=_environment(), pass_fds=(self._memory,),
            )  # fmt: skip
        except OSError as error:
            if self._memory >= 0:
                os.close(self._memory)
            raise _not_started(str(error.strerror)) from error

    @property
    def pid(self) -> int:
        """Its number in the system."""
        return self._child.pid

    def wait_ready(self) -> None:
        """Wait until the process can take a question; its start is no film's fault.

        Raises
        ------
        OutOfResourcesError : it does not start, or ends before.
        """
        if self._is_ready:
            return
        try:
            self._line(START_S)
        except _EndedError as error:
            raise _not_started(f"that the decoder {error}") from error
        self._is_ready = True

    def ask(
        self, task: str, data: bytes, number: int, timeout_s: float
    ) -> tuple[Answer, NDArray[np.uint8]]:
        """The answer to one question.

        Raises
        ------
        _EndedError : there is none, and the process is of no more use.
        OutOfResourcesError : the process did not start.
        """
        self.wait_ready()
        if len(data) > MAX_FILE_BYTES:
            return _TOO_LARGE, np.empty(0, np.uint8)
        question = {"task": task, "size": len(data), "number": number}
        try:
            _put(self._memory, memoryview(data))
            self._write(json.dumps(question).encode() + b"\n")
            answer = json.loads(self._line(timeout_s))
            pixels = _get(self._memory, int(answer.get("size", 0)))
            if os.fstat(self._memory).st_size > KEPT_BYTES:
                os.ftruncate(self._memory, 0)
        except (OSError, ValueError, KeyError) as error:
            raise _EndedError(f"answered with {type(error).__name__}") from error
        return answer, pixels

    def _write(self, line: bytes) -> None:
        if self._child.stdin is None:
            raise _EndedError("has no pipe")
        self._child.stdin.write(line)
        self._child.stdin.flush()

    def _line(self, timeout_s: float) -> bytes:
        """One line of the process, whole within the time."""
        if self._child.stdout is None:
            raise _EndedError("has no pipe")
        line, descriptor = b"", self._child.stdout.fileno()
        end = time.monotonic() + timeout_s
        while not line.endswith(b"\n"):
            if not select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
                raise _EndedError(f"was not done after {timeout_s:g} s", is_bound=True)
            more = os.read(descriptor, LONGEST_ANSWER)
            if not more:
                raise self._ended()
            line += more
            if len(line) > LONGEST_ANSWER:
                raise _EndedError("answered at length")
        return line

    def _ended(self) -> _EndedError:
        status = self._child.wait()
        if status == -signal.SIGXCPU:
            return _EndedError("was not done in its time", is_bound=True)
        return _EndedError(f"ended with status {status}")

    def end(self) -> None:
        """End the process, whatever it is at."""
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        os.close(self._memory)


def _program(memory: int, memory_mb: int, timeout_s: float) -> list[str]:
    """The command of a decoding process, which ends in `serve`."""
    words = (memory, memory_mb, timeout_s)
    return [sys.executable, "-m", "service.decoding", *map(str, words)]


def _not_started(found: str) -> OutOfResourcesError:
    return OutOfResourcesError(
        f"expected a process to decode films in, found {found}; free memory, then send it again"
    )


def _environment() -> dict[str, str]:
    """What a decoder needs to know: no password, no address, one thread."""
    told = {name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)}
    return {**told, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _put(memory: int, view: memoryview) -> None:
    """Write over what the memory holds; it stays as large as it was, which spares new pages."""
    done = 0
    while done < len(view):
        done += os.pwrite(memory, view[done:], done)


def _get(memory: int, size: int) -> NDArray[np.uint8]:
    """The first `size` bytes that the memory holds.

    Raises
    ------
    ValueError : it holds fewer.
    """
    if size > os.fstat(memory).st_size:
        raise ValueError("expected as many bytes as were announced")
    taken = np.empty(size, np.uint8)
    view, done = taken.data, 0
    while done < size:
        done += os.preadv(memory, [view[done:]], done)
    return taken


def _radiograph(answer: Answer, pixels: NDArray[np.float32]) -> Radiograph:
    spacing, acquired_at = answer["spacing_mm"], answer["acquired_at"]
    return Radiograph(
        pixels=pixels,
        spacing_mm=(float(spacing[0]), float(spacing[1])) if spacing else None,
        view=answer["view"],
        body_part=answer["body_part"],
        sop_instance_uid=answer["sop_instance_uid"],
        series_instance_uid=answer["series_instance_uid"],
        study_instance_uid=answer["study_instance_uid"],
        patient_id=answer["patient_id"],
        acquired_at=datetime.fromisoformat(acquired_at) if acquired_at else None,
    )


def _told(film: Radiograph) -> Answer:
    """A radiograph without its pixels, as `_radiograph` takes it."""
    return {
        "rows": film.pixels.shape[0],
        "columns": film.pixels.shape[1],
        "spacing_mm": film.spacing_mm,
        "view": film.view,
        "body_part": film.body_part,
        "sop_instance_uid": film.sop_instance_uid,
        "series_instance_uid": film.series_instance_uid,
        "study_instance_uid": film.study_instance_uid,
        "patient_id": film.patient_id,
        "acquired_at": film.acquired_at.isoformat() if film.acquired_at else None,
    }


def _read(data: bytes, _number: int) -> tuple[Answer, memoryview]:
    film = InProcess().read(data)
    pixels = np.ascontiguousarray(film.pixels, np.float32)
    return _told(film), pixels.reshape(-1).view(np.uint8).data


def _frame(data: bytes, number: int) -> tuple[Answer, memoryview]:
    return {}, memoryview(InProcess().frame(data, number))


_TASKS: dict[str, Callable[[bytes, int], tuple[Answer, memoryview]]] = {
    "read": _read,
    "frame": _frame,
}


def _answer(question: Answer, memory: int) -> Answer:
    """Do one task; its bytes take the place of those that were handed in."""
    try:
        data = os.pread(memory, question["size"], 0)  # at most models.part10.MAX_FILE_BYTES
        answer, found = _TASKS[question["task"]](data, question["number"])
        _put(memory, found)
    except Refusal as refusal:
        return {"refused": refusal.code, "message": refusal.message}
    except MemoryError:
        message = "expected a film that can be decoded in the memory allowed, found a larger one"
        return {"refused": "undecodable", "message": message}
    return {**answer, "size": len(found)}


def _bound(memory_mb: int) -> None:
    """What this process may use at most; it ends with its pipe, not by a signal to its group."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    size = memory_mb << 20
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold a patient's film


def _bound_time(timeout_s: float) -> None:
    """A film that is never done ends this process, even where nobody waits for it any more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    end = int(used.ru_utime + used.ru_stime + timeout_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (end, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def serve(memory: int, memory_mb: int, timeout_s: float) -> None:
    """Answer questions until the pipe ends."""
    _bound(memory_mb)
    out = os.dup(1)
    os.dup2(2, 1)  # what a decoder prints is no answer
    os.write(out, b"\n")  # ready
    for line in sys.stdin.buffer:
        _bound_time(timeout_s)
        answer = json.dumps(_answer(json.loads(line), memory)).encode() + b"\n"
        os.write(out, answer)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
