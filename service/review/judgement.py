"""A review as it comes in, checked against the result that the reader saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, StringConstraints

from models.severity.zones import ZONES
from models.structures.anatomy import STRUCTURES
from service.errors import NotFoundError, UsageError
from service.jobs.artifacts import OVERLAY_LONGEST
from service.records import (
    AuditEvent,
    ContourReview,
    Review,
    ScoreReview,
    StudyResult,
    Verdict,
)
from service.review import mask
from service.store.index import Index
from service.store.objects import ObjectStore

EXTENT_END = 8.0
ZONE_END = 3.0
ENDS: dict[str, float] = {"extent": EXTENT_END} | dict.fromkeys(ZONES, ZONE_END)
"""The scores that can be reviewed, in the order of a label, and the highest value of each."""

LONGEST_COMMENT = 2000
MOST_RUNS = 200_000
ScoreName = Literal[
    "extent", "right_upper", "right_middle", "right_lower", "left_upper", "left_middle",
    "left_lower",
]  # fmt: skip
Side = Annotated[int, Field(ge=1, le=OVERLAY_LONGEST)]
StructureName = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,32}$")]


class _In(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VerdictIn(_In):
    """A verdict on one score; `value` is wanted where it is corrected."""

    verdict: Verdict
    value: float | None = Field(default=None, ge=0, le=EXTENT_END)


class ContourIn(_In):
    """A mask on the grid of the film: run lengths row by row, beginning with those outside."""

    height: Side
    width: Side
    runs: list[NonNegativeInt] = Field(max_length=MOST_RUNS)


class ReviewIn(_In):
    """What a reader says of one result. A later one of the same reader supersedes it whole."""

    result_id: str = Field(
        default="", max_length=64, description="the result that was seen; left out: that in force"
    )
    scores: dict[ScoreName, VerdictIn] = Field(
        default_factory=dict, description="0-8 for extent, 0-3 for each zone"
    )
    contours: dict[StructureName, ContourIn] = Field(
        default_factory=dict, max_length=len(STRUCTURES)
    )
    kept_contours: list[StructureName] = Field(
        default_factory=list,
        max_length=len(STRUCTURES),
        description="structures of the reader's earlier review of this result to be taken over",
    )
    comment: str = Field(
        default="", max_length=LONGEST_COMMENT, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$"
    )


def said(result: StudyResult) -> dict[str, float | None]:
    """What the model said of each score; None where it declined."""
    finding = result.severity if result.status == "ok" else None
    if finding is None:
        return dict.fromkeys(ENDS)
    return {"extent": finding.extent, **dict(zip(ZONES, finding.zones, strict=True))}


def reviewable(result: StudyResult | None) -> bool:
    """Tell whether there is a film to look at, with a score or a refusal to judge."""
    return result is not None and result.status != "failed" and "film" in result.artifacts


def versions(result: StudyResult) -> str:
    """The models whose answer is seen."""
    found = (result.severity, result.structures)
    return " ".join(one.model for one in found if one is not None)


def judged(result: StudyResult, given: Mapping[ScoreName, VerdictIn]) -> tuple[ScoreReview, ...]:
    """Verdicts with what the model said beside them, in the order of `ENDS`.

    Raises
    ------
    UsageError : a score is accepted or rejected that the model did not give, or a correction has
        no value or one beyond the scale.
    """
    before = said(result)
    named: dict[str, VerdictIn] = {str(name): one for name, one in given.items()}
    return tuple(_score(name, named[name], before[name]) for name in ENDS if name in named)


def _score(name: str, given: VerdictIn, model: float | None) -> ScoreReview:
    if given.verdict != "corrected":
        if model is None:
            raise UsageError(
                f"expected a score of the model for {name}, found none; give a value of your own"
            )
        value = model if given.verdict == "accepted" else None
        return ScoreReview(name, given.verdict, model, value)
    if given.value is None or given.value > ENDS[name]:
        raise UsageError(
            f"expected a value from 0 to {ENDS[name]:g} for {name} to correct it, found "
            f"{'none' if given.value is None else f'{given.value:g}'}"
        )
    return ScoreReview(name, "corrected", model, given.value)


def keep(
    index: Index,
    objects: ObjectStore,
    review: Review,
    given: ReviewIn,
    audit: AuditEvent,
) -> Review:
    """Check what was given, keep its masks, then the review and its audit row.

    Parameters
    ----------
    review : a `blank` one, for the result that was seen.

    Raises
    ------
    UsageError : see `judged`; a mask does not fit the film; or nothing was said at all.
    """
    result = index.result(review.result_id)
    scores = judged(result, given.scores)
    contours = (
        *_taken_over(index, review, given),
        *(_contour(objects, result, name, one) for name, one in sorted(given.contours.items())),
    )
    comment = given.comment.strip()
    if not (scores or contours or comment):
        raise UsageError("expected a verdict, a contour or a comment, found nothing to keep")
    whole = replace(review, scores=scores, contours=contours, comment=comment)
    return index.add_review(whole, audit)


def seen(index: Index, study_uid: str, result_id: str) -> StudyResult:
    """The result of a study that a reader saw; that in force where none is named.

    Raises
    ------
    NotFoundError : no such result of this study.
    UsageError : there is nothing to review.
    """
    result = index.result(result_id) if result_id else index.current_result(study_uid)
    if result is None or result.study_uid != study_uid:
        raise NotFoundError("expected a result of this study, found none")
    if not reviewable(result):
        raise UsageError("expected a study with a film to review, found none")
    return result


def blank(result: StudyResult, reader: str, at: datetime, review_id: str) -> Review:
    """A review that says nothing yet."""
    return Review(
        review_id=review_id,
        study_uid=result.study_uid,
        patient_id=result.patient_id,
        result_id=result.result_id,
        sop_instance_uid=result.sop_instance_uid,
        reader=reader,
        at=at,
        model=versions(result),
    )


def _contour(
    objects: ObjectStore, result: StudyResult, name: str, given: ContourIn
) -> ContourReview:
    model = mask.field(objects, result, name) >= mask.INSIDE
    drawn = mask.unpacked(given.runs, (given.height, given.width), model.shape)
    key = objects.put(mask.mask_png(drawn), ".png")
    return ContourReview(name, key, round(mask.dice(drawn, model), 4))


def _taken_over(index: Index, review: Review, given: ReviewIn) -> list[ContourReview]:
    """Contours of the reader's review in force of the same result, unless they are drawn anew."""
    wanted = set(given.kept_contours) - set(given.contours)
    return [
        one
        for earlier in index.reviews(study_uid=review.study_uid)
        if (earlier.reader, earlier.result_id) == (review.reader, review.result_id)
        for one in earlier.contours
        if one.name in wanted
    ]
