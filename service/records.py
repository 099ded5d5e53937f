"""The records that the service keeps and hands around: one shape for store, API, FHIR and pages.

Times are timezone-aware UTC. Identifiers of the DICOM standard keep their own form (`study_uid`);
identifiers that Carina makes are UUID4 strings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Literal

from service.risk_record import RiskRecord

RESEARCH_USE = "For research use only. Not a medical device: not for diagnosis or treatment."


class Role(StrEnum):
    """What a user may do; `admin` may do everything."""

    CLINICIAN = "clinician"
    RADIOLOGIST = "radiologist"
    RESEARCHER = "researcher"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Patient:
    """One patient as the hospital knows them.

    `ward` and `admitted_at` are set by the observation API; the worklist ranks patients with
    `admitted_at` set and `discharged_at` empty. `ventilated_since` ends the prediction.
    """

    patient_id: str
    name: str = ""
    birth_date: date | None = None
    sex: str = ""  # DICOM PatientSex: M, F, O or empty
    ward: str = ""
    bed: str = ""
    admitted_at: datetime | None = None
    discharged_at: datetime | None = None
    ventilated_since: datetime | None = None

    @property
    def is_admitted(self) -> bool:
        """Whether somebody lies on a ward now, as far as Carina was told."""
        return self.admitted_at is not None and self.discharged_at is None


@dataclass(frozen=True, slots=True)
class Study:
    """One DICOM study."""

    study_uid: str
    patient_id: str
    acquired_at: datetime | None
    received_at: datetime
    accession_number: str = ""
    description: str = ""
    referring_ae: str = ""
    # How often the index saw a reason to judge anew: a film that arrived, a prior that changed.
    revision: int = 0


@dataclass(frozen=True, slots=True)
class StudyFilter:
    """What a query asks of studies (QIDO-RS, PS3.18 10.6); empty fields match everything.

    Names, identifiers, accession numbers and descriptions take the DICOM wildcards `*` and `?`;
    with one of them, and in names and descriptions always, case is ignored. `modality` may be a
    list; the dates are inclusive.
    """

    patient_id: str = ""
    patient_name: str = ""
    study_uid: str = ""
    accession_number: str = ""
    description: str = ""
    modality: str = ""
    date_from: date | None = None
    date_to: date | None = None


@dataclass(frozen=True, slots=True)
class StudySummary:
    """A study with its patient and what it holds."""

    study: Study
    patient: Patient
    modalities: tuple[str, ...]
    series_count: int
    instance_count: int


SCORED_CLASSES: frozenset[str] = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.1",  # Computed Radiography
        "1.2.840.10008.5.1.4.1.1.1.1",  # Digital X-Ray, for presentation
        "1.2.840.10008.5.1.4.1.1.1.1.1",  # Digital X-Ray, for processing
        "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture, and its multi-frame forms
        "1.2.840.10008.5.1.4.1.1.7.1",
        "1.2.840.10008.5.1.4.1.1.7.2",
        "1.2.840.10008.5.1.4.1.1.7.3",
        "1.2.840.10008.5.1.4.1.1.7.4",
    }
)
"""SOP classes that may hold a film; everything else is kept and served, never scored."""

OWN_SOURCE = "carina"
"""`Instance.source` of the SR and SEG that Carina made itself; they never trigger scoring."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One stored DICOM object. `object_key` is made by Carina, never from a UID."""

    sop_instance_uid: str
    sop_class_uid: str
    series_uid: str
    study_uid: str
    transfer_syntax_uid: str
    object_key: str
    sha256: str
    size_bytes: int
    received_at: datetime
    source: str  # "c-store:AETITLE", "stow:user", "import", "pull", "carina" for our own SR and SEG
    modality: str = ""
    state: Literal["stored", "conflict", "undecodable"] = "stored"


@dataclass(frozen=True, slots=True)
class SeverityFinding:
    """Severity of one film. extent 0-8 and brixia 0-18: higher is worse; 90 % interval."""

    pxs: float
    extent: float
    extent_low: float
    extent_high: float
    brixia: float
    zones: tuple[float, ...]  # 0-3 each; right upper, middle, lower, left upper, middle, lower
    model: str


