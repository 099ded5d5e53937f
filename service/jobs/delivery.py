"""Results on their way out: SR and SEG are made once, kept, and sent until they are taken."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid5

import numpy as np
import structlog
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from service import metrics
from service.errors import DeliveryError, NotFoundError, UsageError
from service.jobs.artifacts import unpack_structures
from service.records import OWN_SOURCE, AuditEvent, Delivery, Instance, StudyResult
from service.store.index import Index
from service.store.objects import ObjectStore

DELIVERY_IDS = UUID("7b0a3a55-8e1b-4b8e-9a53-6c6f0d2f5b11")
MOST_ATTEMPTS = 100  # with waits of at most an hour: about four days
TAKEN_FOR = timedelta(minutes=5)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outbox:
    """How results leave: what makes the objects, what sends them, and where to.

    Parameters
    ----------
    report : source film, result and SOP Instance UID -> SR file.
    segmentation : source film, result, masks (20, H, W), visibility, SOP Instance UID -> SEG file.
    send : file and destination; raises DeliveryError to be tried again.
    destinations : `AETITLE@host:port`.
    """

    report: Callable[[Dataset, StudyResult, str], bytes]
    segmentation: Callable[[Dataset, StudyResult, NDArray[np.bool_], tuple[bool, ...], str], bytes]
    send: Callable[[bytes, str], None]
    destinations: tuple[str, ...]


def prepare(
    result_id: str, index: Index, objects: ObjectStore, outbox: Outbox, now: datetime
) -> tuple[str, ...]:
    """Make the SR and the SEG of a result, keep them in its study, and put them on their way.

    The same result twice makes nothing new: their UIDs follow from its identifier. A result that
    repeats the findings of the one before makes nothing at all.

    Returns
    -------
    The SOP Instance UIDs of what was made, now or before.
    """
    result = index.result(result_id)
    if result.status != "ok" or result.sop_instance_uid is None or _repeats(result, index):
        return ()
    film = index.instance(result.sop_instance_uid)
    uids = tuple(_uid(result_id, kind) for kind in ("SR", "SEG"))
    if not all(_is_kept(uid, index) for uid in uids):
        source = dcmread(io.BytesIO(objects.get(film.object_key)))
        for uid, make in zip(uids, (_report, _segmentation), strict=True):
            if not _is_kept(uid, index):
                _keep(make(source, result, uid, objects, outbox), result, index, objects, now)
    for uid in uids:
        for destination in outbox.destinations:
            index.add_delivery(_delivery(result_id, uid, destination, now))
    return uids


def _repeats(result: StudyResult, index: Index) -> bool:
    """Whether the result that this one supersedes said the same of the same film."""
    if result.supersedes is None:
        return False
    earlier = index.result(result.supersedes)
    return (earlier.sop_instance_uid, earlier.severity, earlier.structures, earlier.change) == (
        result.sop_instance_uid,
        result.severity,
        result.structures,
        result.change,
    )


def _uid(result_id: str, kind: str) -> str:
    """A UID that follows from the result (PS3.5 B.2: 2.25. and a UUID as a number)."""
    return f"2.25.{uuid5(DELIVERY_IDS, f'{result_id} {kind}').int}"


def _is_kept(uid: str, index: Index) -> bool:
    try:
        index.instance(uid)
    except NotFoundError:
        return False
    return True


def _report(
    source: Dataset, result: StudyResult, uid: str, objects: ObjectStore, outbox: Outbox
) -> bytes:
    return outbox.report(source, result, uid)


def _segmentation(
    source: Dataset, result: StudyResult, uid: str, objects: ObjectStore, outbox: Outbox
) -> bytes:
    structures = unpack_structures(objects.get(result.artifacts["structures"]))
    return outbox.segmentation(source, result, structures.masks(), structures.visible, uid)


def _keep(
    data: bytes, result: StudyResult, index: Index, objects: ObjectStore, now: datetime
) -> None:
    ds = dcmread(io.BytesIO(data), stop_before_pixels=True)
    instance = Instance(
        sop_instance_uid=str(ds.SOPInstanceUID),
        sop_class_uid=str(ds.SOPClassUID),
        series_uid=str(ds.SeriesInstanceUID),
        study_uid=result.study_uid,
        transfer_syntax_uid=str(ds.file_meta.TransferSyntaxUID),
        object_key=objects.put(data, ".dcm"),
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        received_at=now,
        source=OWN_SOURCE,
        modality=str(ds.Modality),
    )
    study = index.study(result.study_uid)
    audit = AuditEvent(now, "system", "report", "success", result.patient_id, result.study_uid)
    index.add_instance(instance, study, index.patient(result.patient_id), audit)


def _delivery(result_id: str, uid: str, destination: str, now: datetime) -> Delivery:
    name = str(uuid5(DELIVERY_IDS, f"{uid} {destination}"))
    return Delivery(name, result_id, destination, uid, "waiting", 0, now)


def send_due(index: Index, objects: ObjectStore, outbox: Outbox, now: datetime) -> int:
    """Try what is due once. A destination that fails rests until the next pass.

    Returns
    -------
    How many objects were delivered.
    """
    delivered = 0
    silent: set[str] = set()
    for delivery in index.take_deliveries(now, now + TAKEN_FOR):
        if delivery.destination in silent:
            index.set_delivery(replace(delivery, updated_at=now))  # due again as before
            continue
        tried = _try(delivery, index, objects, outbox, now)
        index.set_delivery(tried)
        delivered += tried.state == "delivered"
        if tried.state != "delivered":
            silent.add(delivery.destination)
        metrics.SENT.labels(tried.state).inc()
    return delivered


def _try(
    delivery: Delivery, index: Index, objects: ObjectStore, outbox: Outbox, now: datetime
) -> Delivery:
    tried = replace(delivery, attempts=delivery.attempts + 1, updated_at=now)
    try:
        key = index.instance(delivery.sop_instance_uid).object_key
        outbox.send(objects.get(key), delivery.destination)
    except UsageError as error:
        return replace(tried, state="failed", message=error.message)
    except DeliveryError as error:
        given_up = tried.attempts >= MOST_ATTEMPTS
        _log.warning("delivery failed", attempts=tried.attempts, given_up=given_up)
        return replace(tried, state="failed" if given_up else "waiting", message=error.message)
    return replace(tried, state="delivered", message="")


def check_destinations(destinations: Sequence[str], parse: Callable[[str], object]) -> None:
    """Raise UsageError at start for a destination that cannot be one."""
    for destination in destinations:
        parse(destination)


def default_outbox(destinations: tuple[str, ...], calling_ae: str) -> Outbox:
    """The SR and SEG of `dicom/objects.py`, sent by C-STORE."""
    from service.dicom import deliver, objects  # noqa: PLC0415  # highdicom takes a second to load

    check_destinations(destinations, deliver.parse_destination)

    def send(data: bytes, destination: str) -> None:
        deliver.send(data, destination, calling_ae)

    return Outbox(objects.severity_report, objects.structures_segmentation, send, destinations)
