"""One object arrives: what is written of it, in the transaction that its sender waits for.

Each statement is built once: building it anew for every object took longer than running it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update

from service.errors import NotFoundError, OutOfResourcesError
from service.records import OWN_SOURCE, SCORED_CLASSES, AuditEvent, Instance, Patient, Study
from service.store import payloads
from service.store.database import insert_if_missing
from service.store.identifiers import make_known, surviving
from service.store.journal import write_audit, write_news
from service.store.tables import DELETIONS, INSTANCES, PATIENTS, STUDIES

Outcome = Literal["stored", "duplicate", "conflict"]

_SAID_OF = ("name", "birth_date", "sex")
_FILLED_IN = ("acquired_at", "accession_number", "description", "referring_ae")
_HOLD_PATIENT = (
    select(*(PATIENTS.c[name] for name in _SAID_OF))
    .where(PATIENTS.c.patient_id == bindparam("asked"))
    .with_for_update()
)
_STUDY = select(STUDIES).where(STUDIES.c.study_uid == bindparam("asked"))
_HOLD_STUDY = _STUDY.with_for_update()
_DELETED = select(DELETIONS.c.revision).where(DELETIONS.c.study_uid == bindparam("asked"))
_KEPT = select(INSTANCES.c.sha256, INSTANCES.c.state).where(
    INSTANCES.c.sop_instance_uid == bindparam("asked")
)
_ADD_INSTANCE = insert(INSTANCES)
_COUNT_FILM = (
    update(STUDIES)
    .where(STUDIES.c.study_uid == bindparam("asked"))
    .values(revision=STUDIES.c.revision + 1)
)


@dataclass(frozen=True, slots=True)
class Kept:
    """Where the bytes of an object in force are, and which they are."""

    object_key: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """An object whose bytes are durable, and what it says of its study and patient.

    Parameters
    ----------
    again : the object was known, and its bytes have not been written again.
    asked_for : the patient that its study was retrieved for; "" where nobody asked for it.
    """

    instance: Instance
    study: Study
    patient: Patient
    audit: AuditEvent
    again: bool = False
    asked_for: str = ""

    @property
    def is_own(self) -> bool:
        """Whether Carina made the object itself."""
        return self.instance.source == OWN_SOURCE

    @property
    def is_scored(self) -> bool:
        """Whether it is a film that has its study judged anew."""
        return self.instance.sop_class_uid in SCORED_CLASSES and not self.is_own


def keep(connection: Connection, arrival: Arrival) -> Outcome:
    """Write the rows of an object: patient, study, audit, instance, news.

    Raises
    ------
    OutOfResourcesError, NotFoundError : as `Images.add_instance`.
    """
    instance, study_uid = arrival.instance, arrival.study.study_uid
    patient_id = _owner(connection, arrival)
    if arrival.is_own:
        _insist_on_study(connection, study_uid)
    owner = _keep_study(connection, replace(arrival.study, patient_id=patient_id))
    mine = owner == patient_id and _is_whom_it_was_asked_for(connection, arrival, patient_id)
    outcome = _outcome(connection, instance, mine=mine)
    write_audit(connection, arrival.audit)
    if outcome == "duplicate":
        return "duplicate"
    if arrival.again:
        raise OutOfResourcesError(
            "expected a known object, found that it was deleted meanwhile; send it again"
        )
    state = "conflict" if outcome == "conflict" else instance.state
    connection.execute(_ADD_INSTANCE, payloads.columns(instance) | {"state": state})
    if outcome == "conflict":
        write_audit(connection, _aside(arrival.audit, mine=mine))
        return "conflict"
    if arrival.is_scored:
        connection.execute(_COUNT_FILM, {"asked": study_uid})
    write_news(connection, "study", patient_id, instance.received_at)
    return "stored"


def _owner(connection: Connection, arrival: Arrival) -> str:
    """Whose object it is; a study that was retrieved never renames its patient."""
    if arrival.asked_for:
        return make_known(connection, arrival.patient)
    return _keep_patient(connection, arrival.patient)


def _is_whom_it_was_asked_for(connection: Connection, arrival: Arrival, patient_id: str) -> bool:
    return not arrival.asked_for or surviving(connection, arrival.asked_for) == patient_id


def _keep_patient(connection: Connection, patient: Patient) -> str:
    """Make the patient known; what a film says of them never touches ward or admission.

    Returns
    -------
    The identifier in force. Under a merged one a film no longer says who the patient is.
    """
    asked = patient.patient_id
    if insert_if_missing(connection, PATIENTS, payloads.columns(patient)):
        if surviving(connection, asked) == asked:
            return asked
    else:
        known = connection.execute(_HOLD_PATIENT, {"asked": asked}).mappings().first()
        if known is not None and surviving(connection, asked) == asked:
            _correct(connection, patient, known)
            return asked
    return make_known(connection, patient)  # under another identifier, or deleted meanwhile


def _correct(connection: Connection, patient: Patient, known: RowMapping) -> None:
    """Take over what the newest film says of a patient, where it says anything."""
    said = {name: getattr(patient, name) for name in _SAID_OF}
    other = {name: value for name, value in said.items() if value and value != known[name]}
    if other:
        where = PATIENTS.c.patient_id == patient.patient_id
        connection.execute(update(PATIENTS).where(where).values(other))


def _keep_study(connection: Connection, study: Study) -> str:
    """Make the study known, fill in what the first object left open, and give whose it is."""
    values = payloads.columns(study) | {"revision": 0}
    values["ordered_at"] = study.acquired_at or study.received_at
    if insert_if_missing(connection, STUDIES, values):
        _go_on_counting(connection, study.study_uid)
        return study.patient_id
    kept = connection.execute(_HOLD_STUDY, {"asked": study.study_uid}).mappings().one()
    filled: dict[str, Any] = {
        name: values[name] for name in _FILLED_IN if not kept[name] and values[name]
    }
    if "acquired_at" in filled:
        filled["ordered_at"] = filled["acquired_at"]
    if filled and kept["patient_id"] == study.patient_id:
        where = STUDIES.c.study_uid == study.study_uid
        connection.execute(update(STUDIES).where(where).values(filled))
    return str(kept["patient_id"])


def _go_on_counting(connection: Connection, study_uid: str) -> None:
    """Count the films of a study that was deleted before on behind its last revision.

    Its jobs and results have other names than those of the films that are gone.
    """
    revision = connection.execute(_DELETED, {"asked": study_uid}).scalar()
    if revision:
        where = STUDIES.c.study_uid == study_uid
        connection.execute(
            update(STUDIES).where(where).values(revision=revision, scored_revision=revision)
        )


def _insist_on_study(connection: Connection, study_uid: str) -> None:
    asked = {"asked": study_uid}
    if connection.execute(_STUDY, asked).first() is None and (
        connection.execute(_DELETED, asked).first() is not None
    ):
        raise NotFoundError("expected the study of a result's object, found none: it was deleted")


def _outcome(connection: Connection, instance: Instance, mine: bool) -> Outcome:
    """What becomes of an object beside those that are kept under its UID already.

    "duplicate" also for a conflicting object that was kept aside before. What was kept aside for
    its patient alone comes into force when it is sent again as that patient's.
    """
    rows = connection.execute(_KEPT, {"asked": instance.sop_instance_uid}).all()
    in_force = any(row.state != "conflict" for row in rows)
    if mine and not in_force:
        return "stored"
    return "duplicate" if any(row.sha256 == instance.sha256 for row in rows) else "conflict"


def _aside(received: AuditEvent, *, mine: bool) -> AuditEvent:
    """Say that an object that was received is not in force; told once, not at each sending."""
    why = "other bytes under a known SOP Instance UID" if mine else "it is of another patient"
    return replace(received, action="conflict", outcome="failure", detail=f"kept aside: {why}")