@dataclass(frozen=True, slots=True)
class StructuresFinding:
    """Which of the 20 structures are visible, their areas, and the derived measures."""

    names: tuple[str, ...]
    visible: tuple[bool, ...]
    area_mm2: tuple[float | None, ...]
    cardiothoracic_ratio: float | None
    right_lung_area_mm2: float | None
    left_lung_area_mm2: float | None
    carina_angle_deg: float | None
    model: str


CALLED = 0.95  # probability from which a zone's score counts as changed
CHANGED_AREA = 0.05  # share of a zone from which the map counts as showing a change

Agreement = Literal["worse", "better", "score only", "map only", "opposite", "neither", "no map"]


@dataclass(frozen=True, slots=True)
class ZoneChangeFinding:
    """Change of one lung zone: its score (0-3, positive is worse) beside what the map shows there.

    Parameters
    ----------
    probability_real : 1 minus the chance that a zone of an unchanged lung differs by as much.
    denser, clearer : shares of the zone's area that changed beyond noise; None without a map.
    """

    zone: str
    change: float
    low: float
    high: float
    probability_real: float
    denser: float | None = None
    clearer: float | None = None

    @property
    def score_says(self) -> int:
        """1 worse, -1 better, 0 no change that is beyond chance."""
        if self.probability_real < CALLED:
            return 0
        return 1 if self.change > 0 else -1

    @property
    def map_says(self) -> int | None:
        """1 denser, -1 clearer, 0 neither or both alike; None without a map."""
        if self.denser is None or self.clearer is None:
            return None
        more = self.denser - self.clearer
        return 0 if abs(more) < CHANGED_AREA else 1 if more > 0 else -1

    @property
    def agreement(self) -> Agreement:
        """Whether score and map say the same: two looks at one zone, neither hides the other."""
        score, shown = self.score_says, self.map_says
        if shown is None:
            return "no map"
        if score == shown:
            return "worse" if score > 0 else "better" if score < 0 else "neither"
        if score and shown:
            return "opposite"
        return "score only" if score else "map only"


@dataclass(frozen=True, slots=True)
class ChangeFinding:
    """Change of this film against a prior of the same patient. Positive is worse.

    `aligned` tells whether the pictures may be shown over each other; when the alignment was
    refused, `alignment_reason` says why and only the scores are compared. `map_threshold` is the
    noise taken off the change map, `map_empty` whether nothing exceeded it;
    both are None without a map. Results of versions before 0.3 have no `zones` and no map.
    """

    prior_study_uid: str
    prior_sop_instance_uid: str
    prior_acquired_at: datetime | None
    extent_change: float
    low: float
    high: float
    probability_real: float
    aligned: bool
    alignment_reason: str
    dice_before: float | None
    dice_after: float | None
    folding_fraction: float | None
    model: str
    zones: tuple[ZoneChangeFinding, ...] = ()
    map_threshold: float | None = None
    map_empty: bool | None = None


@dataclass(frozen=True, slots=True)
class StudyResult:
    """What the models say of one study; amended by a later result, never overwritten.

    `artifacts` maps names ("heat", "structures", "aligned_prior", "change_map", "film", ...) to
    object keys of the object store. `reason` is a refusal code when `status` is "refused".
    """

    result_id: str
    study_uid: str
    patient_id: str
    sop_instance_uid: str | None
    status: Literal["ok", "refused", "failed"]
    reason: str
    message: str
    created_at: datetime
    acquired_at: datetime | None
    severity: SeverityFinding | None = None
    structures: StructuresFinding | None = None
    change: ChangeFinding | None = None
    artifacts: dict[str, str] = field(default_factory=dict)
    supersedes: str | None = None
    seconds: float = 0.0
    revision: int = 0  # the study's revision that this result speaks of
    prior_sop_instance_uid: str | None = None  # the prior film that was looked at, if any


Verdict = Literal["accepted", "corrected", "rejected"]


