"""Vital signs in, ventilation risk out: both kept as time series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, insert, select, tuple_, update

from service.errors import NotFoundError
from service.records import AuditEvent, Observation, RiskRecord
from service.store import payloads
from service.store.database import Database, advisory_lock, insert_missing
from service.store.images import lock_patient
from service.store.journal import write_audit, write_news
from service.store.tables import OBSERVATIONS, PATIENTS, RISKS, VITALS

IN_FORCE = OBSERVATIONS.c.superseded_by.is_(None)
OBSERVATIONS_LOCK = 0x0B5
BATCH = 200  # bound parameters per statement stay far below the limit of both databases
HOUR_AGO = (timedelta(minutes=30), timedelta(minutes=90))  # what counts as "about an hour ago"

Moment = tuple[str, str, datetime, str]  # patient, variable, observed_at, source


def _moment(row: Mapping[Any, Any]) -> Moment:
    return row["patient_id"], row["variable"], row["observed_at"], row["source"]


def _batches(items: Sequence[Observation]) -> Iterable[Sequence[Observation]]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))


def _kept(connection: Connection, batch: Sequence[Observation]) -> list[RowMapping]:
    """Find the values in force that speak of the same identifiers or the same moments."""
    moment = tuple_(
        OBSERVATIONS.c.patient_id,
        OBSERVATIONS.c.variable,
        OBSERVATIONS.c.observed_at,
        OBSERVATIONS.c.source,
    )
    moments = [(o.patient_id, o.variable, o.observed_at, o.source) for o in batch]
    ids = [o.observation_id for o in batch]
    by_moment = select(OBSERVATIONS).where(IN_FORCE, moment.in_(moments))
    by_id = select(OBSERVATIONS).where(IN_FORCE, OBSERVATIONS.c.observation_id.in_(ids))
    return [*connection.execute(by_moment).mappings(), *connection.execute(by_id).mappings()]


def _newest(connection: Connection, patient_id: str, variable: str) -> None:
    """Point `vitals` at the newest value in force of one variable."""
    where = and_(
        OBSERVATIONS.c.patient_id == patient_id, OBSERVATIONS.c.variable == variable, IN_FORCE
    )
    query = select(OBSERVATIONS.c.number, OBSERVATIONS.c.observed_at).where(where)
    ordered = query.order_by(OBSERVATIONS.c.observed_at.desc(), OBSERVATIONS.c.number.desc())
    row = connection.execute(ordered.limit(1)).mappings().first()
    key = {"patient_id": patient_id, "variable": variable}
    if row is None:  # the only value was amended to another variable or moment
        gone = and_(VITALS.c.patient_id == patient_id, VITALS.c.variable == variable)
        connection.execute(VITALS.delete().where(gone))
        return
    insert_missing(connection, VITALS, [key | dict(row)])
    pointer = and_(VITALS.c.patient_id == patient_id, VITALS.c.variable == variable)
    connection.execute(update(VITALS).where(pointer).values(dict(row)))


class Risks(Database):
    """Observations and risk records of patients."""

    def add_observations(self, observations: Sequence[Observation], audit: AuditEvent) -> int:
        """Keep values; the same value of the same moment is kept once.

        Another value under the same identifier, or for the same patient, variable, moment and
        source, amends: the earlier row stays, marked as superseded. Unknown patients become known
        by their identifier.

        Returns
        -------
        How many values are new or amended.
        """
        count = 0
        with self._write() as connection:
            advisory_lock(connection, OBSERVATIONS_LOCK)
            ids = sorted({o.patient_id for o in observations})
            insert_missing(connection, PATIENTS, [{"patient_id": one} for one in ids])
            for batch in _batches(observations):
                count += _add_batch(connection, batch)
            write_audit(connection, audit)
        return count

    def observation(self, observation_id: str) -> Observation:
        """Give one value in force by its identifier; NotFoundError where there is none."""
        query = select(OBSERVATIONS).where(OBSERVATIONS.c.observation_id == observation_id, IN_FORCE)
        with self._read() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            raise NotFoundError("expected an observation under this identifier, found none")
        return payloads.observation(row)

    def observations(
        self,
        patient_id: str,
        *,
        variable: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> tuple[Observation, ...]:
        """Give the values in force of a patient, oldest first; both ends of the time included."""
        query = select(OBSERVATIONS).where(OBSERVATIONS.c.patient_id == patient_id, IN_FORCE)
        if variable is not None:
            query = query.where(OBSERVATIONS.c.variable == variable)
        if since is not None:
            query = query.where(OBSERVATIONS.c.observed_at >= since)
        if until is not None:
            query = query.where(OBSERVATIONS.c.observed_at <= until)
        ordered = query.order_by(OBSERVATIONS.c.observed_at, OBSERVATIONS.c.number)
        with self._read() as connection:
            return tuple(
                payloads.observation(row) for row in connection.execute(ordered).mappings()
            )

    def add_risk(self, record: RiskRecord) -> None:
        """Append to the patient's time series; the same answer of the same moment is kept once."""
        with self._write() as connection:
            lock_patient(connection, record.patient_id)
            values = payloads.risk_columns(record)
            same = and_(
                RISKS.c.patient_id == record.patient_id,
                RISKS.c.at == record.at,
                RISKS.c.inputs_sha256 == values["inputs_sha256"],
            )
            query = select(RISKS.c.risk_id).where(same | (RISKS.c.risk_id == record.risk_id))
            if connection.execute(query).first() is not None:
                return
            connection.execute(insert(RISKS).values(values))
            _point_at_risk(connection, record)
            write_news(connection, "risk", record.patient_id, record.computed_at)

    def current_risk(self, patient_id: str) -> RiskRecord | None:
        """Give the newest risk of a patient, or None before the first."""
        query = select(RISKS).where(RISKS.c.patient_id == patient_id)
        newest = query.order_by(RISKS.c.at.desc(), RISKS.c.computed_at.desc()).limit(1)
        with self._read() as connection:
            row = connection.execute(newest).mappings().first()
            return payloads.risk(row) if row is not None else None

    def risks(self, patient_id: str, since: datetime | None = None) -> tuple[RiskRecord, ...]:
        """Give the risks of a patient, oldest first."""
        query = select(RISKS).where(RISKS.c.patient_id == patient_id)
        if since is not None:
            query = query.where(RISKS.c.at >= since)
        with self._read() as connection:
            rows = connection.execute(query.order_by(RISKS.c.at, RISKS.c.computed_at)).mappings()
            return tuple(payloads.risk(row) for row in rows)


