"""What goes in and out of the JSON API, with units and ranges."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
)

from models.severity.zones import ZONES
from service.records import (
    RESEARCH_USE,
    ChangeFinding,
    Companion,
    Observation,
    Patient,
    RiskInput,
    RiskRecord,
    SeverityFinding,
    StructuresFinding,
    Study,
    StudyResult,
    WorklistRow,
    risk_band,
)

NO_CONTROL = r"^[^\x00-\x1f\x7f]*$"
MOST_OBSERVATIONS = 5000
MOST_ROWS = 5000


def in_utc(moment: datetime) -> datetime:
    """The same moment in UTC; 1900 to 2199, so that no zone can push it off the calendar."""
    if not 1900 <= moment.year < 2200:
        raise ValueError("expected a time between 1900 and 2199")
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(in_utc)]
Identifier = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64, pattern=NO_CONTROL),
    Field(description="as the hospital writes it, DICOM PatientID"),
]
Uid = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=NO_CONTROL)]
Word = Annotated[str, StringConstraints(max_length=64, pattern=NO_CONTROL)]
Unit = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=NO_CONTROL)]
PersonName = Annotated[str, StringConstraints(max_length=324, pattern=NO_CONTROL)]
Probability = Annotated[float, Field(ge=0, le=1)]


class Out(BaseModel):
    """Base of the answers."""

    model_config = ConfigDict(frozen=True)


class In(BaseModel):
    """Base of the request bodies: an unknown field is a mistake, not noise."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Noticed(Out):
    """An answer with a score in it."""

    notice: str = Field(default=RESEARCH_USE, description="shown wherever a score is shown")


class SeverityOut(Noticed):
    """Severity of one film; higher is worse."""

    pxs: float = Field(description="distance to normal films, embedding units, unsigned")
    extent: float = Field(description="geographic extent of opacity, 0-8")
    extent_low: float = Field(description="lower end of the 90 % interval")
    extent_high: float = Field(description="upper end of the 90 % interval")
    brixia: float = Field(description="sum of six zones, 0-18")
    zones: dict[str, float] = Field(description="0-3 each")
    model: str = Field(description="name, version and checksum of the model")

    @classmethod
    def of(cls, finding: SeverityFinding) -> Self:
        """From the record."""
        return cls(
            pxs=finding.pxs,
            extent=finding.extent,
            extent_low=finding.extent_low,
            extent_high=finding.extent_high,
            brixia=finding.brixia,
            zones=dict(zip(ZONES, finding.zones, strict=True)),
            model=finding.model,
        )


class StructureOut(Out):
    """One of the 20 structures."""

    name: str
    visible: bool
    area_mm2: float | None = Field(description="in the plane of the detector; null without spacing")


class StructuresOut(Noticed):
    """The 20 structures and what is measured on them."""

    structures: list[StructureOut]
    cardiothoracic_ratio: float | None
    right_lung_area_mm2: float | None
    left_lung_area_mm2: float | None
    carina_angle_deg: float | None
    model: str

    @classmethod
    def of(cls, finding: StructuresFinding) -> Self:
        """From the record."""
        rows = zip(finding.names, finding.visible, finding.area_mm2, strict=True)
        return cls(
            structures=[StructureOut(name=n, visible=v, area_mm2=a) for n, v, a in rows],
            cardiothoracic_ratio=finding.cardiothoracic_ratio,
            right_lung_area_mm2=finding.right_lung_area_mm2,
            left_lung_area_mm2=finding.left_lung_area_mm2,
            carina_angle_deg=finding.carina_angle_deg,
            model=finding.model,
        )


class ChangeOut(Noticed):
    """Change against the newest earlier study of the same patient; positive is worse."""

    prior_study_uid: str
    prior_acquired_at: datetime | None
    extent_change: float
    low: float = Field(description="lower end of the 90 % interval")
    high: float = Field(description="upper end of the 90 % interval")
    probability_real: Probability
    aligned: bool = Field(description="whether the pictures may be shown over each other")
    alignment_reason: str
    dice_before: float | None
    dice_after: float | None
    folding_fraction: float | None
    model: str

    @classmethod
    def of(cls, finding: ChangeFinding) -> Self:
        """From the record."""
        names = set(cls.model_fields) - {"notice"}
        return cls(**{name: getattr(finding, name) for name in names})


