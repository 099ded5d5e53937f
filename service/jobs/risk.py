"""The ventilation risk of one patient at one moment, with its reasons and its companions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import structlog

from service import metrics
from service.errors import NotFoundError
from service.records import Observation, Patient
from service.risk_record import Companion, RiskInput, RiskRecord
from service.store.index import Index

if TYPE_CHECKING:
    from risk.additive import Table
    from risk.estimate import Estimate

LOOK_BACK = timedelta(days=7)  # older readings are stale for every variable
HOUR = timedelta(hours=1)
COURSE = timedelta(hours=48)  # what the worklist draws
RISK_IDS = UUID("6d1b6f0a-51b0-4c57-9d0e-6a2f4f0f7a11")
LARGEST_URINE_ML = 9000
DERIVED_FROM = {"sf_ratio": ("spo2", "fio2"), "rox": ("spo2", "fio2", "respiratory_rate")}
SEXES = {"F": "female", "M": "male"}
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RiskModels:
    """The outcome model and the published scores beside it, as callables."""

    row: Callable[..., tuple[dict[str, object], dict[str, datetime | None]]]
    stale: Callable[[Mapping[str, datetime | None], datetime], tuple[str, ...]]
    usable: Callable[[Observation], bool]
    reading: Callable[[Observation], Any]
    predict: Callable[[Mapping[str, object]], Estimate]
    companions: Callable[[Mapping[str, object]], Sequence[Companion]]
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ScoredFilm:
    """A film's extent of opacity (0-8, higher is worse), and when the film was taken."""

    extent: float
    taken_at: datetime


def run_risk(
    patient_id: str,
    index: Index,
    now: datetime,
    models: RiskModels,
    computed_at: datetime | None = None,
) -> RiskRecord | None:
    """Compute the risk that ventilation starts within 12 hours, and append it to the series.

    Parameters
    ----------
    now : timezone-aware; the moment that the risk speaks of. Later readings are not looked at.
    computed_at : the present moment, where `now` lies in the past.

    Returns
    -------
    The record, or None for a patient who is not admitted at that moment. It is that of the patient
    whom a merged identifier leads to.
    """
    patient = index.patient(patient_id)
    if not _is_admitted(patient, now):
        return None
    observations = index.observations(patient_id, since=now - LOOK_BACK, until=now)
    usable = [one for one in observations if models.usable(one)]
    film = scored_film(index, patient_id, now)
    row, times = models.row(
        [models.reading(one) for one in usable],
        now,
        age_years(patient, now),
        SEXES.get(patient.sex),
        film.extent if film else None,
        film.taken_at if film else None,
    )
    _fill(row, times, patient, now)
    estimate = models.predict(row)
    stale = models.stale(times, now)
    record = record_of(
        estimate,
        name=f"{patient.patient_id} {now.isoformat()} {estimate.model} {row}",
        patient_id=patient.patient_id,
        at=now,
        computed_at=computed_at or now,
        inputs=_inputs(estimate, times, stale, models.labels),
        stale=stale,
        companions=models.companions(row),
    )
    index.add_risk(record)
    metrics.RISKS.labels(record.status).inc()
    if len(usable) < len(observations):
        _log.warning("readings left out as impossible", count=len(observations) - len(usable))
    return record


def fill_course(patient_id: str, index: Index, now: datetime, models: RiskModels) -> int:
    """Compute the full hours of the last two days that have readings and no number yet.

    Readings come late from a ward that charts on paper or a link that was down; the course then
    says what would have been said at the time, and `computed_at` when it was. An hour that was
    refused meanwhile is computed again when readings of it have arrived since.
    """
    since = now - COURSE
    answered: set[datetime] = set()
    refused: dict[datetime, datetime] = {}
    for risk in index.risks(patient_id, since):
        hour = _full_hour(risk.at + HOUR / 2)
        if risk.probability is not None:
            answered.add(hour)
        else:
            refused[hour] = max(risk.computed_at, refused.get(hour, risk.computed_at))
    due: set[datetime] = set()
    for reading in index.observations(patient_id, since=since, until=now):
        hour = _full_hour(reading.observed_at) + HOUR
        late = hour not in refused or reading.received_at > refused[hour]
        if late and hour <= now and hour not in answered:
            due.add(hour)
    for hour in sorted(due):
        run_risk(patient_id, index, hour, models, computed_at=now)
    return len(due)


def _full_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _is_admitted(patient: Patient, now: datetime) -> bool:
    admitted = patient.admitted_at is not None and patient.admitted_at <= now
    return admitted and (patient.discharged_at is None or patient.discharged_at > now)