def _add_batch(connection: Connection, batch: Sequence[Observation]) -> int:
    kept = _kept(connection, batch)
    by_moment = {_moment(row): row for row in kept}
    by_id = {row["observation_id"]: row for row in kept}
    touched: set[tuple[str, str]] = set()
    count = 0
    for observation in batch:
        values = payloads.columns(observation)
        moment = _moment(values)
        earlier = {
            row["number"]: row
            for row in (by_moment.get(moment), by_id.get(observation.observation_id))
            if row is not None
        }
        if any(_moment(row) == moment and _same(row, observation) for row in earlier.values()):
            continue
        for number, row in earlier.items():
            _supersede(connection, number, observation.observation_id)
            by_moment.pop(_moment(row), None)
            by_id.pop(row["observation_id"], None)
            touched.add((row["patient_id"], row["variable"]))
        added = connection.execute(insert(OBSERVATIONS).values(values).returning(OBSERVATIONS))
        row = added.mappings().one()
        by_moment[moment] = by_id[observation.observation_id] = row
        touched.add((observation.patient_id, observation.variable))
        count += 1
    for patient_id, variable in sorted(touched):
        _newest(connection, patient_id, variable)
    return count


def _same(row: RowMapping, observation: Observation) -> bool:
    return bool(row["value"] == observation.value and row["unit"] == observation.unit)


def _supersede(connection: Connection, number: int, by: str) -> None:
    where = OBSERVATIONS.c.number == number
    connection.execute(update(OBSERVATIONS).where(where).values(superseded_by=by))


def _point_at_risk(connection: Connection, record: RiskRecord) -> None:
    """Repeat the newest risk, and its change within the hour, where the worklist sorts by them."""
    patient = PATIENTS.c.patient_id == record.patient_id
    newest_at = connection.execute(select(PATIENTS.c.risk_at).where(patient)).scalar()
    if newest_at is not None and newest_at > record.at:
        return
    values = {
        "risk_id": record.risk_id,
        "risk_at": record.at,
        "risk_probability": record.probability,
        "risk_change": _change(connection, record),
    }
    connection.execute(update(PATIENTS).where(patient).values(values))


def _change(connection: Connection, record: RiskRecord) -> float | None:
    """Give the difference to the newest number that is about an hour older, or None."""
    if record.probability is None:
        return None
    query = (
        select(RISKS.c.probability)
        .where(
            RISKS.c.patient_id == record.patient_id,
            RISKS.c.probability.is_not(None),
            RISKS.c.at <= record.at - HOUR_AGO[0],
            RISKS.c.at >= record.at - HOUR_AGO[1],
        )
        .order_by(RISKS.c.at.desc(), RISKS.c.computed_at.desc())
    )
    earlier = connection.execute(query.limit(1)).scalar()
    return None if earlier is None else record.probability - earlier
