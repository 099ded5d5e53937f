"""STOW-RS (PS3.18 10.5): parts out of a request, part by part, and the answer about them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.dicom import dicom_json
from service.dicom.ingest import Taken
from service.errors import CarinaError, TooLargeError, UsageError

_MB = 1 << 20
_STUDY_MISMATCH = 0xA900  # PS3.18 I.2.2


@dataclass(frozen=True, slots=True)
class Refused:
    """An object that was not kept."""

    sop_class_uid: str
    sop_instance_uid: str
    status: int
    message: str


@dataclass(slots=True)
class Stored:
    """What became of the objects of one request."""

    retrieve_url: str
    taken: list[Taken] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    def add(self, outcome: Taken | Refused) -> None:
        """Note what became of one object."""
        if isinstance(outcome, Refused):
            self.refused.append(outcome)
        else:
            self.taken.append(outcome)

    @property
    def http_status(self) -> int:
        """200 all kept, 202 some, 409 none, 503 none for want of resources (PS3.18 10.5.3.1)."""
        if not self.refused:
            return 200
        if self.taken:
            return 202
        return 503 if all(one.status == 0xA700 for one in self.refused) else 409

    def answer(self) -> dicom_json.Json:
        """The Store Instances Response Module (PS3.18 I.2)."""
        studies = sorted({one.study_uid for one in self.taken})
        url = f"{self.retrieve_url}/studies/{studies[0]}" if len(studies) == 1 else None
        answer = dicom_json.of_values({"RetrieveURL": url})
        referenced = [
            dicom_json.of_values(
                {
                    "ReferencedSOPClassUID": one.sop_class_uid,
                    "ReferencedSOPInstanceUID": one.sop_instance_uid,
                    "RetrieveURL": f"{self.retrieve_url}/studies/{one.study_uid}",
                }
            )
            for one in self.taken
        ]
        failed = [
            dicom_json.of_values(
                {
                    "ReferencedSOPClassUID": one.sop_class_uid,
                    "ReferencedSOPInstanceUID": one.sop_instance_uid,
                    "FailureReason": one.status,
                    "ErrorComment": one.message,  # as in PS3.7 C: what is wrong, for people
                }
            )
            for one in self.refused
        ]
        if referenced:
            answer |= {"00081199": {"vr": "SQ", "Value": referenced}}
        if failed:
            answer |= {"00081198": {"vr": "SQ", "Value": failed}}
        return answer


def refusal(error: CarinaError, sop_class_uid: str = "", sop_instance_uid: str = "") -> Refused:
    """An error as a failure of one object."""
    return Refused(sop_class_uid, sop_instance_uid, error.dicom_status, error.message)


def other_study(sop_class_uid: str, sop_instance_uid: str) -> Refused:
    """An object sent to the address of a study that it does not belong to."""
    message = "expected an object of the study in the address, found one of another study"
    return Refused(sop_class_uid, sop_instance_uid, _STUDY_MISMATCH, message)


def boundary_of(content_type: str) -> bytes | None:
    """Boundary of a multipart request of DICOM files; None for a single DICOM file.

    Raises
    ------
    UsageError : the request is neither.
    """
    kind, options = parse_options_header(content_type)
    if kind == b"application/dicom":
        return None
    inner = options.get(b"type", b"application/dicom").lower()
    if kind == b"multipart/related" and inner == b"application/dicom" and options.get(b"boundary"):
        return options[b"boundary"]
    raise UsageError(
        'expected multipart/related; type="application/dicom"; boundary=..., or application/dicom, '
        f"found {content_type[:80]!r}"
    )


async def parts(
    body: AsyncIterator[bytes], boundary: bytes | None, *, max_part_bytes: int, max_bytes: int
) -> AsyncIterator[bytes]:
    """Parts of a request body; only one part is held in memory at a time.

    Raises
    ------
    TooLargeError : a part or the whole goes beyond its bound.
    UsageError : the body is no multipart message, or ends too early.
    """
    reader = _Reader(boundary, max_part_bytes)
    received = 0
    async for chunk in body:
        received += len(chunk)
        if received > max_bytes:
            raise TooLargeError(
                f"expected a request of at most {max_bytes // _MB} MB, found more; send fewer "
                "objects at once or raise CARINA_MAX_REQUEST_MB"
            )
        for part in reader.feed(chunk):
            yield part
    for part in reader.finish():
        yield part


class _Reader:
    """Collects the bytes of the part that is coming in."""

    def __init__(self, boundary: bytes | None, max_part_bytes: int) -> None:
        self._max = max_part_bytes
        self._part = bytearray()
        self._complete: list[bytes] = []
        self._ended = boundary is None
        self._parser: MultipartParser | None = None
        if boundary is not None:
            try:
                self._parser = MultipartParser(boundary, self._callbacks())
            except FormParserError as error:
                raise _malformed(error) from error

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take some bytes of the body and give the parts that they completed."""
        if self._parser is None:
            self._collect(chunk, 0, len(chunk))
            return []
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _malformed(error) from error
        complete, self._complete = self._complete, []
        return complete

    def finish(self) -> list[bytes]:
        """Give what a body without parts held; a multipart message must have ended by itself."""
        if not self._ended:
            raise UsageError("expected the closing boundary of the multipart message, found none")
        return [bytes(self._part)] if self._parser is None else []

    def _callbacks(self) -> Any:
        return {
            "on_part_begin": self._part.clear,
            "on_part_data": self._collect,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _collect(self, data: bytes, start: int, end: int) -> None:
        if len(self._part) + end - start > self._max:
            raise TooLargeError(
                f"expected objects of at most {self._max // _MB} MB, found a larger one; raise "
                "CARINA_MAX_OBJECT_MB to take it in"
            )
        self._part += memoryview(data)[start:end]

    def _end_part(self) -> None:
        self._complete.append(bytes(self._part))
        self._part.clear()

    def _end(self) -> None:
        self._ended = True


def _malformed(error: FormParserError) -> UsageError:
    return UsageError(f"expected a multipart message, found a malformed one ({error})")
