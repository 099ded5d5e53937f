"""A process that reads objects from the network: both ends of the pipe to it.

The question goes down the pipe; the bytes of the object, and those of the answer, go through memory
that both ends hold.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.part10 import MAX_FILE_BYTES
from models.radiograph import Radiograph
from models.refusal import Refusal
from service.decoding import InProcess
from service.errors import (
    CarinaError,
    InvalidObjectError,
    NotFoundError,
    OutOfResourcesError,
    UsageError,
)

LONGEST_ANSWER = 1 << 20
MOST_HEADER_BYTES = 16 << 20  # as DICOM JSON; the largest that people make have some 5 MB
START_S = 60.0  # on a machine that is busy with other things
KEPT_BYTES = 128 << 20  # of memory between films
_SECRETS = ("CARINA_", "AWS_", "PG")
_HABITS = {  # of a decoding process: one thread, and memory of a film's size is kept for the next
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
Question = dict[str, Any]
Answer = dict[str, Any]
_TOO_LARGE: Answer = {
    "refused": "undecodable",
    "message": f"expected at most {MAX_FILE_BYTES >> 20} MiB, found a larger file; send one film",
}


class EndedError(Exception):
    """The process ended, or was ended, before it answered."""

    def __init__(self, why: str, *, is_bound: bool = False) -> None:
        super().__init__(why)
        self.is_bound = is_bound


class DecodingProcess:
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
        except EndedError as error:
            raise _not_started(f"that the decoder {error}") from error
        self._is_ready = True

    def ask(
        self, question: Question, data: bytes, timeout_s: float
    ) -> tuple[Answer, NDArray[np.uint8]]:
        """The answer to one question.

        Raises
        ------
        EndedError : there is none, and the process is of no more use.
        OutOfResourcesError : the process did not start.
        """
        self.wait_ready()
        if len(data) > MAX_FILE_BYTES:
            return _TOO_LARGE, np.empty(0, np.uint8)
        try:
            _put(self._memory, memoryview(data))
            self._write(json.dumps({**question, "size": len(data)}).encode() + b"\n")
            answer = json.loads(self._line(timeout_s))
            pixels = _get(self._memory, int(answer.get("size", 0)))
            if os.fstat(self._memory).st_size > KEPT_BYTES:
                os.ftruncate(self._memory, 0)
        except (OSError, ValueError, KeyError) as error:
            raise EndedError(f"answered with {type(error).__name__}") from error
        return answer, pixels

    def _write(self, line: bytes) -> None:
        if self._child.stdin is None:
            raise EndedError("has no pipe")
        self._child.stdin.write(line)
        self._child.stdin.flush()

    def _line(self, timeout_s: float) -> bytes:
        """One line of the process, whole within the time."""
        if self._child.stdout is None:
            raise EndedError("has no pipe")
        line, descriptor = b"", self._child.stdout.fileno()
        end = time.monotonic() + timeout_s
        while not line.endswith(b"\n"):
            if not select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
                raise EndedError(f"was not done after {timeout_s:g} s", is_bound=True)
            more = os.read(descriptor, LONGEST_ANSWER)
            if not more:
                raise self._ended()
            line += more
            if len(line) > LONGEST_ANSWER:
                raise EndedError("answered at length")
        return line

    def _ended(self) -> EndedError:
        status = self._child.wait()
        if status == -signal.SIGXCPU:
            return EndedError("was not done in its time", is_bound=True)
        return EndedError(f"ended with status {status}")

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
    return [sys.executable, "-m", "service.decoding_process", *map(str, words)]


def _not_started(found: str) -> OutOfResourcesError:
    return OutOfResourcesError(
        f"expected a process to decode films in, found {found}; free memory, then send it again"
    )


def _environment() -> dict[str, str]:
    """What a decoder needs to know: no password, no address."""
    told = {name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)}
    return {**told, **_HABITS}


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


def radiograph(answer: Answer, pixels: NDArray[np.float32]) -> Radiograph:
    """The film that an answer tells of, with the pixels that came with it."""
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
    """A radiograph without its pixels, as `radiograph` takes it."""
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


def _read(data: bytes, _question: Question) -> tuple[Answer, memoryview]:
    film = InProcess().read(data)
    return _told(film), _plain(film.pixels)


def _picture(data: bytes, _question: Question) -> tuple[Answer, memoryview]:
    pixels = InProcess().picture(data)
    return {"shape": pixels.shape}, _plain(pixels)


def _plain(pixels: NDArray[np.float32]) -> memoryview:
    return np.ascontiguousarray(pixels, np.float32).reshape(-1).view(np.uint8).data


def _header(data: bytes, question: Question) -> tuple[Answer, memoryview]:
    described = InProcess().header(data, frozenset(question["only"]))
    found = json.dumps(described, separators=(",", ":")).encode()
    if len(found) > MOST_HEADER_BYTES:
        raise Refusal(
            "undecodable",
            f"expected a header of at most {MOST_HEADER_BYTES >> 20} MiB, found a larger one",
        )
    return {}, memoryview(found)


def _frames(data: bytes, question: Question) -> tuple[Answer, memoryview]:
    found = InProcess().frames(data, question["numbers"], as_stored=question["as_stored"])
    sizes = [len(body) for body in found.bodies]
    bodies = memoryview(found.bodies[0] if len(sizes) == 1 else b"".join(found.bodies))
    return {"syntax": found.transfer_syntax_uid, "sizes": sizes}, bodies


def _value(data: bytes, question: Question) -> tuple[Answer, memoryview]:
    return {}, memoryview(InProcess().value(data, question["way"]))


def _deidentified(data: bytes, question: Question) -> tuple[Answer, memoryview]:
    key = bytes.fromhex(question["key"])
    film = InProcess().deidentified(data, question["patient"], key)
    told = {
        "view": film.view,
        "rows": film.rows,
        "columns": film.columns,
        "spacing_mm": film.spacing_mm,
    }
    return told, memoryview(film.data)


_TASKS: Final[dict[str, Callable[[bytes, Question], tuple[Answer, memoryview]]]] = {
    "read": _read,
    "header": _header,
    "frames": _frames,
    "picture": _picture,
    "value": _value,
    "deidentified": _deidentified,
}
ERRORS: Final[dict[str, type[CarinaError]]] = {
    one.__name__: one for one in (InvalidObjectError, NotFoundError, UsageError)
}


def _answer(question: Question, memory: int) -> Answer:
    """Do one task; its bytes take the place of those that were handed in."""
    try:
        data = os.pread(memory, question["size"], 0)  # at most models.part10.MAX_FILE_BYTES
        answer, found = _TASKS[question["task"]](data, question)
        _put(memory, found)
    except Refusal as refusal:
        return {"refused": refusal.code, "message": refusal.message}
    except tuple(ERRORS.values()) as error:
        return {"error": type(error).__name__, "message": error.message}
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
