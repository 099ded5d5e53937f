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
    StringConstraints,
)

from models.severity.zones import ZONES
from service.records import (
    RESEARCH_USE,
    Agreement,
    ChangeFinding,
    Patient,
    SeverityFinding,
    StructuresFinding,
    Study,
    StudyResult,
    ZoneChangeFinding,
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
Word = Annotated[str, StringConstraints(max_length=64, pattern=NO_CONTROL)]
Reason = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1000, pattern=NO_CONTROL, strip_whitespace=True),
    Field(description="why, for the audit"),
]
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


class ZoneChangeOut(Out):
    """Change of one zone: its score, and what the map shows there; positive is worse."""

    zone: str
    change: float = Field(description="current less prior, -3 to 3")
    low: float = Field(description="lower end of the 90 % interval")
    high: float = Field(description="upper end of the 90 % interval")
    probability_real: Probability
    denser: Probability | None = Field(description="share of the zone, beyond noise; null: no map")
    clearer: Probability | None = Field(description="share of the zone, beyond noise; null: no map")
    agreement: Agreement = Field(description="whether score and map say the same")

    @classmethod
    def of(cls, finding: ZoneChangeFinding) -> Self:
        """From the record."""
        return cls(
            zone=finding.zone,
            change=finding.change,
            low=finding.low,
            high=finding.high,
            probability_real=finding.probability_real,
            denser=finding.denser,
            clearer=finding.clearer,
            agreement=finding.agreement,
        )


class ChangeMapOut(Out):
    """What was drawn of the change: there only where the alignment passed its check."""

    threshold: float = Field(
        description="noise taken off, in multiples of what the two films differ by in general"
    )
    empty: bool = Field(description="nothing in the lungs changed beyond noise")


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
    zones: list[ZoneChangeOut] = Field(description="empty in results of versions before 0.3")
    map: ChangeMapOut | None = Field(description="null where no change map was drawn")

    @classmethod
    def of(cls, finding: ChangeFinding) -> Self:
        """From the record."""
        names = set(cls.model_fields) - {"notice", "zones", "map"}
        limit, empty = finding.map_threshold, finding.map_empty
        return cls(
            **{name: getattr(finding, name) for name in names},
            zones=[ZoneChangeOut.of(one) for one in finding.zones],
            map=None
            if limit is None or empty is None
            else ChangeMapOut(threshold=limit, empty=empty),
        )


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
