"""Reviews: what readers say of results, in which order to ask them, and how far they agree."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import ConfigDict, Field

from service import audit
from service.api.dependencies import V1, Caller, Reader, Scientist, require
from service.api.patients import Limit, Offset, Text
from service.api.schemas import NO_CONTROL, Out
from service.errors import NotFoundError, UsageError
from service.records import Review, Role, Verdict
from service.review import agreement as figures
from service.review import judgement, order
from service.review.judgement import ReviewIn

routes = APIRouter(prefix=V1, tags=["reviews"])

ReviewPath = Annotated[str, Path(min_length=1, max_length=64, pattern=NO_CONTROL)]
Structure = Annotated[str, Path(pattern=r"^[a-z_]{1,32}$")]
StudyUid = Annotated[str, Path(min_length=1, max_length=128, pattern=NO_CONTROL)]
Reviewer = Annotated[Caller, Depends(require(Role.RADIOLOGIST))]


class _Like(Out):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class ScoreReviewOut(_Like):
    """A verdict on one score; `said` is the model's value, `value` the reader's."""

    name: str
    verdict: Verdict
    said: float | None
    value: float | None


class ContourReviewOut(_Like):
    """A structure as the reader drew it; its mask is at `/reviews/{review_id}/masks/{name}`."""

    name: str
    dice: float = Field(description="overlap with the model's mask, 0-1")


class ReviewOut(_Like):
    """What one reader says of one result; `superseded_by` names a later review of theirs."""

    review_id: str
    study_uid: str
    patient_id: str
    result_id: str
    sop_instance_uid: str | None
    reader: str
    at: datetime
    model: str = Field(description="versions of the models whose answer the reader saw")
    scores: list[ScoreReviewOut]
    contours: list[ContourReviewOut]
    comment: str
    superseded_by: str | None


class ReviewsOut(Out):
    """Reviews in the order in which they came."""

    reviews: list[ReviewOut]


class CaseOut(Out):
    """A film and what a review of it would teach."""

    study_uid: str
    patient_id: str
    result_id: str
    status: Literal["ok", "refused"]
    points: float = Field(description="sum of parts; 2 less where the caller has reviewed it")
    parts: dict[str, float]
    done: bool
    reviews: int


class CasesOut(Out):
    """Films, the most worthwhile for the caller first."""

    cases: list[CaseOut]
    total: int


class FigureOut(_Like):
    """A figure with its 95 % interval; no interval with too few patients."""

    value: float
    low: float | None
    high: float | None


class ScoreAgreementOut(_Like):
    """Reader against model on "extent" (0-8) or "zones" (0-3); `reader` is "" for all of them."""

    reader: str
    name: str
    films: int
    scores: int
    pairs: int
    accepted: int
    corrected: int
    rejected: int
    mae: FigureOut | None
    bias: FigureOut | None
    kappa: FigureOut | None


class ContourAgreementOut(_Like):
    """Overlap of readers' and model's masks of one structure, of those that were redrawn."""

    reader: str
    structure: str
    films: int
    dice: FigureOut


class AgreementOut(_Like):
    """All figures; readers saw the model's answer before they judged it."""

    scores: list[ScoreAgreementOut]
    contours: list[ContourAgreementOut]


@routes.get("/reviews", response_model=ReviewsOut)
def reviews(
    caller: Reader,
    patient_id: Text = "",
    study_uid: Text = "",
    superseded: Annotated[bool, Query()] = False,
) -> ReviewsOut:
    """Reviews of one patient or of one study: those in force, or all of them."""
    index = caller.services.index
    if bool(patient_id) == bool(study_uid):
        raise UsageError("expected either patient_id or study_uid, found both or neither")
    whose = patient_id or index.study(study_uid).patient_id
    found = index.reviews(
        patient_id=patient_id or None, study_uid=study_uid or None, superseded=superseded
    )
    caller.saw(whose, f"reviews: {len(found)}", study_uid or None)
    return ReviewsOut(reviews=[ReviewOut.model_validate(one) for one in found])


@routes.get("/reviews/cases", response_model=CasesOut)
def cases(caller: Reviewer, limit: Limit = 50, offset: Offset = 0) -> CasesOut:
    """Films in the order in which a review would teach the model most."""
    index = caller.services.index
    worths = order.ranked(index.review_cases(order.MOST_CASES), caller.user.username)
    shown = worths[offset : offset + limit]
    caller.saw_list("reviews", len(shown), (one.case.result.patient_id for one in shown))
    return CasesOut(cases=[_case(one) for one in shown], total=len(worths))


def _case(one: order.Worth) -> CaseOut:
    result = one.case.result
    return CaseOut(
        study_uid=result.study_uid,
        patient_id=result.patient_id,
        result_id=result.result_id,
        status="ok" if result.status == "ok" else "refused",
        points=round(one.points, 4),
        parts={name: round(part, 4) for name, part in one.parts.items()},
        done=one.done,
        reviews=len(one.case.reviews),
    )


@routes.get("/reviews/agreement", response_model=AgreementOut)
def agreement(caller: Scientist) -> AgreementOut:
    """Readers against the model: over all readers, then for each."""
    found = figures.agreement(caller.services.index.reviews())
    return AgreementOut.model_validate(found)


@routes.get("/reviews/{review_id}", response_model=ReviewOut)
def review(review_id: ReviewPath, caller: Reader) -> ReviewOut:
    """One review, in force or superseded."""
    found = caller.services.index.review(review_id)
    caller.saw(found.patient_id, "review", found.study_uid)
    return ReviewOut.model_validate(found)


@routes.get(
    "/reviews/{review_id}/masks/{name}",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}, "description": "0 outside, 255 inside"}},
)
def mask(review_id: ReviewPath, name: Structure, caller: Reader) -> Response:
    """A structure as the reader drew it, over the whole film."""
    services = caller.services
    found: Review = services.index.review(review_id)
    key = next((one.mask for one in found.contours if one.name == name), None)
    if key is None:
        raise NotFoundError("expected a structure that was redrawn in this review, found no such")
    caller.saw(found.patient_id, f"review mask {name}", found.study_uid)
    return Response(services.objects.get(key), media_type="image/png")


@routes.post("/studies/{study_uid}/reviews", response_model=ReviewOut, status_code=201)
def add_review(study_uid: StudyUid, given: ReviewIn, caller: Reviewer) -> ReviewOut:
    """Keep a review; it supersedes the caller's earlier one of this study."""
    services = caller.services
    result = judgement.seen(services.index, study_uid, given.result_id)
    now = services.clock()
    fresh = judgement.blank(result, caller.user.username, now, str(uuid.uuid4()))
    event = audit.write(
        caller.user, now, caller.address, patient_id=result.patient_id, what="review"
    )
    kept = judgement.keep(services.index, services.objects, fresh, given, event)
    return ReviewOut.model_validate(kept)
