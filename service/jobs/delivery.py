"""Results on their way out: SR and SEG are made once, kept, and sent until they are taken."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from ssl import SSLContext
from typing import Literal, TypeVar
from uuid import UUID, uuid5

import numpy as np
import structlog
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword

from service import metrics
from service.decoding import Decoding
from service.dicom import dicom_json, source_image
from service.dicom.description import Descriptions
from service.errors import (
    DeliveryError,
    InvalidObjectError,
    NotFoundError,
    OutOfResourcesError,
    UsageError,
)
from service.jobs.artifacts import unpack_structures
from service.jobs.pipeline import log_failure
from service.records import OWN_SOURCE, AuditEvent, Commitment, Delivery, Instance, StudyResult
from service.settings import Settings
from service.store import retrievals
from service.store.index import Index
from service.store.objects import ObjectStore

DELIVERY_IDS = UUID("7b0a3a55-8e1b-4b8e-9a53-6c6f0d2f5b11")
MOST_ATTEMPTS = 100  # with waits of at most an hour: about four days
TAKEN_FOR = timedelta(minutes=5)
Attempted = TypeVar("Attempted", Delivery, Commitment)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outbox:
    """How results leave: what makes the objects, what sends them, and where to.

    Parameters
    ----------
    report : header of the film and result -> SR file.
    segmentation : header of the film, result, masks (20, H, W) -> SEG file.
        Both give the same UID for the same result.
    send : file and destination; raises DeliveryError to be tried again.
    destinations : `AETITLE@host:port`, with `/tls` behind it for TLS.
    commit : tells a node which of its objects are kept; as `send`.
    """

    report: Callable[[Dataset, StudyResult], bytes]
    segmentation: Callable[[Dataset, StudyResult, NDArray[np.bool_]], bytes]
    send: Callable[[bytes, str], None]
    destinations: tuple[str, ...]
    commit: Callable[[Commitment, Mapping[str, str]], None]


def prepare(
    result_id: str,
    index: Index,
    objects: ObjectStore,
    outbox: Outbox,
    now: datetime,
    *,
    decoding: Decoding,
) -> tuple[str, ...]:
    """Make the SR and the SEG of a result, keep them in its study, and put them on their way.

    The same result twice makes nothing new: their UIDs follow from its identifier. A result that
    repeats the findings of the one before makes nothing at all.

    Parameters
    ----------
    decoding : reads the film's header where that takes more than a moment.

    Returns
    -------
    The SOP Instance UIDs of what is kept.
    """
    try:
        result = index.result(result_id)
    except NotFoundError:  # its study was deleted
        return ()
    if result.status != "ok" or result.sop_instance_uid is None or _repeats(result, index):
        return ()
    film = index.instance(result.sop_instance_uid)
    try:
        source = _header(film, Descriptions(index, objects, decoding))
    except InvalidObjectError as error:
        _log.warning("no report of a film", result_id=result_id, why=error.message)
        index.add_audit(_audit(result, now, "failure", "the film's header could not be read"))
        return ()
    uids = []
    for make in (_report, _segmentation):
        try:
            data = make(source, result, objects, outbox)
        except OutOfResourcesError:
            raise
        except Exception as error:  # noqa: BLE001  # one object that cannot be made: send the other
            log_failure("report failed", error, result_id=result_id)
            index.add_audit(
                _audit(result, now, "failure", f"{make.__name__[1:]} could not be made")
            )
            continue
        if data is not None:
            uids.append(_keep(data, result, index, objects, now))
    # A pulled prior was reported on when it was new: nobody waits for a report of it today.
    is_prior = retrievals.retrieved(index, result.study_uid) is not None
    for uid in uids:
        for destination in () if is_prior else outbox.destinations:
            index.add_delivery(_delivery(result_id, uid, destination, now))
    return tuple(uids)


def _header(film: Instance, descriptions: Descriptions) -> Dataset:
    """What a film's results take over from it."""
    tags = [tag for tag in map(tag_for_keyword, source_image.KEYWORDS) if tag is not None]
    return dicom_json.data_set(descriptions.of(film, tags))


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


