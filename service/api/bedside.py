"""What is known at the bedside, in and out: values, risks, the worklist."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import ConfigDict, Field, FiniteFloat

from service.api.schemas import (
    Identifier,
    In,
    Moment,
    Noticed,
    Out,
    PatientOut,
    Probability,
    ResultOut,
    Unit,
    Word,
)
from service.outpatient import OUTCOME, aged
from service.records import Observation, WorklistRow
from service.risk_record import Companion, RiskInput, RiskRecord, risk_band


class ObservationIn(In):
    """One vital sign, laboratory value or oxygen setting."""

    patient_id: Identifier
    variable: Word = Field(description="a name of GET /api/v1/variables")
    value: FiniteFloat
    unit: Unit = Field(description="UCUM; converted to the unit of the variable")
    observed_at: Moment = Field(description="ISO 8601 with a zone")
    source: Word = Field(default="", description="device or system; empty: the user who sends it")


class ObservationOut(Out):
    """One value as it is kept, in the unit of its variable."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    observation_id: str
    patient_id: str
    variable: str
    value: float
    unit: str
    observed_at: datetime
    received_at: datetime
    source: str

    @classmethod
    def of(cls, observation: Observation) -> Self:
        """From the record."""
        return cls.model_validate(observation)


class ObservationsOut(Out):
    """Values of one patient, oldest first."""

    observations: list[ObservationOut]


class RejectedOut(Out):
    """An entry that was not stored."""

    index: int = Field(description="position in the list that was sent, from 0")
    reason: str


class StoredOut(Out):
    """An entry that was stored, as it is kept."""

    index: int
    observation: ObservationOut


class TakenOut(Out):
    """What became of a list of observations."""

    new: int = Field(description="values that were not known before; the same value again is one")
    stored: list[StoredOut]
    rejected: list[RejectedOut]


class VariableOut(Out):
    """One variable that the observation API takes."""

    name: str
    label: str
    unit: str
    low: float
    high: float
    loinc: str
    max_age_h: float | None


class VariablesOut(Out):
    """The variables that the observation API takes."""

    variables: list[VariableOut]


class ContributionOut(Out):
    """What one input did to a risk, in log-odds."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    variable: str
    label: str
    value: float | str | None
    unit: str
    log_odds: float
    observed_at: datetime | None
    stale: bool
    source: str = Field(description="what the term was fitted on")

    @classmethod
    def of(cls, entry: RiskInput) -> Self:
        """From the record."""
        return cls.model_validate(entry)


class CompanionOut(Out):
    """A published score beside the model."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    name: str
    value: float | None
    band: str
    citation: str
    missing: list[str]

    @classmethod
    def of(cls, companion: Companion) -> Self:
        """From the record."""
        return cls(
            name=companion.name,
            value=companion.value,
            band=companion.band,
            citation=companion.citation,
            missing=list(companion.missing),
        )


class RiskOut(Noticed):
    """Probability that invasive ventilation starts within 12 hours of `at`.

    The baseline and the contributions add up to the log-odds of the probability.
    """

    risk_id: str
    patient_id: str
    at: datetime
    computed_at: datetime
    horizon_hours: int = 12
    status: Literal["ok", "refused"]
    reason: str
    probability: Probability | None
    low: Probability | None = Field(description="lower end of the interval")
    high: Probability | None = Field(description="upper end of the interval")
    probability_without_severity: Probability | None = Field(
        description="with the film's term taken out; null where no film went in. "
        "The source of the term severity_extent says whether it was fitted apart"
    )
    band: str
    baseline_log_odds: float | None
    contributions: list[ContributionOut]
    stale: list[str] = Field(description="inputs too old to be used: the number is not fresh")
    missing: list[str]
    companions: list[CompanionOut]
    model: str

    @classmethod
    def of(cls, record: RiskRecord) -> Self:
        """From the record."""
        return cls(
            risk_id=record.risk_id,
            patient_id=record.patient_id,
            at=record.at,
            computed_at=record.computed_at,
            status=record.status,
            reason=record.reason,
            probability=record.probability,
            low=record.low,
            high=record.high,
            probability_without_severity=record.probability_without_film,
            band=risk_band(record.probability),
            baseline_log_odds=record.baseline_log_odds,
            contributions=[ContributionOut.of(entry) for entry in record.inputs],
            stale=list(record.stale),
            missing=list(record.missing),
            companions=[CompanionOut.of(entry) for entry in record.companions],
            model=record.model,
        )


