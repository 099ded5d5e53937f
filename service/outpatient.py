"""The risk of somebody who is not admitted, from what the index knows of them at the moment.

It is computed when it is asked for and kept nowhere: nothing about it is monitored. History, tests
and comorbidities do not reach the index; the model puts typical values in their place, and the
interval says what that costs. Whoever has them asks `POST /api/v1/risk/outpatient`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from service.jobs.risk import SEXES, age_years
from service.records import (
    SEVERITY_TERM,
    Observation,
    Patient,
    RiskInput,
    RiskRecord,
    StudyResult,
)

if TYPE_CHECKING:  # the science is loaded by whoever answers
    from risk.additive import Table
    from risk.estimate import Estimate

DERIVED = {"pneumonia": SEVERITY_TERM, "oxygen": "oxygen_flow"}  # where only the latter is known
LOOK_BACK = timedelta(days=3)  # the longest that a value of this model counts


def estimate(
    patient: Patient,
    vitals: Mapping[str, Observation],
    result: StudyResult | None,
    now: datetime,
    table: Table,
) -> RiskRecord | None:
    """The probability of intensive care, ventilation or death, with its reasons.

    Parameters
    ----------
    vitals : the newest value of each variable.
    result : that of the newest film.

    Returns
    -------
    None for somebody who is admitted, and where nothing was measured or scored lately: age and sex
    alone say too little of a person.
    """
    from risk import outpatient as model  # noqa: PLC0415  # loads its table on first use

    if patient.is_admitted:
        return None
    row, times = _row(patient, vitals, result, now)
    if not times:
        return None
    row |= {"age_years": age_years(patient, now), "sex": SEXES.get(patient.sex)}
    found = model.predict(row, table)
    return RiskRecord(
        risk_id="",
        patient_id=patient.patient_id,
        at=now,
        computed_at=now,
        status="ok" if found.status == "ok" else "refused",
        reason=found.reason,
        probability=found.probability,
        low=found.low,
        high=found.high,
        baseline_log_odds=found.baseline_log_odds,
        inputs=_inputs(found, times),
        stale=(),
        missing=tuple(name for name in found.missing if DERIVED.get(name) not in row),
        companions=(),
        model=found.model,
    )


def _inputs(found: Estimate, times: Mapping[str, datetime]) -> tuple[RiskInput, ...]:
    """One input for each variable: what acts otherwise with pneumonia counts with it."""
    from risk import outpatient as model  # noqa: PLC0415

    labels = {variable.name: variable.label for variable in model.VARIABLES}
    plain = {inside: name for name, inside in model.WITH_PNEUMONIA.items()}
    sums: dict[str, float] = {}
    for one in found.contributions:
        name = plain.get(one.variable, one.variable)
        sums[name] = sums.get(name, 0.0) + one.log_odds
    return tuple(
        RiskInput(
            one.variable, labels.get(one.variable, ""), one.value, one.unit, sums[one.variable],
            times.get(one.variable), stale=False, source=one.source,
        )
        for one in found.contributions
        if one.variable not in plain
    )  # fmt: skip


def _row(
    patient: Patient,
    vitals: Mapping[str, Observation],
    result: StudyResult | None,
    now: datetime,
) -> tuple[dict[str, object], dict[str, datetime]]:
    """What still counts: not too old, and not from a stay that is over."""
    from risk import outpatient as model  # noqa: PLC0415

    row: dict[str, object] = {}
    times: dict[str, datetime] = {}
    since = max(now - LOOK_BACK, patient.discharged_at or now - LOOK_BACK)
    for variable in model.VARIABLES:
        one = vitals.get(variable.name)
        oldest = max(since, now - timedelta(hours=min(variable.max_age_h, 72.0)))
        if one is not None and oldest <= one.observed_at <= now:
            row[variable.name], times[variable.name] = one.value, one.observed_at
    if result is not None and result.severity is not None:
        taken = min(result.acquired_at or result.created_at, result.created_at)  # clocks differ
        if since <= taken <= now:
            row[SEVERITY_TERM] = result.severity.extent
            times[SEVERITY_TERM] = times["pneumonia"] = taken
    return row, times
