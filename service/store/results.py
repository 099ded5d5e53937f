"""What the models said of each study: one result in force, the earlier ones kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from sqlalchemy import Connection, and_, insert, select, update

from service.errors import NotFoundError
from service.records import AuditEvent, StudyResult
from service.store import payloads
from service.store.database import Database
from service.store.images import NEWEST_FIRST, OLDEST_FIRST, lock_patient
from service.store.journal import write_audit, write_news
from service.store.tables import PATIENTS, RESULTS, STUDIES

CURRENT = RESULTS.c.superseded_by.is_(None)


def _point_at_newest(connection: Connection, patient_id: str) -> None:
    """Repeat the current result of the patient's newest study where the worklist sorts by it."""
    query = (
        select(RESULTS.c.result_id, RESULTS.c.severity)
        .join(STUDIES, STUDIES.c.study_uid == RESULTS.c.study_uid)
        .where(RESULTS.c.patient_id == patient_id, CURRENT)
        .order_by(*NEWEST_FIRST)
        .limit(1)
    )
    row = connection.execute(query).one()
    extent = row.severity["extent"] if row.severity else None
    connection.execute(
        update(PATIENTS)
        .where(PATIENTS.c.patient_id == patient_id)
        .values(newest_result_id=row.result_id, newest_extent=extent)
    )


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
        The result as kept, `supersedes` filled in.
        """
        with self._write() as connection:
            lock_patient(connection, result.patient_id)
            known = _by_id(connection, result.result_id)
            if known is not None:
                return known
            current = _current(connection, result.study_uid)
            if current is not None and current.revision > result.revision:
                return current
            if current is not None and over != "any" and _id(current) != _id(over):
                return current
            kept = replace(result, supersedes=current.result_id if current else None)
            if current is not None:
                connection.execute(
                    update(RESULTS)
                    .where(RESULTS.c.result_id == current.result_id)
                    .values(superseded_by=result.result_id)
                )
            connection.execute(insert(RESULTS).values(payloads.result_columns(kept)))
            _note_revision(connection, kept)
            _point_at_newest(connection, kept.patient_id)
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
            .where(RESULTS.c.patient_id == patient_id, CURRENT)
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
