"""Two identifiers of one person become one patient (HL7 A40, IHE PIR): rows move, bytes stay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, CursorResult, Row, Table, delete, exists, insert, select, update

from service.errors import ConflictError, NotFoundError, UsageError
from service.records import AuditEvent, Merge
from service.store import outpatients, payloads
from service.store.database import Database, advisory_lock
from service.store.identifiers import lock_patient, surviving
from service.store.journal import write_audit, write_news
from service.store.results import count_stale, point_at_newest
from service.store.risks import (
    OBSERVATIONS_LOCK,
    point_at_newest_risk,
    point_at_newest_value,
    supersede,
)
from service.store.tables import (
    MERGES,
    OBSERVATIONS,
    PATIENTS,
    RESULTS,
    REVIEWS,
    RISKS,
    STUDIES,
    VITALS,
)

MOVED = {"results": RESULTS, "reviews": REVIEWS, "observations": OBSERVATIONS, "risks": RISKS}
WHO = ("name", "birth_date", "sex")
STAY = ("ward", "bed", "admitted_at", "discharged_at", "ventilated_since")


class Merges(Database):
    """Patients merged into others."""

    def merge_patients(
        self, merged_id: str, patient_id: str, reason: str, audit: AuditEvent
    ) -> tuple[Merge, tuple[str, ...]]:
        """Move everything of one patient to another, whose identifier the old one leads to.

        The patient that is left keeps what is known of them; only what is empty is filled in, and
        a current admission is taken over where they have none. Of two values of one moment and
        source the later received counts. The stored DICOM bytes stay as they are.

        Parameters
        ----------
        audit : its time and actor are those of the merge; written for both identifiers.

        Returns
        -------
        The merge, and the studies that wait to be compared with another prior than before.

        Raises
        ------
        UsageError : both are the same patient.
        ConflictError : the first was merged before.
        NotFoundError : one of them is not known.
        """
        with self._write() as connection:
            advisory_lock(connection, OBSERVATIONS_LOCK)
            kept = _held(connection, merged_id, patient_id)
            old = _row(connection, merged_id)
            moved = _move(connection, old, kept)
            merge = Merge(merged_id, kept, audit.at, audit.actor, reason, moved)
            connection.execute(
                update(MERGES).where(MERGES.c.patient_id == merged_id).values(patient_id=kept)
            )
            connection.execute(insert(MERGES).values(payloads.columns(merge)))
            _complete(connection, old, kept)
            for one in (merged_id, kept):
                outpatients.forget(connection, one)
            connection.execute(delete(PATIENTS).where(PATIENTS.c.patient_id == merged_id))
            point_at_newest(connection, kept)
            point_at_newest_risk(connection, kept)
            stale = count_stale(connection, kept)
            for one in (merged_id, kept):
                write_audit(connection, replace(audit, patient_id=one))
            for one in (merged_id, kept):
                write_news(connection, "patient", one, audit.at)
        return merge, stale

    def merges(self, limit: int = 100, offset: int = 0) -> tuple[Merge, ...]:
        """Give the merged identifiers, newest first."""
        query = select(MERGES).order_by(MERGES.c.at.desc(), MERGES.c.merged_id)
        with self._read() as connection:
            rows = connection.execute(query.limit(limit).offset(offset)).mappings()
            return tuple(payloads.merge(row) for row in rows)


def _held(connection: Connection, merged_id: str, patient_id: str) -> str:
    """Hold both patients in one order; give the identifier in force of the one that is left."""
    if surviving(connection, merged_id) != merged_id:
        raise ConflictError("expected a patient to merge, found an identifier that was merged")
    kept = surviving(connection, patient_id)
    if kept == merged_id:
        raise UsageError("expected two patients to merge, found one; name another identifier")
    for one in sorted((merged_id, kept)):
        if not lock_patient(connection, one):
            raise NotFoundError("expected two known patients to merge, found one that is not known")
    return kept


def _row(connection: Connection, patient_id: str) -> Row[Any]:
    return connection.execute(select(PATIENTS).where(PATIENTS.c.patient_id == patient_id)).one()


def _move(connection: Connection, old: Row[Any], kept: str) -> dict[str, Any]:
    """Move the rows of all tables; tell what was moved."""
    of_old = STUDIES.c.patient_id == old.patient_id
    studies = connection.execute(select(STUDIES.c.study_uid).where(of_old)).scalars().all()
    connection.execute(update(STUDIES).where(of_old).values(patient_id=kept))
    variables = _variables(connection, old.patient_id)
    connection.execute(delete(VITALS).where(VITALS.c.patient_id == old.patient_id))
    _settle_observations(connection, old.patient_id, kept)
    _settle_risks(connection, old.patient_id, kept)
    counts = {
        name: _hand_over(connection, table, old.patient_id, kept) for name, table in MOVED.items()
    }
    for variable in variables:
        point_at_newest_value(connection, kept, variable)
    known = {name: _plain(getattr(old, name)) for name in (*WHO, *STAY)}
    return {"patient": known, "studies": sorted(studies), **counts}


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _variables(connection: Connection, patient_id: str) -> list[str]:
    query = select(VITALS.c.variable).where(VITALS.c.patient_id == patient_id)
    return sorted(connection.execute(query).scalars())


def _hand_over(connection: Connection, table: Table, old: str, kept: str) -> int:
    statement = update(table).where(table.c.patient_id == old).values(patient_id=kept)
    done: CursorResult[Any] = connection.execute(statement)
    return done.rowcount


def _settle_observations(connection: Connection, old: str, kept: str) -> None:
    """Of two values in force of one variable, moment and source leave the later received."""
    one, other = OBSERVATIONS.alias(), OBSERVATIONS.alias()
    query = select(one, other.c.number.label("kept_number"),
                   other.c.observation_id.label("kept_id"),
                   other.c.received_at.label("kept_received_at")).where(
        one.c.patient_id == old,
        other.c.patient_id == kept,
        one.c.variable == other.c.variable,
        one.c.observed_at == other.c.observed_at,
        one.c.source == other.c.source,
        one.c.superseded_by.is_(None),
        other.c.superseded_by.is_(None),
    )  # fmt: skip
    for row in connection.execute(query).all():
        if row.received_at > row.kept_received_at:
            supersede(connection, row.kept_number, row.observation_id)
        else:
            supersede(connection, row.number, row.kept_id)


def _settle_risks(connection: Connection, old: str, kept: str) -> None:
    """The same answer of the same moment is kept once."""
    other = RISKS.alias()
    same = exists().where(
        other.c.patient_id == kept,
        other.c.at == RISKS.c.at,
        other.c.inputs_sha256 == RISKS.c.inputs_sha256,
    )
    connection.execute(delete(RISKS).where(RISKS.c.patient_id == old, same))


def _complete(connection: Connection, old: Row[Any], kept: str) -> None:
    """Fill in what is not known of the patient that is left."""
    now = _row(connection, kept)
    filled = {
        name: getattr(old, name) for name in WHO if getattr(old, name) and not getattr(now, name)
    }
    if _is_admitted(old) and not _is_admitted(now):
        filled |= {name: getattr(old, name) for name in STAY}
    if filled:
        connection.execute(update(PATIENTS).where(PATIENTS.c.patient_id == kept).values(filled))


def _is_admitted(row: Row[Any]) -> bool:
    return row.admitted_at is not None and row.discharged_at is None
