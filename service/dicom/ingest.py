"""The one way in: bytes on disk, row committed, workflow enqueued, and only then an answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Literal

import structlog
from pydicom.uid import UID

from service import metrics
from service.dicom import keywords, sop_classes
from service.dicom.header import (
    Header,
    file_meta,
    read_file_header,
    read_header,
    same_data_set,
    with_preamble,
)
from service.dicom.reception import Received, Reception
from service.errors import (
    CarinaError,
    InvalidObjectError,
    NotFoundError,
    OutOfResourcesError,
    TooLargeError,
)
from service.records import OWN_SOURCE, SCORED_CLASSES, AuditEvent
from service.store import retrievals
from service.store.arrival import Kept
from service.store.index import Index
from service.store.objects import ObjectStore
from service.store.soundness import is_sound

Outcome = Literal["stored", "duplicate", "conflict"]
_MB = 1 << 20
_MOST_META_BYTES = 64 << 10
_REFUSALS = {OutOfResourcesError: "out_of_resources", TooLargeError: "too_large"}
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of an object; in each case its bytes are durable."""

    outcome: Outcome
    sop_class_uid: str
    sop_instance_uid: str
    study_uid: str
    series_uid: str


class Ingest:
    """Takes objects in, from C-STORE, STOW-RS, the import command and the pull of priors.

    Parameters
    ----------
    arrived : called with the study UID after the commit and before the answer; it must be durable.
        When it raises, nothing is acknowledged; the same object sent again calls it again.
    max_object_mb : larger objects are refused.
    min_free_disk_mb : with less free space nothing is taken in.
    """

    def __init__(
        self,
        index: Index,
        objects: ObjectStore,
        arrived: Callable[[str], None],
        clock: Callable[[], datetime],
        *,
        max_object_mb: int = 512,
        min_free_disk_mb: int = 512,
    ) -> None:
        self._index = index
        self._objects = objects
        self._arrived = arrived
        self._clock = clock
        self._min_free_disk_mb = min_free_disk_mb
        self.max_object_bytes = max_object_mb * _MB

    def reception(self, transfer_syntax_uid: str, announced_uid: str) -> Reception:
        """Begin to take in a data set that comes in pieces; when it is whole give it to `take`."""

        def admit(header: Header) -> None:
            _check_identity(header, announced_uid)
            self._check_disk()

        return Reception(self._objects, transfer_syntax_uid, admit)

    def take(
        self,
        data: bytes | Reception,
        *,
        source: str,
        actor: str,
        address: str = "",
        transfer_syntax_uid: str | None = None,
        announced_uid: str = "",
        pulled: bool = False,
    ) -> Taken:
        """Make an object durable, index it and start its study.

        Parameters
        ----------
        data : a whole DICOM file; with `transfer_syntax_uid` an encoded data set without preamble,
            or what `reception` began.
        source : where it came from, as in `Instance.source`.
        actor : AE title or user, for the audit.
        announced_uid : the SOP Instance UID that the sender will take the answer for.
        pulled : the sender answers a question of ours for a patient's priors. What is of another
            patient is kept aside.

        Raises
        ------
        InvalidObjectError : no DICOM object that can be kept.
        TooLargeError : beyond the configured bound.
        OutOfResourcesError : disk full, database or queue away; send it again later.
        """
        with _refusals_counted(source):
            received = self._received(data, transfer_syntax_uid)
            header = received.header
            _check_identity(header, announced_uid)
            self._check_disk()
            asked_for = self._asked_for(header) if pulled else ""
            taken = self._keep(
                received,
                source,
                asked_for,
                AuditEvent(
                    at=self._clock(),
                    actor=actor,
                    action="receive",
                    outcome="success",
                    patient_id=keywords.patient_of(header).patient_id,
                    study_uid=header["StudyInstanceUID"],
                    address=address,
                    detail=f"{UID(header['SOPClassUID']).name} from {source}",
                ),
            )
            scored = taken.sop_class_uid in SCORED_CLASSES and source != OWN_SOURCE
            if scored and taken.outcome != "conflict":
                self._start(taken.study_uid)
        count(source, taken.outcome)
        return taken

    def _received(self, data: bytes | Reception, transfer_syntax_uid: str | None) -> Received:
        if isinstance(data, Reception):
            self._check_size(data.size_bytes)
            received = data.received()
            if received is not None:
                return received
            data = data.getvalue()
        self._check_size(len(data))
        if transfer_syntax_uid is None:
            data = with_preamble(data)
            header = read_file_header(data)
        else:
            header = read_header(data, transfer_syntax_uid)
            data = _as_file(data, header)
        keep = partial(self._objects.put, data, ".dcm")
        return Received(header, hashlib.sha256(data).hexdigest(), len(data), lambda: data, keep)

    def _asked_for(self, header: Header) -> str:
        """The patient that a study was retrieved for; "" where nobody asked for it."""
        retrieval = retrievals.retrieved(self._index, header["StudyInstanceUID"])
        return retrieval.patient_id or "" if retrieval else ""

    def _keep(self, received: Received, source: str, asked_for: str, audit: AuditEvent) -> Taken:
        """Write the bytes, then the rows; an object that is there already is not written again."""
        header, received_at = received.header, audit.at
        kept = self._index.kept_under(header["SOPInstanceUID"])
        again = kept is not None and self._is_same(kept, received)
        sha256 = kept.sha256 if kept and again else received.sha256
        key = self._held_again(kept, received) if kept and again else received.keep()
        instance = keywords.instance_of(
            header,
            object_key=key,
            sha256=sha256,
            size_bytes=received.size_bytes,
            received_at=received_at,
            source=source,
        )
        # When the commit fails the bytes stay: it may have happened although its answer was lost.
        outcome = self._index.add_instance(
            instance,
            keywords.study_of(header, received_at, audit.actor),
            keywords.patient_of(header),
            audit,
            again=again,
            asked_for=asked_for,
        )
        if outcome == "duplicate" and not again:  # the same object came in twice at once
            self._objects.delete(key)
        if outcome == "conflict":
            _log.warning(
                "other bytes under a known SOP Instance UID, or an object of another patient, "
                "were kept aside",
                object_key=key,
                source=source,
            )
        return Taken(
            outcome,
            instance.sop_class_uid,
            instance.sop_instance_uid,
            instance.study_uid,
            instance.series_uid,
        )

    def _held_again(self, kept: Kept, received: Received) -> str:
        """The key of an object that is known; bytes that were lost or damaged are written again."""
        if kept.sha256 == received.sha256 and not self._is_held(kept):
            self._objects.keep(kept.object_key, received.read())
            _log.warning("lost bytes were sent again", object_key=kept.object_key)
        return kept.object_key

    def _is_held(self, kept: Kept) -> bool:
        """Whether the store has an object as it was received: 0x0000 must not rest on the index."""
        try:
            return is_sound(self._objects.get(kept.object_key), kept.sha256)
        except NotFoundError:
            return False

    def _is_same(self, kept: Kept, received: Received) -> bool:
        """Whether an object that is kept is this one; STOW-RS and C-STORE differ before it."""
        if kept.sha256 == received.sha256:
            return True
        if abs(kept.size_bytes - received.size_bytes) > _MOST_META_BYTES:
            return False
        try:
            return same_data_set(received.read(), self._objects.get(kept.object_key))
        except (NotFoundError, InvalidObjectError):  # its file is lost: the new one is kept aside
            return False

    def _start(self, study_uid: str) -> None:
        try:
            self._arrived(study_uid)
        except CarinaError:
            raise
        except Exception as error:
            # The edge to the workflow engine: unless it took the study, nothing is acknowledged.
            raise OutOfResourcesError(
                f"expected the study to be queued, found {type(error).__name__}; send it again"
            ) from error

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self.max_object_bytes:
            raise TooLargeError(
                f"expected an object of at most {self.max_object_bytes // _MB} MB, found "
                f"{size_bytes // _MB} MB; raise CARINA_MAX_OBJECT_MB to take it in"
            )

    def _check_disk(self) -> None:
        free_mb = self._objects.free_mb()
        if free_mb < self._min_free_disk_mb:
            raise OutOfResourcesError(
                f"expected {self._min_free_disk_mb} MB of free disk space, found {free_mb} MB; "
                "free some space, then send it again"
            )


