"""The ward at a glance: admitted patients, ranked, a page at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, case, func, or_, select

from service.errors import UsageError
from service.records import Observation, Patient, StudyResult, WorklistRow
from service.risk_record import RISK_BANDS, RiskRecord
from service.store import payloads
from service.store.database import Database
from service.store.images import ADMITTED, narrowed
from service.store.outpatients import OF_PATIENT, risks_of
from service.store.tables import (
    OBSERVATIONS,
    OUTPATIENT_RISKS,
    PATIENTS,
    RESULTS,
    RISKS,
    VITALS,
)

COURSE = timedelta(hours=48)
EVER = datetime(1, 1, 2, tzinfo=UTC)
REAL_RISE = 0.02  # two percentage points within the hour are called out

Who = Literal["admitted", "outpatients", "everybody"]
Sort = Literal[
    "risk", "change", "course", "reason", "severity", "trend", "film", "name", "ward", "admitted",
    "flags", "vitals", "respiratory_rate", "spo2", "fio2", "oxygen_flow", "heart_rate", "mean_bp",
    "systolic_bp", "temperature",
]  # fmt: skip
Keys = tuple[ColumnElement[Any], ...]
SORTS: dict[str, Keys] = {
    "risk": (case((ADMITTED, PATIENTS.c.risk_probability), else_=OUTPATIENT_RISKS.c.probability),),
    "change": (case((ADMITTED, PATIENTS.c.risk_change)),),
    "reason": (case((ADMITTED, PATIENTS.c.risk_reason), else_=OUTPATIENT_RISKS.c.strongest),),
    "severity": (PATIENTS.c.newest_extent,),
    "trend": (PATIENTS.c.newest_trend,),
    "film": (PATIENTS.c.newest_at,),
    "name": (func.lower(PATIENTS.c.name),),
    "ward": (PATIENTS.c.ward, PATIENTS.c.bed),
    "admitted": (PATIENTS.c.admitted_at,),
}
"""Sorts that need no more than the patient's row and outpatient risk; see `_ordered`."""
OF_RISK = frozenset({"risk", "change", "course", "reason"})
VALUES = frozenset(get_args(Sort)) - SORTS.keys() - {"course", "flags", "vitals"}
"""Sorts by the newest value of a vital sign."""


def _in_band(band: str) -> ColumnElement[bool]:
    """Tell whether the ventilation risk of a patient lies in a band; "unknown": no number."""
    risk = case((ADMITTED, PATIENTS.c.risk_probability))
    if band == "unknown":
        return risk.is_(None)
    least = dict(RISK_BANDS)
    if band not in least:
        raise UsageError(f"expected one of {[*least, 'unknown']}, found {band!r}; choose a band")
    above = [limit for limit in least.values() if limit > least[band]]
    return and_(risk >= least[band], risk < min(above)) if above else risk >= least[band]


@dataclass(frozen=True, slots=True)
class Order:
    """How to sort, and the moments that it depends on."""

    sort: str
    descending: bool
    now: datetime
    overdue: datetime


def _ordered(query: Select[Any], asked: Order) -> Select[Any]:
    """Order by what was asked, patients without a value last, ties by identifier."""
    sort = asked.sort
    if sort in SORTS:
        keys = SORTS[sort]
    elif sort == "course":
        keys = (_since_first(asked.now - COURSE),)
    elif sort == "flags":
        keys = (_calls(asked.overdue), PATIENTS.c.newest_at)
    elif sort == "vitals":
        query, keys = _with_newest(query)
    elif sort in VALUES:
        query, keys = _with_value(query, sort)
    else:
        raise UsageError(f"expected one of {get_args(Sort)}, found {sort!r}; choose a column")
    # The risks of those outside are of another outcome: they come behind those who are admitted.
    if sort in OF_RISK:
        query = query.outerjoin(OUTPATIENT_RISKS, OF_PATIENT).order_by(~ADMITTED)
    for key in keys:
        way = key.desc() if asked.descending else key.asc()
        query = query.order_by(way.nulls_last())
    return query.order_by(PATIENTS.c.patient_id)


def _since_first(since: datetime) -> ColumnElement[float]:
    """The risk now less the first one since then: what its course climbed."""
    first = (
        select(RISKS.c.probability)
        .where(
            RISKS.c.patient_id == PATIENTS.c.patient_id,
            RISKS.c.at >= since,
            RISKS.c.at < PATIENTS.c.risk_at,
            RISKS.c.probability.is_not(None),
        )
        .order_by(RISKS.c.at, RISKS.c.computed_at)
        .limit(1)
        .correlate(PATIENTS)
        .scalar_subquery()
    )
    return case((ADMITTED, PATIENTS.c.risk_probability - first))


def _calls(overdue: datetime) -> ColumnElement[int]:
    """How much a row's flags ask for a look: worsening, then old or missing inputs, then refused.

    A patient on a ventilator has no number that could rise or go stale.
    """
    counts = and_(ADMITTED, PATIENTS.c.ventilated_since.is_(None))
    numbered = and_(counts, PATIENTS.c.risk_probability.is_not(None))
    rises = and_(numbered, PATIENTS.c.risk_change >= REAL_RISE)
    doubtful = and_(numbered, or_(PATIENTS.c.risk_doubtful, PATIENTS.c.risk_at < overdue))
    return (
        case((or_(rises, PATIENTS.c.newest_worse), 8), else_=0)
        + case((doubtful, 4), else_=0)
        + case((PATIENTS.c.newest_status.in_(("refused", "failed")), 2), else_=0)
        + case((PATIENTS.c.ventilated_since.is_not(None), 1), else_=0)
    )