class ResultOut(Noticed):
    """What the models say of one study. A refused study has a reason and no score."""

    result_id: str
    study_uid: str
    patient_id: str
    sop_instance_uid: str | None
    status: Literal["ok", "refused", "failed"]
    reason: str = Field(description="a refusal code, or empty")
    message: str
    created_at: datetime
    acquired_at: datetime | None
    severity: SeverityOut | None
    structures: StructuresOut | None
    change: ChangeOut | None
    artifacts: list[str] = Field(description="names for /studies/{study_uid}/artifacts/{name}")
    supersedes: str | None = Field(description="the result that this one amends")
    current: bool = Field(description="false: a later result amends this one")
    seconds: float

    @classmethod
    def of(cls, result: StudyResult, *, current: bool) -> Self:
        """From the record."""
        return cls(
            result_id=result.result_id,
            study_uid=result.study_uid,
            patient_id=result.patient_id,
            sop_instance_uid=result.sop_instance_uid,
            status=result.status,
            reason=result.reason,
            message=result.message,
            created_at=result.created_at,
            acquired_at=result.acquired_at,
            severity=SeverityOut.of(result.severity) if result.severity else None,
            structures=StructuresOut.of(result.structures) if result.structures else None,
            change=ChangeOut.of(result.change) if result.change else None,
            artifacts=sorted(result.artifacts),
            supersedes=result.supersedes,
            current=current,
            seconds=result.seconds,
        )


class ResultsOut(Out):
    """Results, oldest first."""

    results: list[ResultOut]


class PatientOut(Out):
    """One patient."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    patient_id: str
    name: str
    birth_date: date | None
    sex: str
    ward: str
    bed: str
    admitted_at: datetime | None
    discharged_at: datetime | None
    ventilated_since: datetime | None

    @classmethod
    def of(cls, patient: Patient) -> Self:
        """From the record."""
        return cls.model_validate(patient)


class PatientsOut(Out):
    """Patients by identifier."""

    patients: list[PatientOut]


class PatientIn(In):
    """What the hospital knows of a patient. A field left out keeps its value; null empties it."""

    name: PersonName | None = None
    birth_date: date | None = None
    sex: Literal["M", "F", "O", ""] | None = None
    ward: Word | None = None
    bed: Word | None = None
    admitted_at: Moment | None = None
    discharged_at: Moment | None = None
    ventilated_since: Moment | None = None

    def applied(self, patient: Patient) -> dict[str, Any]:
        """The fields of the record that change."""
        texts = ("name", "sex", "ward", "bed")
        return {
            name: "" if name in texts and getattr(self, name) is None else getattr(self, name)
            for name in self.model_fields_set
        }


class StudyOut(Out):
    """One study."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    study_uid: str
    patient_id: str
    acquired_at: datetime | None
    received_at: datetime
    accession_number: str
    description: str
    referring_ae: str

    @classmethod
    def of(cls, study: Study) -> Self:
        """From the record."""
        return cls.model_validate(study)


class StudiesOut(Out):
    """Studies, newest first."""

    studies: list[StudyOut]


class InstanceOut(Out):
    """One DICOM object of a study."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    sop_instance_uid: str
    sop_class_uid: str
    series_uid: str
    modality: str
    size_bytes: int
    received_at: datetime
    source: str
    state: str


class StudyDetailOut(StudyOut):
    """One study with its objects and the result in force."""

    instances: list[InstanceOut]
    result: ResultOut | None


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
            band=risk_band(record.probability),
            baseline_log_odds=record.baseline_log_odds,
            contributions=[ContributionOut.of(entry) for entry in record.inputs],
            stale=list(record.stale),
            missing=list(record.missing),
            companions=[CompanionOut.of(entry) for entry in record.companions],
            model=record.model,
        )


class RisksOut(Out):
    """The ventilation risk over time, oldest first."""

    risks: list[RiskOut]


class CoursePoint(Out):
    """One point of a course."""

    at: datetime
    probability: Probability


class VitalOut(ObservationOut):
    """The newest value of a variable and how old it is."""

    age_minutes: float


class WorklistRowOut(Out):
    """One admitted patient."""

    patient: PatientOut
    risk: RiskOut | None
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
                age_minutes=round((now - one.observed_at).total_seconds() / 60, 1),
            )
            for name, one in row.vitals.items()
        }
        return cls(
            patient=PatientOut.of(row.patient),
            risk=RiskOut.of(row.risk) if row.risk else None,
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


class AuditOut(Out):
    """Who did what to which patient's data, when, from where."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    at: datetime
    actor: str
    action: str
    outcome: str
    patient_id: str | None
    study_uid: str | None
    address: str
    detail: str


class AuditsOut(Out):
    """Audit rows, newest first."""

    audits: list[AuditOut]


class UserOut(Out):
    """Who is logged in."""

    username: str
    role: str


class TokenOut(Out):
    """A bearer token (RFC 6750)."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  # the name of the scheme
    expires_in: int = Field(description="seconds")
    role: str


class CredentialsIn(In):
    """User name and password."""

    username: str = Field(max_length=256)
    password: str = Field(max_length=4096)
