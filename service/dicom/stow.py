"""STOW-RS (PS3.18 10.5): parts out of a request, part by part, and the answer about them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from service.dicom import dicom_json
from service.dicom.ingest import Taken
from service.dicom.multipart import Reader
from service.errors import CarinaError, TooLargeError

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
                    "RetrieveURL": f"{self.retrieve_url}/studies/{one.study_uid}"
                    f"/series/{one.series_uid}/instances/{one.sop_instance_uid}",
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


async def parts(
    body: AsyncIterator[bytes], boundary: bytes | None, *, max_part_bytes: int, max_bytes: int
) -> AsyncIterator[bytes]:
    """Parts of a request body; only one part is held in memory at a time.

    Raises
    ------
    TooLargeError : a part or the whole goes beyond its bound.
    UsageError : the body is no multipart message, or ends too early.
    """
    reader = Reader(boundary, max_part_bytes)
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
