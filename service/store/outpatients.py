"""The risk of those who are not admitted: one row each, written anew when something changes."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, or_, select

from service.risk_record import RiskRecord, strongest
from service.store import payloads
from service.store.database import Database, upsert
from service.store.identifiers import leads_to, lock_patient
from service.store.images import ADMITTED
from service.store.journal import write_news
from service.store.tables import OUTPATIENT_RISKS, PATIENTS, RESULTS, VITALS

OF_PATIENT = OUTPATIENT_RISKS.c.patient_id == PATIENTS.c.patient_id


class Outpatients(Database):
    """Risks of patients who are not admitted."""

    def keep_outpatient_risk(self, record: RiskRecord, until: datetime | None) -> None:
        """Put a risk in the place of the patient's last one; others are told where it says more.

        A risk of a patient who was admitted, merged or deleted meanwhile is dropped.

        Parameters
        ----------
        until : from then on an input of it no longer counts; None: all do as long as it stands.
        """
        with self._write() as connection:
            if not lock_patient(connection, record.patient_id):
                return
            of_patient = OUTPATIENT_RISKS.c.patient_id == record.patient_id
            inside = select(PATIENTS).where(PATIENTS.c.patient_id == record.patient_id, ADMITTED)
            if connection.execute(inside).first() is not None:
                forget(connection, record.patient_id)
                return
            before = connection.execute(select(OUTPATIENT_RISKS).where(of_patient)).first()
            values = payloads.risk_columns(record)
            values |= {"until": until, "strongest": strongest(record.inputs)}
            upsert(connection, OUTPATIENT_RISKS, [values])
            if before is None or before.inputs_sha256 != values["inputs_sha256"]:
                write_news(connection, "risk", record.patient_id, record.computed_at)

    def outpatient_risk(self, patient_id: str) -> RiskRecord | None:
        """Give the risk of a patient who is not admitted; None for others and before the first."""
        query = select(OUTPATIENT_RISKS).join(PATIENTS, OF_PATIENT)
        asked = OUTPATIENT_RISKS.c.patient_id == leads_to(patient_id)
        with self._read() as connection:
            row = connection.execute(query.where(asked, ~ADMITTED)).mappings().first()
            return payloads.risk(row) if row is not None else None

    def outpatients_due(self, now: datetime, look_back: timedelta, model: str) -> tuple[str, ...]:
        """Give those whose risk rests on what no longer counts or another model, or have none yet.

        Parameters
        ----------
        look_back : values and films older than that make nobody due.
        model : the name of the model that answers now.
        """
        none_yet = and_(OUTPATIENT_RISKS.c.patient_id.is_(None), _has_news(now - look_back))
        query = (
            select(PATIENTS.c.patient_id)
            .outerjoin(OUTPATIENT_RISKS, OF_PATIENT)
            .where(
                ~ADMITTED,
                or_(OUTPATIENT_RISKS.c.until <= now, OUTPATIENT_RISKS.c.model != model, none_yet),
            )
            .order_by(PATIENTS.c.patient_id)
        )
        with self._read() as connection:
            return tuple(connection.execute(query).scalars())


def forget(connection: Connection, patient_id: str) -> None:
    """Delete the risk of somebody who is admitted, merged or gone."""
    of_patient = OUTPATIENT_RISKS.c.patient_id == patient_id
    connection.execute(delete(OUTPATIENT_RISKS).where(of_patient))


def risks_of(connection: Connection, ids: list[str]) -> dict[str, RiskRecord]:
    """The risks of a page of patients."""
    query = select(OUTPATIENT_RISKS).where(OUTPATIENT_RISKS.c.patient_id.in_(ids))
    return {row["patient_id"]: payloads.risk(row) for row in connection.execute(query).mappings()}


def _has_news(since: datetime) -> ColumnElement[bool]:
    """Tell whether a value was measured or a film scored since then."""
    measured = exists().where(
        VITALS.c.patient_id == PATIENTS.c.patient_id, VITALS.c.observed_at >= since
    )
    scored = exists().where(
        RESULTS.c.result_id == PATIENTS.c.newest_result_id, RESULTS.c.created_at >= since
    )
    return or_(measured, scored)
