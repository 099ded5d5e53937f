"""The ward at a glance: admitted patients, ranked, a page at a time."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, select

from service.errors import UsageError
from service.records import RISK_BANDS, Observation, Patient, RiskRecord, StudyResult, WorklistRow
from service.store import payloads
from service.store.database import Database
from service.store.images import narrowed
from service.store.tables import OBSERVATIONS, PATIENTS, RESULTS, RISKS, VITALS

COURSE = timedelta(hours=48)
Sort = Literal["risk", "change", "severity", "name", "ward", "admitted"]
SORTS: dict[str, tuple[ColumnElement[Any], ...]] = {
    "risk": (PATIENTS.c.risk_probability,),
    "change": (PATIENTS.c.risk_change,),
    "severity": (PATIENTS.c.newest_extent,),
    "name": (PATIENTS.c.name,),
    "ward": (PATIENTS.c.ward, PATIENTS.c.bed),
    "admitted": (PATIENTS.c.admitted_at,),
}


def _in_band(band: str) -> ColumnElement[bool]:
    """Tell whether the risk of a patient lies in a band; "unknown" is without a number."""
    risk = PATIENTS.c.risk_probability
    if band == "unknown":
        return risk.is_(None)
    least = dict(RISK_BANDS)
    if band not in least:
        raise UsageError(f"expected one of {[*least, 'unknown']}, found {band!r}; choose a band")
    above = [limit for limit in least.values() if limit > least[band]]
    return and_(risk >= least[band], risk < min(above)) if above else risk >= least[band]


def _ordered(query: Select[Any], sort: str, descending: bool) -> Select[Any]:
    """Order by what was asked, patients without a value last, ties by identifier."""
    if sort not in SORTS:
        raise UsageError(f"expected one of {list(SORTS)}, found {sort!r}; choose a column")
    for column in SORTS[sort]:
        order = column.desc() if descending else column.asc()
        query = query.order_by(column.is_(None), order)
    return query.order_by(PATIENTS.c.patient_id)


class Worklist(Database):
    """What the clinician opens first."""

    def worklist(
        self,
        *,
        ward: str | None = None,
        band: str | None = None,
        search: str = "",
        everybody: bool = False,
        sort: str = "risk",
        descending: bool = True,
        limit: int = 50,
        offset: int = 0,
        now: datetime,
    ) -> tuple[tuple[WorklistRow, ...], int]:
        """Give one page of the admitted patients, and how many there are on all pages.

        Parameters
        ----------
        everybody : patients who are not admitted as well.
        band : a name of `records.RISK_BANDS`, "unknown", or None for all.
        sort : "risk", "change", "severity", "name", "ward" or "admitted".
        now : the risk course covers the 48 hours before.
        """
        page = narrowed(select(PATIENTS), search, ward, admitted=None if everybody else True)
        if band:
            page = page.where(_in_band(band))
        count = select(func.count()).select_from(page.subquery())
        ordered = _ordered(page, sort, descending).limit(limit).offset(offset)
        with self._read() as connection:
            total = connection.execute(count).scalar_one()
            return _complete(connection, connection.execute(ordered).all(), now), total


def _complete(
    connection: Connection, rows: Collection[Row[Any]], now: datetime
) -> tuple[WorklistRow, ...]:
    """Add risks, courses, results and vital signs to a page with one query each."""
    ids = [row.patient_id for row in rows]
    risks = _risks(connection, [row.risk_id for row in rows])
    results = _results(connection, [row.newest_result_id for row in rows])
    courses = _courses(connection, ids, now)
    vitals = _vitals(connection, ids)
    return tuple(
        WorklistRow(
            patient=_patient(row),
            risk=risks.get(row.patient_id),
            risk_course=tuple(courses.get(row.patient_id, ())),
            risk_change=row.risk_change,
            result=results.get(row.patient_id),
            vitals=vitals.get(row.patient_id, {}),
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