@dataclass(frozen=True, slots=True)
class ScoreReview:
    """A reader's verdict on one score of a film; higher is worse.

    Parameters
    ----------
    name : "extent" (0-8) or one of the six zones (0-3 each).
    said : what the model said; None where it had declined.
    value : what the reader says: `said` where accepted, None where rejected.
    """

    name: str
    verdict: Verdict
    said: float | None
    value: float | None


@dataclass(frozen=True, slots=True)
class ContourReview:
    """A structure as a reader drew it.

    Parameters
    ----------
    mask : object key of the mask, an 8-bit PNG (0 outside, 255 inside) over the whole film.
    dice : overlap with the model's mask of the same structure, 0-1.
    """

    name: str
    mask: str
    dice: float


@dataclass(frozen=True, slots=True)
class Review:
    """What one reader says of one result: a label beside it, never a change of it.

    Append-only: a later review of the same reader and study puts its identifier into
    `superseded_by` of the earlier one. `model` names the versions whose answer the reader saw.
    """

    review_id: str
    study_uid: str
    patient_id: str
    result_id: str
    sop_instance_uid: str | None
    reader: str
    at: datetime
    model: str
    scores: tuple[ScoreReview, ...] = ()
    contours: tuple[ContourReview, ...] = ()
    comment: str = ""
    superseded_by: str | None = None


@dataclass(frozen=True, slots=True)
class ReviewCase:
    """A film that can be reviewed: its result in force, and the reviews in force."""

    patient: Patient
    result: StudyResult
    reviews: tuple[Review, ...]


@dataclass(frozen=True, slots=True)
class Observation:
    """One vital sign, laboratory value or oxygen setting. `variable` as in risk/features.py."""

    observation_id: str
    patient_id: str
    variable: str
    value: float
    unit: str
    observed_at: datetime
    received_at: datetime
    source: str


@dataclass(frozen=True, slots=True)
class WorklistRow:
    """One patient on the worklist. `risk` of somebody who left is of the stay that is over."""

    patient: Patient
    risk: RiskRecord | None
    risk_course: tuple[tuple[datetime, float], ...]  # last 48 h
    risk_change: float | None  # against the record about one hour earlier
    result: StudyResult | None  # current result of the newest study
    vitals: dict[str, Observation]  # newest of each variable
    outside: RiskRecord | None = None  # of somebody who is not admitted


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who can log in."""

    username: str
    role: Role
    password_hash: str
    created_at: datetime
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Who did what to which patient's data, when, from where. Written with the act itself."""

    at: datetime
    actor: str  # user name, AE title or "system"
    action: str  # "receive", "read", "score", "login", "login-failed", "export", ...
    outcome: Literal["success", "failure"]
    patient_id: str | None = None
    study_uid: str | None = None
    address: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Merge:
    """An identifier that was merged into another patient (HL7 A40): it leads there from then on.

    `moved` keeps what is needed to tell who had what: `patient`, the demographics and the
    admission under the old identifier, `studies`, the Study Instance UIDs, and the numbers of
    `results`, `reviews`, `observations` and `risks`.
    """

    merged_id: str
    patient_id: str
    at: datetime
    actor: str
    reason: str
    moved: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Deletion:
    """A study that was deleted: who, when, why. `revision` is the last one that it had."""

    study_uid: str
    patient_id: str
    revision: int
    at: datetime
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class NewsEvent:
    """Something that a page may want to show at once; numbered without gaps in delivery order."""

    number: int
    kind: Literal["result", "risk", "patient", "study"]
    patient_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Commitment:
    """A node's question whether objects are kept for good (storage commitment, PS3.4 J).

    `references` are pairs of SOP Class UID and SOP Instance UID, as the node named them.
    """

    transaction_uid: str
    ae_title: str
    references: tuple[tuple[str, str], ...]
    state: Literal["waiting", "reported", "failed"]
    attempts: int
    updated_at: datetime
    message: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A result object on its way to a destination (a PACS)."""

    delivery_id: str
    result_id: str
    destination: str
    sop_instance_uid: str
    state: Literal["waiting", "delivered", "failed"]
    attempts: int
    updated_at: datetime
    message: str = ""