@contextmanager
def _refusals_counted(source: str) -> Iterator[None]:
    try:
        yield
    except CarinaError as error:
        count(source, _REFUSALS.get(type(error), "refused"))
        raise


def count(source: str, outcome: str) -> None:
    """Count what became of an object, by the way it came."""
    metrics.RECEIVED.labels(source.partition(":")[0], outcome).inc()


def _as_file(data_set: bytes, header: Header) -> bytes:
    """Put preamble and file meta group before a received data set, whose bytes stay as sent."""
    sop_class_uid, uid = keywords.uid(header, "SOPClassUID"), keywords.uid(header, "SOPInstanceUID")
    return file_meta(sop_class_uid, uid, header.transfer_syntax_uid) + data_set


def _check_identity(header: Header, announced_uid: str) -> None:
    for keyword in ("SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID"):
        keywords.uid(header, keyword)
    if announced_uid and announced_uid != header["SOPInstanceUID"]:
        # PS3.4 B.2.3 (0xA9xx): the sender would delete an object that was never kept.
        raise InvalidObjectError(
            "expected the SOP Instance UID that the request announced, found another one in the "
            "data set; correct it at the sender"
        )
    if not sop_classes.is_storable(header["SOPClassUID"], header.transfer_syntax_uid):
        raise InvalidObjectError(
            f"expected a storage class and transfer syntax of the conformance statement, found "
            f"{header['SOPClassUID']} in {header.transfer_syntax_uid}"
        )
