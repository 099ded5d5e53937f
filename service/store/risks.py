"""Vital signs in, ventilation risk out: both kept as time series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, delete, insert, select, tuple_, update

from service.errors import NotFoundError
from service.records import AuditEvent, Observation, Patient
from service.risk_record import RiskRecord, lacks_core, strongest
from service.store import payloads
from service.store.database import Database, advisory_lock, upsert
from service.store.identifiers import leads_to, lock_patient, make_known
from service.store.journal import write_audit, write_news
from service.store.tables import OBSERVATIONS, PATIENTS, RISKS, VITALS

IN_FORCE = OBSERVATIONS.c.superseded_by.is_(None)
OBSERVATIONS_LOCK = 0x0B5
BATCH = 200  # bound parameters per statement stay far below the limit of both databases
HOUR = timedelta(hours=1)
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


def point_at_newest_value(connection: Connection, patient_id: str, variable: str) -> None:
    """Look up the newest value in force of one variable and point `vitals` at it."""
    where = and_(
        OBSERVATIONS.c.patient_id == patient_id, OBSERVATIONS.c.variable == variable, IN_FORCE
    )
    query = select(OBSERVATIONS.c.number, OBSERVATIONS.c.observed_at).where(where)
    ordered = query.order_by(OBSERVATIONS.c.observed_at.desc(), OBSERVATIONS.c.number.desc())
    row = connection.execute(ordered.limit(1)).mappings().first()
    pointer = and_(VITALS.c.patient_id == patient_id, VITALS.c.variable == variable)
    connection.execute(delete(VITALS).where(pointer))
    if row is not None:  # None: the only value was amended to another variable
        values = {"patient_id": patient_id, "variable": variable, **row}
        connection.execute(insert(VITALS).values(values))


def _point_at_newer(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Point `vitals` at added values where they are newer than what it points at."""
    if not rows:
        return
    newest = {(row["patient_id"], row["variable"]): row for row in _by_age(rows)}
    pairs = tuple_(VITALS.c.patient_id, VITALS.c.variable).in_(list(newest))
    for known in connection.execute(select(VITALS).where(pairs)):
        pair = (known.patient_id, known.variable)
        if known.observed_at > newest[pair]["observed_at"]:
            del newest[pair]
    upsert(
        connection,
        VITALS,
        [{column.name: row[column.name] for column in VITALS.columns} for row in newest.values()],
    )