class AgedContributionOut(ContributionOut):
    """What one input did to a risk, and how old it is now."""

    age_minutes: float | None = Field(description="null where it has no moment: age, sex")


class OutpatientRiskOut(Noticed):
    """Probability of intensive care, ventilation or death of somebody who is not admitted.

    The number that the pages show and the list is sorted by. It is computed again when a value or
    film arrives, and when an input no longer counts.
    """

    patient_id: str
    at: datetime = Field(description="the moment that it speaks of")
    outcome: str = OUTCOME
    status: Literal["ok", "refused"]
    reason: str
    probability: Probability | None
    low: Probability | None = Field(description="lower end of the 90 % interval")
    high: Probability | None = Field(description="upper end of the 90 % interval")
    baseline_log_odds: float | None
    contributions: list[AgedContributionOut]
    stale: list[str] = Field(
        description="inputs that no longer count now: the number waits to be computed again"
    )
    missing: list[str] = Field(description="inputs that the model put typical values for")
    model: str

    @classmethod
    def of(cls, kept: RiskRecord, now: datetime) -> Self:
        """From the record, aged to the present moment."""
        record = aged(kept, now)
        return cls(
            patient_id=record.patient_id,
            at=record.at,
            status=record.status,
            reason=record.reason,
            probability=record.probability,
            low=record.low,
            high=record.high,
            baseline_log_odds=record.baseline_log_odds,
            contributions=[
                AgedContributionOut(
                    **ContributionOut.of(one).model_dump(),
                    age_minutes=_minutes(one.observed_at, now),
                )
                for one in record.inputs
            ],
            stale=list(record.stale),
            missing=list(record.missing),
            model=record.model,
        )


def _minutes(since: datetime | None, now: datetime) -> float | None:
    return None if since is None else round((now - since).total_seconds() / 60, 1)


class RisksOut(Out):
    """The ventilation risk over time, oldest first; of somebody outside, the risk now."""

    risks: list[RiskOut]
    outpatient: OutpatientRiskOut | None = Field(
        description="of somebody who is not admitted; null for others and before the first"
    )


class CoursePoint(Out):
    """One point of a course."""

    at: datetime
    probability: Probability


class VitalOut(ObservationOut):
    """The newest value of a variable and how old it is."""

    age_minutes: float


class WorklistRowOut(Out):
    """One patient."""

    patient: PatientOut
    risk: RiskOut | None = Field(
        description="of ventilation; of somebody who is not admitted, the last of the stay before"
    )
    outpatient_risk: OutpatientRiskOut | None = Field(
        description="of somebody who is not admitted; null for others and before the first"
    )
    risk_course: list[CoursePoint] = Field(description="the last 48 hours")
    risk_change: float | None = Field(description="against about one hour earlier")
    result: ResultOut | None
    vitals: dict[str, VitalOut]

    @classmethod
    def of(cls, row: WorklistRow, now: datetime) -> Self:
        """From the record."""
        vitals = {
            name: VitalOut(
                **ObservationOut.of(one).model_dump(),
                age_minutes=_minutes(one.observed_at, now) or 0.0,
            )
            for name, one in row.vitals.items()
        }
        return cls(
            patient=PatientOut.of(row.patient),
            risk=RiskOut.of(row.risk) if row.risk else None,
            outpatient_risk=OutpatientRiskOut.of(row.outside, now) if row.outside else None,
            risk_course=[CoursePoint(at=at, probability=p) for at, p in row.risk_course],
            risk_change=row.risk_change,
            result=ResultOut.of(row.result, current=True) if row.result else None,
            vitals=vitals,
        )


class WorklistOut(Out):
    """One page of the worklist."""

    total: int
    now: datetime
    rows: list[WorklistRowOut]
