"""Deleted studies and objects: the rows in one transaction, the bytes after it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, and_, delete, exists, or_, select, update

from service.errors import NotFoundError, OutOfResourcesError
from service.records import AuditEvent, Deletion
from service.store import outpatients, payloads
from service.store.database import Database, insert_missing, upsert
from service.store.identifiers import hold_patient
from service.store.journal import write_audit, write_news
from service.store.objects import ObjectStore
from service.store.results import count_stale, point_at_newest
from service.store.tables import (
    DELETIONS,
    DELIVERIES,
    DISMISSALS,
    INSTANCES,
    LEFTOVERS,
    MERGES,
    OBSERVATIONS,
    PATIENTS,
    RESULTS,
    REVIEWS,
    RISKS,
    STUDIES,
)

COMPARED = ("aligned_prior", "difference", "change_map")
"""Artifacts of a later study's result that show the film of this one."""

SWEPT_AT_ONCE = 500


class Deletions(Database):
    """Studies that are gone, and the bytes that are still to follow them."""

    def delete_study(
        self, study_uid: str, reason: str, audit: AuditEvent
    ) -> tuple[Deletion, tuple[str, ...]]:
        """Delete a study with its objects, results, reviews and deliveries; all or nothing.

        The keys of their bytes become leftovers: see `sweep`. Pictures that show its films
        in results of later studies go as well. Its patient goes when nothing else is known of them.
        The audit stays. A study that is sent again is a new one.

        Parameters
        ----------
        audit : its time and actor are those of the deletion; patient and study are filled in.

        Returns
        -------
        The deletion, and the later studies that wait to be compared with another prior.

        Raises
        ------
        NotFoundError : there is no such study.
        """
        with self._write() as connection:
            patient_id = hold_study(connection, study_uid)
            return delete_held(connection, study_uid, patient_id, reason, audit)

    def deletions(self, limit: int = 100, offset: int = 0) -> tuple[Deletion, ...]:
        """Give the deleted studies, newest first."""
        query = select(DELETIONS).order_by(DELETIONS.c.at.desc(), DELETIONS.c.study_uid)
        with self._read() as connection:
            rows = connection.execute(query.limit(limit).offset(offset)).mappings()
            return tuple(payloads.deletion(row) for row in rows)

    def was_deleted(self, study_uid: str) -> bool:
        """Whether a study was deleted, by an administrator or the retention rules."""
        query = select(DELETIONS.c.study_uid).where(DELETIONS.c.study_uid == study_uid)
        with self._read() as connection:
            return connection.execute(query).first() is not None

    def leftovers(self, limit: int = SWEPT_AT_ONCE, after: str = "") -> tuple[str, ...]:
        """Give keys behind `after` of bytes that no row speaks of any more, in order."""
        query = select(LEFTOVERS.c.object_key).where(LEFTOVERS.c.object_key > after)
        with self._read() as connection:
            ordered = query.order_by(LEFTOVERS.c.object_key).limit(limit)
            return tuple(connection.execute(ordered).scalars())

    def forget_leftovers(self, keys: Collection[str]) -> None:
        """Note that these bytes are gone."""
        with self._write() as connection:
            connection.execute(delete(LEFTOVERS).where(LEFTOVERS.c.object_key.in_(keys)))


def sweep(index: Deletions, objects: ObjectStore) -> int:
    """Delete the bytes that no row speaks of any more; a crash leaves the rest for the next time.

    Returns
    -------
    How many objects were deleted.

    Raises
    ------
    OutOfResourcesError : an object could not be deleted; the others were, unless the store is away.
    """
    count, last, error = 0, "", None
    while keys := index.leftovers(after=last):
        gone = []
        for key in keys:
            try:
                objects.delete(key)
                gone.append(key)
            except OutOfResourcesError as one:
                error = one
        index.forget_leftovers(gone)
        count, last = count + len(gone), keys[-1]
        if not gone:  # the store is away
            break
    if error is not None:
        raise error
    return count


def hold_study(connection: Connection, study_uid: str) -> str:
    """Hold the patient of a study, and give their identifier in force."""
    query = select(STUDIES.c.patient_id).where(STUDIES.c.study_uid == study_uid)
    patient_id = connection.execute(query).scalar()
    if patient_id is None:
        raise NotFoundError("expected a study under this Study Instance UID, found none")
    return hold_patient(connection, patient_id)


