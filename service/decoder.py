"""Objects from the network are read in processes of their own, with bounded memory and time.

Whatever the bytes of a film make a parser or decoder do, it costs the service nothing but an
answer: the film is `undecodable`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import cast

import numpy as np
import structlog
from numpy.typing import NDArray

from models.radiograph import Radiograph
from models.refusal import Refusal, RefusalCode
from service.decoding_process import (
    ERRORS,
    START_S,
    Answer,
    DecodingProcess,
    EndedError,
    Question,
    radiograph,
)
from service.dicom import dicom_json
from service.dicom.bulk_data import Frames
from service.dicom.deidentify import Deidentified
from service.errors import OutOfResourcesError

PROCESSES = 2  # at once; more films wait their turn
HEADER_TIMEOUT_S = 10.0  # at most: a header of 5 MB takes one
_log = structlog.get_logger(__name__)


class Decoder:
    """Reads in processes that stay warm, and are ended where an object exceeds its bounds.

    A turn is waited for no longer than the reading may take.

    Parameters
    ----------
    memory_mb : address space of a decoding process.
    timeout_s : for one film, frame or value; a header has `HEADER_TIMEOUT_S` where that is shorter.
    """

    def __init__(self, memory_mb: int = 4096, timeout_s: float = 60.0) -> None:
        self._memory_mb = memory_mb
        self.timeout_s = timeout_s
        self._turns = threading.BoundedSemaphore(PROCESSES)
        self._lock = threading.Lock()
        self._idle: list[DecodingProcess] = []

    def read(self, data: bytes) -> Radiograph:
        """The film in a DICOM, PNG or JPEG file.

        Raises
        ------
        Refusal : the bytes are no film that can be decoded within the bounds.
        OutOfResourcesError : no process can be started, or all are busy; try again.
        """
        answer, pixels = self._ask({"task": "read"}, data, self.timeout_s)
        shape = (int(answer["rows"]), int(answer["columns"]))
        return radiograph(answer, pixels.view(np.float32).reshape(shape))

    def header(self, data: bytes, only: Collection[int] = ()) -> dicom_json.Json:
        """What a DICOM file says beside its pixels, or `only` these tags of it.

        Raises
        ------
        Refusal : it cannot be read within the bounds.
        OutOfResourcesError : as above.
        """
        question = {"task": "header", "only": list(only)}
        found = self._ask(question, data, min(self.timeout_s, HEADER_TIMEOUT_S))[1]
        described: dicom_json.Json = json.loads(found.tobytes())
        return described

    def frames(self, data: bytes, numbers: Sequence[int], *, as_stored: bool) -> Frames:
        """Frames of a DICOM file, counted from 1.

        Raises
        ------
        Refusal : a frame cannot be decoded within the bounds.
        NotFoundError : there is no such frame.
        UsageError : they are more than can be held at once.
        OutOfResourcesError : as above.
        """
        asked = sorted(set(numbers))
        question: Question = {"task": "frames", "numbers": asked, "as_stored": as_stored}
        answer, found = self._ask(question, data, self.timeout_s)
        ends = np.cumsum([0, *answer["sizes"]]).tolist()
        bodies = [found[start:end].tobytes() for start, end in pairwise(ends)]
        if numbers:
            by_number = dict(zip(asked, bodies, strict=True))
            bodies = [by_number[number] for number in numbers]
        return Frames(str(answer["syntax"]), tuple(bodies))

    def picture(self, data: bytes) -> NDArray[np.float32]:
        """The first frame of a DICOM image, to be shown: (H, W) in [0, 1].

        Raises
        ------
        Refusal : it cannot be decoded within the bounds.
        OutOfResourcesError : as above.
        """
        answer, pixels = self._ask({"task": "picture"}, data, self.timeout_s)
        return pixels.view(np.float32).reshape(answer["shape"])

    def value(self, data: bytes, way: str) -> bytes:
        """A binary value of a DICOM file.

        Raises
        ------
        Refusal : the file cannot be read within the bounds.
        NotFoundError : no binary value lies there.
        OutOfResourcesError : as above.
        """
        return self._ask({"task": "value", "way": way}, data, self.timeout_s)[1].tobytes()

    def deidentified(self, data: bytes, patient: str, key: bytes) -> Deidentified:
        """A film that names nobody, as a DICOM file.

        Raises
        ------
        Refusal : it cannot be read, or not written again, within the bounds.
        InvalidObjectError : it says that identifying text is burned into its pixels.
        OutOfResourcesError : as above.
        """
        question = {"task": "deidentified", "patient": patient, "key": key.hex()}
        answer, found = self._ask(question, data, self.timeout_s)
        spacing = answer["spacing_mm"]
        return Deidentified(
            data=found.data,
            view=answer["view"],
            rows=int(answer["rows"]),
            columns=int(answer["columns"]),
            spacing_mm=(float(spacing[0]), float(spacing[1])) if spacing else None,
        )

    def warm(self) -> None:
        """Start a process ahead of the first film.

        Raises
        ------
        OutOfResourcesError : no process can be started.
        """
        with self._borrowed(START_S) as process:
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

    def _ask(
        self, question: Question, data: bytes, timeout_s: float
    ) -> tuple[Answer, NDArray[np.uint8]]:
        """An answer that is no refusal, and the bytes that came with it."""
        left_s = timeout_s
        for is_last in (False, True):
            begun = time.monotonic()
            try:
                with self._borrowed(left_s) as process:
                    process.wait_ready()
                    begun = time.monotonic()
                    answer, found = process.ask(question, data, left_s)
                break
            except EndedError as error:
                left_s -= time.monotonic() - begun
                _log.warning("decoder ended", why=str(error), size_bytes=len(data))
                # Unless it was its bound, it may have been ended from outside.
                if is_last or error.is_bound or left_s <= 0:
                    raise _refused(question, error) from error
        if "refused" in answer:
            raise Refusal(cast(RefusalCode, answer["refused"]), str(answer["message"]))
        if "error" in answer:
            raise ERRORS[answer["error"]](str(answer["message"]))
        return answer, found

    @contextmanager
    def _borrowed(self, wait_s: float) -> Iterator[DecodingProcess]:
        if not self._turns.acquire(timeout=wait_s):
            raise OutOfResourcesError(
                f"expected a decoder to be free within {wait_s:g} s, found all busy; try again"
            )
        try:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            process = process or DecodingProcess(self._memory_mb, self.timeout_s)
            try:
                yield process
            except BaseException:
                process.end()
                raise
            with self._lock:
                self._idle.append(process)
        finally:
            self._turns.release()


def _refused(question: Question, error: EndedError) -> Refusal:
    if question["task"] in ("header", "value"):
        return Refusal("undecodable", f"expected a header that can be read, found that it {error}")
    return Refusal(
        "undecodable",
        f"expected pixel data that can be decoded, found that the decoder {error}; send the film "
        "uncompressed or as JPEG 2000",
    )