def _is_kept(uid: str, index: Index) -> bool:
    try:
        index.instance(uid)
    except NotFoundError:
        return False
    return True


def _report(
    source: Dataset, result: StudyResult, objects: ObjectStore, outbox: Outbox
) -> bytes | None:
    return outbox.report(source, result)


def _segmentation(
    source: Dataset, result: StudyResult, objects: ObjectStore, outbox: Outbox
) -> bytes | None:
    """The masks of the visible structures; nothing where none is visible."""
    structures = unpack_structures(objects.get(result.artifacts["structures"]))
    if not any(structures.visible):
        return None
    return outbox.segmentation(source, result, structures.masks())


def _keep(
    data: bytes, result: StudyResult, index: Index, objects: ObjectStore, now: datetime
) -> str:
    """Keep an object of our own in the study, once, and give its UID."""
    ds = dcmread(io.BytesIO(data), stop_before_pixels=True)
    uid = str(ds.SOPInstanceUID)
    if _is_kept(uid, index):
        return uid
    instance = Instance(
        sop_instance_uid=uid,
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
    audit = _audit(result, now, "success", instance.modality)
    try:
        study, patient = index.study(result.study_uid), index.patient(result.patient_id)
        index.add_instance(instance, study, patient, audit)
    except NotFoundError:  # the study was deleted meanwhile
        objects.delete(instance.object_key)
        raise
    return uid


def _audit(
    result: StudyResult, now: datetime, outcome: Literal["success", "failure"], detail: str
) -> AuditEvent:
    return AuditEvent(
        at=now,
        actor="system",
        action="report",
        outcome=outcome,
        patient_id=result.patient_id,
        study_uid=result.study_uid,
        detail=detail,
    )


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
        if tried.state == "waiting":
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
    except OutOfResourcesError:
        raise
    except (UsageError, NotFoundError) as error:
        return replace(tried, state="failed", message=error.message)
    except DeliveryError as error:
        return failed(tried, error.message)
    except Exception as error:  # noqa: BLE001  # one object that breaks never holds up the others
        log_failure("delivery broke", error, delivery_id=delivery.delivery_id)
        return failed(tried, f"Unexpected {type(error).__name__}: see the log.")
    return replace(tried, state="delivered", message="")


def failed(tried: Attempted, why: str, event: str = "delivery failed") -> Attempted:
    """The same after an attempt in vain: it waits for the next one, or is given up at last."""
    given_up = tried.attempts >= MOST_ATTEMPTS
    _log.warning(event, attempts=tried.attempts, given_up=given_up)
    return replace(tried, state="failed" if given_up else "waiting", message=why)


def check_destinations(settings: Settings) -> None:
    """Look at destinations and nodes before anything is sent.

    Raises
    ------
    UsageError : one has another form, or TLS is asked for with files that cannot be used.
    """
    _tls(settings)


def _tls(settings: Settings) -> SSLContext | None:
    """How TLS is spoken to destinations and nodes; None where none of them speaks it."""
    from service.dicom import deliver, tls  # noqa: PLC0415  # pynetdicom is slow

    everybody = (*settings.destinations, *settings.nodes)
    secured = [deliver.parse_destination(one).tls for one in everybody]
    return tls.of_destination(settings) if any(secured) else None


def default_outbox(settings: Settings) -> Outbox:
    """The SR and SEG of `dicom/objects.py` by C-STORE, and commitments by N-EVENT-REPORT."""
    from service.dicom import commitment, deliver, objects  # noqa: PLC0415  # a second to load

    context = _tls(settings)
    addresses = commitment.addresses(settings.nodes)

    def send(data: bytes, destination: str) -> None:
        deliver.send(data, destination, settings.ae_title, context)

    def commit(question: Commitment, kept: Mapping[str, str]) -> None:
        if question.ae_title not in addresses:
            raise DeliveryError(
                f"expected the address of {question.ae_title} in CARINA_NODES, found none"
            )
        node = addresses[question.ae_title]
        commitment.report(question, kept, node, settings.ae_title, context)

    return Outbox(
        objects.severity_report,
        partial(objects.structures_segmentation, plane=settings.segmentation_plane),
        send,
        settings.destinations,
        commit,
    )
