"""What the models said of each study: one result in force, the earlier ones kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from sqlalchemy import Connection, and_, insert, select, update

from service.errors import NotFoundError
from service.records import AuditEvent, StudyResult
from service.store import payloads
from service.store.database import Database
from service.store.identifiers import hold_patient, leads_to
from service.store.images import NEWEST_FIRST, OLDEST_FIRST
from service.store.journal import write_audit, write_news
from service.store.tables import DELETIONS, PATIENTS, RESULTS, STUDIES

CURRENT = RESULTS.c.superseded_by.is_(None)


def point_at_newest(connection: Connection, patient_id: str) -> None:
    """Repeat the current result of the patient's newest study where the worklist sorts by it."""
    query = (
        select(RESULTS)
        .join(STUDIES, STUDIES.c.study_uid == RESULTS.c.study_uid)
        .where(RESULTS.c.patient_id == patient_id, CURRENT)
        .order_by(*NEWEST_FIRST)
        .limit(1)
    )
    row = connection.execute(query).first()
    connection.execute(
        update(PATIENTS)
        .where(PATIENTS.c.patient_id == patient_id)
        .values(
            newest_result_id=row.result_id if row else None,
            newest_extent=row.severity["extent"] if row and row.severity else None,
            newest_status=row.status if row else None,
            newest_at=row.acquired_at if row else None,
            newest_trend=row.change["extent_change"] if row and row.change else None,
            newest_worse=bool(row and row.change and row.change["low"] > 0),
        )
    )


def count_stale(connection: Connection, patient_id: str) -> tuple[str, ...]:
    """Count up the revision of studies whose result looked at another prior than is right now.

    They wait for a result from then on, as after a new film.

    Returns
    -------
    Their Study Instance UIDs.
    """
    query = (
        select(RESULTS)
        .join(STUDIES, STUDIES.c.study_uid == RESULTS.c.study_uid)
        .where(RESULTS.c.patient_id == patient_id, CURRENT, RESULTS.c.status == "ok")
        .order_by(*OLDEST_FIRST)
    )
    prior, stale = None, []
    for row in connection.execute(query):
        if row.prior_sop_instance_uid != prior:
            stale.append(row.study_uid)
        prior = row.sop_instance_uid
    connection.execute(
        update(STUDIES)
        .where(STUDIES.c.study_uid.in_(stale))
        .values(revision=STUDIES.c.revision + 1)
    )
    return tuple(stale)


def _insist_on_films(connection: Connection, result: StudyResult) -> None:
    """A result may speak of a study that was deleted while it was made, even if sent again."""
    study = select(STUDIES.c.study_uid).where(STUDIES.c.study_uid == result.study_uid)
    gone = select(DELETIONS.c.revision).where(
        DELETIONS.c.study_uid == result.study_uid, DELETIONS.c.revision >= result.revision
    )
    if connection.execute(study).first() is None or connection.execute(gone).first() is not None:
        raise NotFoundError("expected the study of a result, found none: it was deleted meanwhile")


def _note_revision(connection: Connection, result: StudyResult) -> None:
    where = and_(
        STUDIES.c.study_uid == result.study_uid, STUDIES.c.scored_revision < result.revision
    )
    connection.execute(update(STUDIES).where(where).values(scored_revision=result.revision))


def _id(result: StudyResult | None) -> str | None:
    return result.result_id if result else None


class Results(Database):
    """Results of studies; amended, never overwritten."""

    def add_result(
        self,
        result: StudyResult,
        audit: AuditEvent,
        *,
        over: StudyResult | Literal["any"] | None = "any",
    ) -> StudyResult:
        """Put a result in force in place of the study's current one.

        The same `result_id` twice changes nothing. A run that was overtaken changes nothing
        either, and is given the result in force: when that one has seen a later revision, or is
        another one than `over`.

        Parameters
        ----------
        over : the result in force that the run began with, None for none, "any" not to ask.

        Returns
        -------
        The result as kept, `supersedes` filled in; of the patient that the study belongs to now.

        Raises
        ------
        NotFoundError : the study was deleted meanwhile.
        """
        with self._write() as connection:
            patient_id = hold_patient(connection, result.patient_id)
            known = _by_id(connection, result.result_id)
            if known is not None:
                return known
            _insist_on_films(connection, result)
            current = _current(connection, result.study_uid)
            if current is not None and current.revision > result.revision:
                return current
            if current is not None and over != "any" and _id(current) != _id(over):
                return current
            supersedes = current.result_id if current else None
            kept = replace(result, patient_id=patient_id, supersedes=supersedes)
            if current is not None:
                connection.execute(
                    update(RESULTS)
                    .where(RESULTS.c.result_id == current.result_id)
                    .values(superseded_by=result.result_id)
                )
            connection.execute(insert(RESULTS).values(payloads.result_columns(kept)))
            _note_revision(connection, kept)
            point_at_newest(connection, kept.patient_id)
            write_audit(connection, audit)
            write_news(connection, "result", kept.patient_id, kept.created_at)
            return kept

    def result(self, result_id: str) -> StudyResult:
        """Give one result, in force or not; NotFoundError where there is none."""
        with self._read() as connection:
            found = _by_id(connection, result_id)
        if found is None:
            raise NotFoundError("expected a result under this identifier, found none")
        return found

    def current_result(self, study_uid: str) -> StudyResult | None:
        """Give the result in force of a study, or None before the first."""
        with self._read() as connection:
            return _current(connection, study_uid)

    def results(self, study_uid: str) -> tuple[StudyResult, ...]:
        """Give all results of a study, oldest first; the last one is in force."""
        query = select(RESULTS).where(RESULTS.c.study_uid == study_uid)
        ordered = query.order_by(CURRENT, RESULTS.c.revision, RESULTS.c.created_at)
        with self._read() as connection:
            return tuple(payloads.result(row) for row in connection.execute(ordered).mappings())

    def patient_results(self, patient_id: str) -> tuple[StudyResult, ...]:
        """Give the results in force of a patient, by time of the film, oldest first."""
        query = (
            select(RESULTS)
            .join(STUDIES, STUDIES.c.study_uid == RESULTS.c.study_uid)
            .where(RESULTS.c.patient_id == leads_to(patient_id), CURRENT)
            .order_by(*OLDEST_FIRST)
        )
        with self._read() as connection:
            return tuple(payloads.result(row) for row in connection.execute(query).mappings())


def _by_id(connection: Connection, result_id: str) -> StudyResult | None:
    query = select(RESULTS).where(RESULTS.c.result_id == result_id)
    row = connection.execute(query).mappings().first()
    return payloads.result(row) if row is not None else None


def _current(connection: Connection, study_uid: str) -> StudyResult | None:
    query = select(RESULTS).where(RESULTS.c.study_uid == study_uid, CURRENT)
    row = connection.execute(query).mappings().first()
    return payloads.result(row) if row is not None else None
