"""How long things are kept: what is due by the settings, and its deletion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, false, func, or_, select

from service.errors import NotFoundError
from service.records import OWN_SOURCE, SCORED_CLASSES, AuditEvent
from service.store.database import advisory_lock
from service.store.deletions import Deletions, delete_held, forget_bare, hold_study, leave_bytes
from service.store.identifiers import hold_patient
from service.store.journal import write_audit
from service.store.risks import OBSERVATIONS_LOCK, point_at_newest_risk
from service.store.tables import (
    DELIVERIES,
    INSTANCES,
    OBSERVATIONS,
    OUTPATIENT_RISKS,
    PATIENTS,
    RESULTS,
    RISKS,
    STUDIES,
    VITALS,
)

REASON = "older than the retention rules keep"
RECENT = timedelta(days=7)
"""An admitted patient with a value of so many days is not touched."""

_IS_FILM = and_(INSTANCES.c.sop_class_uid.in_(SCORED_CLASSES), INSTANCES.c.source != OWN_SOURCE)


@dataclass(frozen=True, slots=True)
class Keep:
    """For how many days things are kept; 0: for ever.

    Parameters
    ----------
    films_days : a study with films, from its newest object on, as a whole.
    others_days : received objects that hold no film; a study without films as a whole.
    derived_days : SR and SEG that Carina made.
    observations_days : observations and risks, from the moment that they speak of.
    """

    films_days: int = 0
    others_days: int = 0
    derived_days: int = 0
    observations_days: int = 0


@dataclass(frozen=True, slots=True)
class Due:
    """What the rules would delete now: studies, then objects and values by study and patient."""

    studies: tuple[str, ...]
    objects: dict[str, int]
    values: dict[str, int]


class Retention(Deletions):
    """What is older than the rules keep. Each deletion looks again within its transaction."""

    def due(self, keep: Keep, now: datetime) -> Due:
        """Tell what the rules would delete at a moment; nothing is changed."""
        studies = select(STUDIES.c.study_uid).where(_study_is_due(keep, now))
        objects = (
            select(INSTANCES.c.study_uid, func.count().label("count"))
            .where(_object_is_due(keep, now), INSTANCES.c.study_uid.not_in(studies))
            .group_by(INSTANCES.c.study_uid)
        )
        with self._read() as connection:
            return Due(
                tuple(connection.execute(studies.order_by(STUDIES.c.received_at)).scalars()),
                {row.study_uid: row[1] for row in connection.execute(objects)},
                _values_due(connection, keep, now),
            )

    def delete_due_study(self, study_uid: str, keep: Keep, reason: str, audit: AuditEvent) -> bool:
        """Delete a study unless something has arrived or begun meanwhile; whether it was.

        Raises
        ------
        NotFoundError : it is gone already.
        """
        with self._write() as connection:
            patient_id = hold_study(connection, study_uid)
            due = select(STUDIES.c.study_uid).where(
                STUDIES.c.study_uid == study_uid, _study_is_due(keep, audit.at)
            )
            if connection.execute(due).first() is None:
                return False
            delete_held(connection, study_uid, patient_id, reason, audit)
            return True

    def delete_due_objects(self, study_uid: str, keep: Keep, audit: AuditEvent) -> int:
        """Delete the objects of a study that are due on their own; how many.

        Raises
        ------
        NotFoundError : the study is gone already.
        """
        with self._write() as connection:
            patient_id = hold_study(connection, study_uid)
            which = and_(INSTANCES.c.study_uid == study_uid, _object_is_due(keep, audit.at))
            query = select(INSTANCES.c.number, INSTANCES.c.object_key).where(which)
            rows = connection.execute(query).all()
            numbers = [row.number for row in rows]
            connection.execute(delete(INSTANCES).where(INSTANCES.c.number.in_(numbers)))
            leave_bytes(connection, {row.object_key for row in rows}, audit.at)
            if rows:
                about = replace(audit, patient_id=patient_id, study_uid=study_uid)
                write_audit(connection, replace(about, detail=f"{len(rows)} objects"))
        return len(rows)

    def delete_due_values(self, patient_id: str, keep: Keep, audit: AuditEvent) -> int:
        """Delete observations and risks of a patient that are due; how many.

        Raises
        ------
        NotFoundError : the patient is gone already.
        """
        with self._write() as connection:
            advisory_lock(connection, OBSERVATIONS_LOCK)
            held = hold_patient(connection, patient_id)
            if held not in _values_due(connection, keep, audit.at, held):
                return 0
            before = audit.at - timedelta(days=keep.observations_days)
            count = _delete_values(connection, held, before)
            about = replace(audit, patient_id=held, detail=f"{count} observations and risks")
            write_audit(connection, about)
            forget_bare(connection, held)
        return count


def apply(index: Retention, keep: Keep, actor: str, clock: Callable[[], datetime]) -> Due:
    """Delete what is due, each study, object list and patient's values in their own transaction.

    Returns
    -------
    What was deleted. The bytes follow by `sweep`.
    """
    due = index.due(keep, clock())
    studies = [one for one in due.studies if _gone(index, one, keep, actor, clock())]
    objects = {one: _less(index.delete_due_objects, one, keep, actor, clock())
               for one in due.objects}  # fmt: skip
    values = {one: _less(index.delete_due_values, one, keep, actor, clock()) for one in due.values}
    return Due(tuple(studies), objects, values)


def _gone(index: Retention, study_uid: str, keep: Keep, actor: str, now: datetime) -> bool:
    try:
        return index.delete_due_study(study_uid, keep, REASON, _audit(actor, now))
    except NotFoundError:
        return False


def _less(
    delete_due: Callable[[str, Keep, AuditEvent], int],
    one: str,
    keep: Keep,
    actor: str,
    now: datetime,
) -> int:
    try:
        return delete_due(one, keep, _audit(actor, now))
    except NotFoundError:
        return 0


def _audit(actor: str, now: datetime) -> AuditEvent:
    return AuditEvent(now, actor, "delete", "success", detail=REASON)


def _older(moment: ColumnElement[Any], days: int, now: datetime) -> ColumnElement[bool]:
    """Tell whether a moment lies further back than so many days; 0: never."""
    return moment < now - timedelta(days=days) if days else false()


def _is_in_care(patient_id: ColumnElement[Any], now: datetime) -> ColumnElement[bool]:
    """Tell whether a patient is admitted and has values of the last days."""
    of_patient = PATIENTS.c.patient_id == patient_id
    inside = and_(PATIENTS.c.admitted_at.is_not(None), PATIENTS.c.discharged_at.is_(None))
    recent = exists().where(
        VITALS.c.patient_id == PATIENTS.c.patient_id, VITALS.c.observed_at >= now - RECENT
    )
    return exists().where(of_patient, inside, recent).correlate_except(PATIENTS)


def _is_open() -> ColumnElement[bool]:
    """Tell whether a study waits for its result, or a result of it for a destination."""
    waiting = (
        select(RESULTS.c.study_uid)
        .join(DELIVERIES, RESULTS.c.result_id == DELIVERIES.c.result_id)
        .where(DELIVERIES.c.state == "waiting")
    )  # once for all studies
    return or_(STUDIES.c.revision > STUDIES.c.scored_revision, STUDIES.c.study_uid.in_(waiting))


def _may_go(now: datetime) -> ColumnElement[bool]:
    return and_(~_is_open(), ~_is_in_care(STUDIES.c.patient_id, now))


def _has_film() -> ColumnElement[bool]:
    return (
        exists()
        .where(INSTANCES.c.study_uid == STUDIES.c.study_uid, _IS_FILM)
        .correlate_except(INSTANCES)
    )


def _study_is_due(keep: Keep, now: datetime) -> ColumnElement[bool]:
    held = INSTANCES.alias()
    newest = (
        select(func.max(held.c.received_at))
        .where(held.c.study_uid == STUDIES.c.study_uid, held.c.source != OWN_SOURCE)
        .correlate(STUDIES)
        .scalar_subquery()
    )
    films = and_(_has_film(), _older(newest, keep.films_days, now))
    others = and_(~_has_film(), _older(newest, keep.others_days, now))
    return and_(or_(films, others), _may_go(now))


def _object_is_due(keep: Keep, now: datetime) -> ColumnElement[bool]:
    """Tell whether an object goes although its study stays."""
    received = INSTANCES.c.received_at
    own = and_(INSTANCES.c.source == OWN_SOURCE, _older(received, keep.derived_days, now))
    other = and_(
        INSTANCES.c.source != OWN_SOURCE, ~_IS_FILM, _older(received, keep.others_days, now)
    )
    free = exists().where(STUDIES.c.study_uid == INSTANCES.c.study_uid, _may_go(now))
    return and_(or_(own, other), free.correlate_except(STUDIES))


def _values_due(
    connection: Connection, keep: Keep, now: datetime, patient_id: str = ""
) -> dict[str, int]:
    """How many observations and risks of each patient, or of one, are due."""
    found: Counter[str] = Counter()
    for table, moment in ((OBSERVATIONS, OBSERVATIONS.c.observed_at), (RISKS, RISKS.c.at)):
        query = (
            select(table.c.patient_id, func.count().label("count"))
            .where(
                _older(moment, keep.observations_days, now),
                ~_is_in_care(table.c.patient_id, now),
            )
            .group_by(table.c.patient_id)
        )
        if patient_id:
            query = query.where(table.c.patient_id == patient_id)
        found.update({row.patient_id: row[1] for row in connection.execute(query)})
    return dict(found)


def _delete_values(connection: Connection, patient_id: str, before: datetime) -> int:
    old = and_(OBSERVATIONS.c.patient_id == patient_id, OBSERVATIONS.c.observed_at < before)
    numbers = select(OBSERVATIONS.c.number).where(old)
    connection.execute(delete(VITALS).where(VITALS.c.number.in_(numbers)))
    past = and_(RISKS.c.patient_id == patient_id, RISKS.c.at < before)
    gone = [connection.execute(delete(OBSERVATIONS).where(old)).rowcount]
    gone.append(connection.execute(delete(RISKS).where(past)).rowcount)
    outside = OUTPATIENT_RISKS.c.patient_id == patient_id
    connection.execute(delete(OUTPATIENT_RISKS).where(outside, OUTPATIENT_RISKS.c.at < before))
    point_at_newest_risk(connection, patient_id)
    return sum(gone)