def _by_age(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(rows, key=lambda row: (row["observed_at"], row["number"]))


class Risks(Database):
    """Observations and risk records of patients."""

    def add_observations(self, observations: Sequence[Observation], *audits: AuditEvent) -> int:
        """Keep values; the same value of the same moment is kept once.

        Another value under the same identifier, or for the same patient, variable, moment and
        source, amends: the earlier row stays, marked as superseded. Unknown patients become known
        by their identifier.

        Parameters
        ----------
        audits : one row for each patient, written with the values or not at all.

        Returns
        -------
        How many values are new or amended.
        """
        count = 0
        with self._write() as connection:
            advisory_lock(connection, OBSERVATIONS_LOCK)
            ids = sorted({o.patient_id for o in observations})
            kept = {one: make_known(connection, Patient(one)) for one in ids}
            observations = [replace(o, patient_id=kept[o.patient_id]) for o in observations]
            for batch in _batches(observations):
                count += _add_batch(connection, batch)
            for event in audits:
                write_audit(connection, event)
        return count

    def observation(self, observation_id: str) -> Observation:
        """Give one value in force by its identifier; NotFoundError where there is none."""
        query = select(OBSERVATIONS).where(
            OBSERVATIONS.c.observation_id == observation_id, IN_FORCE
        )
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
        query = select(OBSERVATIONS).where(
            OBSERVATIONS.c.patient_id == leads_to(patient_id), IN_FORCE
        )
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
        """Append to the patient's time series; the same answer of the same moment is kept once.

        A risk of a patient who was merged or deleted while it was computed is dropped: merging
        has it computed again.
        """
        with self._write() as connection:
            if not lock_patient(connection, record.patient_id):
                return
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
        query = select(RISKS).where(RISKS.c.patient_id == leads_to(patient_id))
        newest = query.order_by(RISKS.c.at.desc(), RISKS.c.computed_at.desc()).limit(1)
        with self._read() as connection:
            row = connection.execute(newest).mappings().first()
            return payloads.risk(row) if row is not None else None

    def risks(self, patient_id: str, since: datetime | None = None) -> tuple[RiskRecord, ...]:
        """Give the risks of a patient, oldest first."""
        query = select(RISKS).where(RISKS.c.patient_id == leads_to(patient_id))
        if since is not None:
            query = query.where(RISKS.c.at >= since)
        with self._read() as connection:
            rows = connection.execute(query.order_by(RISKS.c.at, RISKS.c.computed_at)).mappings()
            return tuple(payloads.risk(row) for row in rows)


def _add_batch(connection: Connection, batch: Sequence[Observation]) -> int:
    """Add a batch; values that amend each other within it are added one after the other."""
    count, rest = 0, list(batch)
    while rest:
        new, amended, later = _sorted_out(_kept(connection, rest), rest)
        for number, by in amended.items():
            supersede(connection, number, by)
        _insert(connection, new)
        for patient_id, variable in _touched(connection, amended):
            point_at_newest_value(connection, patient_id, variable)
        count, rest = count + len(new), later
    return count


def _sorted_out(
    kept: Sequence[RowMapping], batch: Sequence[Observation]
) -> tuple[list[Observation], dict[int, str], list[Observation]]:
    """What is new, which rows it amends (number -> by), and what must wait for this to be in."""
    by_moment = {_moment(row): row for row in kept}
    by_id = {row["observation_id"]: row for row in kept}
    new: list[Observation] = []
    amended: dict[int, str] = {}
    seen: set[Moment | str] = set()
    later: list[Observation] = []
    for one in batch:
        moment = (one.patient_id, one.variable, one.observed_at, one.source)
        if later or {moment, one.observation_id} & seen:
            later.append(one)
            continue
        same_moment = by_moment.get(moment)
        if same_moment is not None and _same(same_moment, one):
            continue
        for row in (same_moment, by_id.get(one.observation_id)):
            if row is not None:
                amended[row["number"]] = one.observation_id
        seen |= {moment, one.observation_id}
        new.append(one)
    return new, amended, later


def _insert(connection: Connection, new: Sequence[Observation]) -> None:
    if not new:
        return
    values = [payloads.columns(one) for one in new]
    statement = insert(OBSERVATIONS).returning(OBSERVATIONS.c.number, sort_by_parameter_order=True)
    numbers = connection.execute(statement, values).scalars()
    rows = [row | {"number": number} for row, number in zip(values, numbers, strict=True)]
    _point_at_newer(connection, rows)


def _touched(connection: Connection, amended: Mapping[int, str]) -> list[tuple[str, str]]:
    """The patients and variables of amended rows, whose newest value may have moved."""
    if not amended:
        return []
    pair = select(OBSERVATIONS.c.patient_id, OBSERVATIONS.c.variable).distinct()
    rows = connection.execute(pair.where(OBSERVATIONS.c.number.in_(amended)))
    return sorted((row.patient_id, row.variable) for row in rows)


def _same(row: RowMapping, observation: Observation) -> bool:
    return bool(row["value"] == observation.value and row["unit"] == observation.unit)


def supersede(connection: Connection, number: int, by: str) -> None:
    """Mark a value as no longer in force."""
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
        **_sorted_by(record),
    }
    connection.execute(update(PATIENTS).where(patient).values(values))


def _sorted_by(record: RiskRecord | None) -> dict[str, Any]:
    """What the worklist sorts by beside the number."""
    if record is None:
        return {"risk_reason": None, "risk_doubtful": None}
    doubtful = bool(record.stale) or lacks_core(record.missing)
    return {"risk_reason": strongest(record.inputs), "risk_doubtful": doubtful}


def point_at_newest_risk(connection: Connection, patient_id: str) -> None:
    """Repeat the newest risk where the worklist sorts; its change is told by the next one."""
    query = select(RISKS).where(RISKS.c.patient_id == patient_id)
    newest = query.order_by(RISKS.c.at.desc(), RISKS.c.computed_at.desc()).limit(1)
    row = connection.execute(newest).mappings().first()
    record = payloads.risk(row) if row is not None else None
    connection.execute(
        update(PATIENTS)
        .where(PATIENTS.c.patient_id == patient_id)
        .values(
            risk_id=record.risk_id if record else None,
            risk_at=record.at if record else None,
            risk_probability=record.probability if record else None,
            risk_change=None,
            **_sorted_by(record),
        )
    )


def hour_earlier(at: datetime, course: Iterable[tuple[datetime, float]]) -> float | None:
    """Give the probability nearest to one hour before `at`; None where there is none about then.

    Parameters
    ----------
    course : moments and probabilities, oldest first; of two for one moment the later counts.
    """
    least, most = HOUR_AGO
    about = {then: value for then, value in course if least <= at - then <= most}
    if not about:
        return None
    return about[min(about, key=lambda then: abs(at - then - HOUR))]


def _change(connection: Connection, record: RiskRecord) -> float | None:
    """Give the difference to the number of about an hour earlier, or None."""
    if record.probability is None:
        return None
    query = (
        select(RISKS.c.at, RISKS.c.probability)
        .where(
            RISKS.c.patient_id == record.patient_id,
            RISKS.c.probability.is_not(None),
            RISKS.c.at <= record.at - HOUR_AGO[0],
            RISKS.c.at >= record.at - HOUR_AGO[1],
        )
        .order_by(RISKS.c.at, RISKS.c.computed_at)
    )
    earlier = hour_earlier(
        record.at, [(row.at, row.probability) for row in connection.execute(query)]
    )
    return None if earlier is None else record.probability - earlier
