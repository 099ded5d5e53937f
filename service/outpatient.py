"""The risk of somebody who is not admitted, from what the index knows of them at the moment.

The last one is kept, so that a list can be sorted by it and everybody reads the same number; there
is no series of them, for nobody is monitored. It is computed again when a value or film arrives and
when one no longer counts. History, tests and comorbidities do not reach the index; the model puts
typical values in their place, and the interval says what that costs. Whoever has them asks
`POST /api/v1/risk/outpatient`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from service.jobs.risk import SEXES, ScoredFilm, age_years, record_of, scored_film
from service.records import Observation, Patient
from service.risk_record import SEVERITY_TERM, RiskInput, RiskRecord
from service.store.index import Index

if TYPE_CHECKING:  # the science is loaded by whoever answers
    from risk.additive import Table
    from risk.estimate import Estimate

DERIVED = {"pneumonia": SEVERITY_TERM, "oxygen": "oxygen_flow"}  # where only the latter is known
LOOK_BACK = timedelta(days=3)  # the longest that a value of this model counts
NOTHING_LATELY = "nothing was measured or scored within three days"
OUTCOME = "intensive care, ventilation or death"


def keep(patient_id: str, index: Index, now: datetime, table: Table) -> RiskRecord | None:
    """Compute the risk of somebody who is not admitted, and keep it in place of the last one.

    Returns
    -------
    None for somebody who is admitted.
    """
    patient = index.patient(patient_id)
    seen = index.observations(patient.patient_id, since=now - LOOK_BACK, until=now)
    film = scored_film(index, patient.patient_id, now)
    record = estimate(patient, {one.variable: one for one in seen}, film, now, table)
    if record is not None:
        index.keep_outpatient_risk(record, until(record))
    return record


def until(record: RiskRecord) -> datetime | None:
    """When the first of its inputs will no longer count, None where none does so."""
    counted = _counted()
    return min(
        (
            one.observed_at + counted.get(one.variable, LOOK_BACK)
            for one in record.inputs
            if one.observed_at is not None
        ),
        default=None,
    )


def aged(record: RiskRecord, now: datetime) -> RiskRecord:
    """The same number with those inputs marked as stale that no longer count at this moment."""
    counted = _counted()

    def is_stale(one: RiskInput) -> bool:
        limit = counted.get(one.variable, LOOK_BACK)
        return one.observed_at is not None and now - one.observed_at > limit

    inputs = tuple(replace(one, stale=is_stale(one)) for one in record.inputs)
    return replace(record, inputs=inputs, stale=tuple(i.variable for i in inputs if i.stale))


@cache
def _counted() -> dict[str, timedelta]:
    """How long a value of each variable counts."""
    from risk import outpatient as model  # noqa: PLC0415

    most_h = LOOK_BACK / timedelta(hours=1)
    counted = {one.name: timedelta(hours=min(one.max_age_h, most_h)) for one in model.VARIABLES}
    return counted | {name: min(counted[name], counted[of]) for name, of in DERIVED.items()}


def estimate(
    patient: Patient,
    vitals: Mapping[str, Observation],
    film: ScoredFilm | None,
    now: datetime,
    table: Table,
) -> RiskRecord | None:
    """The probability of intensive care, ventilation or death, with its reasons.

    Parameters
    ----------
    vitals : the newest value of each variable.
    film : the newest one that was scored.

    Returns
    -------
    None for somebody who is admitted; refused where nothing was measured or scored lately: age and
    sex alone say too little of a person.
    """
    from risk import outpatient as model  # noqa: PLC0415  # loads its table on first use
    from risk.estimate import refused  # noqa: PLC0415

    if patient.is_admitted:
        return None
    row, times = _row(patient, vitals, film, now)
    row |= {"age_years": age_years(patient, now), "sex": SEXES.get(patient.sex)}
    found = model.predict(row, table)
    if not times:
        found = refused(NOTHING_LATELY, found.model, found.missing)
    missing = tuple(name for name in found.missing if DERIVED.get(name) not in row)
    return record_of(
        replace(found, missing=missing),
        name=f"outpatient {patient.patient_id} {now.isoformat()}",
        patient_id=patient.patient_id,
        at=now,
        computed_at=now,
        inputs=_inputs(found, times),
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
    film: ScoredFilm | None,
    now: datetime,
) -> tuple[dict[str, object], dict[str, datetime]]:
    """What still counts: not too old, and not from a stay that is over."""
    from risk import outpatient as model  # noqa: PLC0415

    row: dict[str, object] = {}
    times: dict[str, datetime] = {}
    since = max(now - LOOK_BACK, patient.discharged_at or now - LOOK_BACK)
    for variable in model.VARIABLES:
        one = vitals.get(variable.name)
        oldest = max(since, now - _counted()[variable.name])
        if one is not None and oldest <= one.observed_at <= now:
            row[variable.name], times[variable.name] = one.value, one.observed_at
    if "oxygen_flow" in times:
        times.setdefault("oxygen", times["oxygen_flow"])
    if film is not None and since <= film.taken_at <= now:
        row[SEVERITY_TERM] = film.extent
        times[SEVERITY_TERM] = times["pneumonia"] = film.taken_at
    return row, times