def age_years(patient: Patient, now: datetime) -> float | None:
    """Age in whole years at a moment, None where the birth date is not known."""
    born = patient.birth_date
    if born is None:
        return None
    before_birthday = (now.month, now.day) < (born.month, born.day)
    return float(now.year - born.year - before_birthday)


def scored_film(index: Index, patient_id: str, now: datetime) -> ScoredFilm | None:
    """The newest film taken by then that was scored; None where there is none.

    A film that tells no time, or one that lies ahead (clocks differ), counts as taken when it was
    received: the result may be made anew at any time, the film grows no younger by that.
    """
    for result in reversed(index.patient_results(patient_id)):
        if result.severity is None:
            continue
        try:
            received = index.study(result.study_uid).received_at
        except NotFoundError:  # deleted since it was listed
            continue
        taken = min(result.acquired_at or received, received)
        if taken <= now:
            return ScoredFilm(result.severity.extent, taken)
    return None


def _fill(
    row: dict[str, object], times: dict[str, datetime | None], patient: Patient, now: datetime
) -> None:
    """Add what the admission record says."""
    if patient.admitted_at is not None:
        row["hours_in_unit"] = (now - patient.admitted_at) / timedelta(hours=1)
        times["hours_in_unit"] = now
    since = patient.ventilated_since
    ventilated = since is not None and since <= now
    row["ventilated"] = "yes" if ventilated else "no"
    times["ventilated"] = since if ventilated else now


def _inputs(
    estimate: Estimate,
    times: Mapping[str, datetime | None],
    stale: Sequence[str],
    labels: Mapping[str, str],
) -> tuple[RiskInput, ...]:
    return tuple(
        RiskInput(
            variable=one.variable,
            label=labels.get(one.variable, one.variable.replace("_", " ")),
            value=one.value,
            unit=one.unit,
            log_odds=float(one.log_odds),
            observed_at=_observed_at(one.variable, times),
            stale=one.variable in stale,
            source=one.source,
        )
        for one in estimate.contributions
    )


def record_of(
    estimate: Estimate,
    *,
    name: str,
    patient_id: str,
    at: datetime,
    computed_at: datetime,
    inputs: Sequence[RiskInput],
    stale: Sequence[str] = (),
    companions: Sequence[Companion] = (),
) -> RiskRecord:
    """What a model answered of a patient, as it is kept.

    Parameters
    ----------
    name : what the identifier follows from: the same name twice is one risk.
    """
    return RiskRecord(
        risk_id=str(uuid5(RISK_IDS, name)),
        patient_id=patient_id,
        at=at,
        computed_at=computed_at,
        status="ok" if estimate.status == "ok" else "refused",
        reason=estimate.reason,
        probability=estimate.probability,
        low=estimate.low,
        high=estimate.high,
        baseline_log_odds=estimate.baseline_log_odds,
        inputs=tuple(inputs),
        stale=tuple(stale),
        missing=tuple(estimate.missing),
        companions=tuple(companions),
        model=estimate.model,
    )


def _observed_at(variable: str, times: Mapping[str, datetime | None]) -> datetime | None:
    """When an input was measured; a ratio is as old as the oldest of its parts."""
    parts = [times.get(part) for part in DERIVED_FROM.get(variable, (variable,))]
    known = [moment for moment in parts if moment is not None]
    return min(known) if len(known) == len(parts) else None


def default_risk_models(table: Table | None = None) -> RiskModels:
    """The risk model and the published scores that ship with Carina.

    Parameters
    ----------
    table : a hospital's own coefficients; None: those that ship.
    """
    from risk import features, published, ventilation  # noqa: PLC0415

    known = {variable.name: variable for variable in features.BASE}

    def reading(one: Observation) -> features.Reading:
        return features.Reading(one.variable, one.value, one.unit, one.observed_at)

    def usable(one: Observation) -> bool:
        if one.variable not in known:
            return True  # left out by the row builder
        if one.variable == "urine_output":  # a volume, over however many hours
            return 0 <= one.value <= LARGEST_URINE_ML
        try:
            features.normalise(known[one.variable], one.value, one.unit)
        except features.BadValue:
            return False
        return True

    return RiskModels(
        row=features.ventilation_row,
        stale=features.stale,
        usable=usable,
        reading=reading,
        predict=partial(ventilation.predict, table=table),
        companions=lambda row: [
            Companion(one.name, one.value, one.band, one.citation, one.missing)
            for one in published.companions(row)
        ],
        labels={variable.name: variable.label for variable in features.VENTILATION}
        | {"sf_ratio": "SpO2/FiO2", "rox": "ROX index"},
    )