def _with_newest(query: Select[Any]) -> tuple[Select[Any], Keys]:
    """Join the moment at which anything was last measured."""
    newest = func.max(VITALS.c.observed_at).label("observed_at")
    of_each = select(VITALS.c.patient_id, newest).group_by(VITALS.c.patient_id).subquery()
    joined = query.outerjoin(of_each, of_each.c.patient_id == PATIENTS.c.patient_id)
    return joined, (of_each.c.observed_at,)


def _with_value(query: Select[Any], variable: str) -> tuple[Select[Any], Keys]:
    """Join the newest value of one vital sign."""
    of_patient = and_(VITALS.c.patient_id == PATIENTS.c.patient_id, VITALS.c.variable == variable)
    joined = query.outerjoin(VITALS, of_patient)
    joined = joined.outerjoin(OBSERVATIONS, OBSERVATIONS.c.number == VITALS.c.number)
    return joined, (OBSERVATIONS.c.value,)


class Worklist(Database):
    """What the clinician opens first."""

    def worklist(
        self,
        *,
        ward: str | None = None,
        band: str | None = None,
        search: str = "",
        who: Who = "admitted",
        sort: str = "risk",
        descending: bool = True,
        limit: int = 50,
        offset: int = 0,
        now: datetime,
        overdue: datetime | None = None,
    ) -> tuple[tuple[WorklistRow, ...], int]:
        """Give one page of the admitted patients, and how many there are on all pages.

        Parameters
        ----------
        who : "outpatients" are those who are not admitted.
        band : a name of `RISK_BANDS` (of the ventilation risk), "unknown", None for all.
        sort : "risk" is the ventilation risk of those who are admitted, who come first, and the
            outpatient risk of the others; "change" is that against an hour before, "course" that
            against the first risk within 48 hours; "vitals" is the moment of the newest value,
            "film" that of the newest film, "trend" its change, "flags" how much the flags ask for
            a look; the others are values.
        now : the risk course covers the 48 hours before.
        overdue : an older risk should have been computed again ("flags" alone); None: none.
        """
        admitted = {"admitted": True, "outpatients": False, "everybody": None}[who]
        page = narrowed(select(PATIENTS.c.patient_id), search, ward, admitted)
        if band:
            page = page.where(_in_band(band))
        count = page.with_only_columns(func.count())
        ordered = _ordered(page, Order(sort, descending, now, overdue or EVER))
        ordered = ordered.limit(limit).offset(offset)
        with self._read() as connection:
            total = connection.execute(count).scalar_one()
            ids = connection.execute(ordered).scalars().all()  # sorting whole rows takes longer
            whole = connection.execute(select(PATIENTS).where(PATIENTS.c.patient_id.in_(ids)))
            rows = {row.patient_id: row for row in whole}
            return _complete(connection, [rows[one] for one in ids], now), total


def _complete(
    connection: Connection, rows: Collection[Row[Any]], now: datetime
) -> tuple[WorklistRow, ...]:
    """Add risks, courses, results and vital signs to a page with one query each."""
    ids = [row.patient_id for row in rows]
    risks = _risks(connection, [row.risk_id for row in rows])
    results = _results(connection, [row.newest_result_id for row in rows])
    courses = _courses(connection, ids, now)
    vitals = _vitals(connection, ids)
    away = [row.patient_id for row in rows if not _patient(row).is_admitted]
    outside = risks_of(connection, away) if away else {}
    return tuple(
        WorklistRow(
            patient=_patient(row),
            risk=risks.get(row.patient_id),
            risk_course=tuple(courses.get(row.patient_id, ())),
            risk_change=row.risk_change,
            result=results.get(row.patient_id),
            vitals=vitals.get(row.patient_id, {}),
            outside=outside.get(row.patient_id),
        )
        for row in rows
    )


def _patient(row: Row[Any]) -> Patient:
    return payloads.patient(row._mapping)


def _risks(connection: Connection, ids: list[str | None]) -> dict[str, RiskRecord]:
    rows = connection.execute(select(RISKS).where(RISKS.c.risk_id.in_(ids))).mappings()
    return {row["patient_id"]: payloads.risk(row) for row in rows}


def _results(connection: Connection, ids: list[str | None]) -> dict[str, StudyResult]:
    rows = connection.execute(select(RESULTS).where(RESULTS.c.result_id.in_(ids))).mappings()
    return {row["patient_id"]: payloads.result(row) for row in rows}


def _courses(
    connection: Connection, ids: list[str], now: datetime
) -> dict[str, list[tuple[datetime, float]]]:
    query = (
        select(RISKS.c.patient_id, RISKS.c.at, RISKS.c.probability)
        .where(
            RISKS.c.patient_id.in_(ids),
            RISKS.c.at >= now - COURSE,
            RISKS.c.at <= now,
            RISKS.c.probability.is_not(None),
        )
        .order_by(RISKS.c.patient_id, RISKS.c.at, RISKS.c.computed_at)
    )
    courses: dict[str, list[tuple[datetime, float]]] = {}
    for row in connection.execute(query):
        courses.setdefault(row.patient_id, []).append((row.at, row.probability))
    return courses


def _vitals(connection: Connection, ids: list[str]) -> dict[str, dict[str, Observation]]:
    query = (
        select(OBSERVATIONS)
        .join(VITALS, VITALS.c.number == OBSERVATIONS.c.number)
        .where(VITALS.c.patient_id.in_(ids))
    )
    vitals: dict[str, dict[str, Observation]] = {}
    for row in connection.execute(query).mappings():
        vitals.setdefault(row["patient_id"], {})[row["variable"]] = payloads.observation(row)
    return vitals