def delete_held(
    connection: Connection, study_uid: str, patient_id: str, reason: str, audit: AuditEvent
) -> tuple[Deletion, tuple[str, ...]]:
    """Delete a study whose patient is held by this transaction.

    Raises
    ------
    NotFoundError : another one deleted it meanwhile.
    """
    query = select(STUDIES.c.revision).where(STUDIES.c.study_uid == study_uid)
    revision = connection.execute(query).scalar()
    if revision is None:
        raise NotFoundError("expected a study under this Study Instance UID, found none")
    deletion = Deletion(study_uid, patient_id, revision, audit.at, audit.actor, reason)
    leave_bytes(connection, _keys(connection, study_uid), audit.at)
    leave_bytes(connection, _take_pictures(connection, study_uid, patient_id), audit.at)
    _delete_rows(connection, study_uid)
    upsert(connection, DELETIONS, [payloads.columns(deletion)])
    stale = count_stale(connection, patient_id)
    point_at_newest(connection, patient_id)
    forget_bare(connection, patient_id)
    write_audit(connection, replace(audit, patient_id=patient_id, study_uid=study_uid))
    write_news(connection, "study", patient_id, audit.at)
    return deletion, stale


def leave_bytes(connection: Connection, keys: Collection[str], at: datetime) -> None:
    """Note bytes whose rows go with this transaction."""
    insert_missing(connection, LEFTOVERS, [{"object_key": key, "at": at} for key in sorted(keys)])


def _keys(connection: Connection, study_uid: str) -> set[str]:
    """The keys of everything that is kept of a study."""
    held = select(INSTANCES.c.object_key).where(INSTANCES.c.study_uid == study_uid)
    keys = set(connection.execute(held).scalars())
    made = select(RESULTS.c.artifacts).where(RESULTS.c.study_uid == study_uid)
    for artifacts in connection.execute(made).scalars():
        keys |= set(artifacts.values())
    drawn = select(REVIEWS.c.contours).where(REVIEWS.c.study_uid == study_uid)
    for contours in connection.execute(drawn).scalars():
        keys |= {contour["mask"] for contour in contours}
    return keys


def _take_pictures(connection: Connection, study_uid: str, patient_id: str) -> set[str]:
    """Take the pictures that show films of this study out of the results of others."""
    others = select(RESULTS).where(
        RESULTS.c.patient_id == patient_id,
        RESULTS.c.study_uid != study_uid,
        RESULTS.c.change.is_not(None),
    )
    keys: set[str] = set()
    for row in connection.execute(others).all():
        if row.change["prior_study_uid"] != study_uid:
            continue
        rest = {name: key for name, key in row.artifacts.items() if name not in COMPARED}
        keys |= set(row.artifacts.values()) - set(rest.values())
        which = RESULTS.c.result_id == row.result_id
        connection.execute(update(RESULTS).where(which).values(artifacts=rest))
    return keys


def _delete_rows(connection: Connection, study_uid: str) -> None:
    results = select(RESULTS.c.result_id).where(RESULTS.c.study_uid == study_uid)
    of_results = DELIVERIES.c.result_id.in_(results)
    sent = select(DELIVERIES.c.delivery_id).where(of_results)
    for kind, names in (("study", [study_uid]), ("delivery", sent)):
        which = and_(DISMISSALS.c.kind == kind, DISMISSALS.c.name.in_(names))
        connection.execute(delete(DISMISSALS).where(which))
    connection.execute(delete(DELIVERIES).where(of_results))
    for table in (REVIEWS, RESULTS, INSTANCES, STUDIES):
        connection.execute(delete(table).where(table.c.study_uid == study_uid))


def forget_bare(connection: Connection, patient_id: str) -> None:
    """Delete a patient of whom nothing is left: no study, value, risk, admission or merge."""
    of = PATIENTS.c.patient_id
    left = [
        exists().where(table.c.patient_id == of) for table in (STUDIES, OBSERVATIONS, RISKS, MERGES)
    ]
    inside = and_(PATIENTS.c.admitted_at.is_not(None), PATIENTS.c.discharged_at.is_(None))
    bare = and_(of == patient_id, ~or_(inside, *left))
    if connection.execute(select(of).where(bare)).first() is not None:
        outpatients.forget(connection, patient_id)
        connection.execute(delete(PATIENTS).where(bare))
