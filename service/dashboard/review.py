"""What the pages say of reviews: the form, notes beside a result, order of work, figures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from models.structures.anatomy import STRUCTURES
from service.dashboard import figures, severity, wording, worklist
from service.dashboard.moments import Zone
from service.errors import UsageError
from service.records import Review, ScoreReview, StudyResult
from service.review.agreement import EVERYBODY, ContourAgreement, Figure, ScoreAgreement
from service.review.judgement import ENDS, ReviewIn, VerdictIn, said
from service.review.order import Worth, interval_width, sides_apart

STEP = 0.5  # of the values that the form offers
VERDICTS = {"accepted": "Accept", "corrected": "Correct", "rejected": "Reject"}
LABELS = {"extent": "Extent of opacity", **wording.ZONES}
ON_PAGE = ("extent", "right_upper", "left_upper", "right_middle", "left_middle", "right_lower",
           "left_lower")  # fmt: skip
"""Zones as they lie on a film: the patient's right on the left."""


@dataclass(frozen=True, slots=True)
class Field:
    """One score of the form: what the model says and what this reader said before."""

    name: str
    label: str
    end: str
    said: str
    interval: str
    verdict: str
    value: str
    options: tuple[str, ...]


def fields(result: StudyResult, own: Review | None) -> tuple[Field, ...]:
    """The seven scores of a result; filled in with the reader's earlier verdicts, if any."""
    model, before = said(result), {one.name: one for one in own.scores} if own else {}
    return tuple(_field(name, model[name], before.get(name), result) for name in ON_PAGE)


def _field(
    name: str, model: float | None, before: ScoreReview | None, result: StudyResult
) -> Field:
    value = before.value if before and before.verdict == "corrected" else None
    offered = {step * STEP for step in range(round(ENDS[name] / STEP) + 1)}
    finding = result.severity if name == "extent" else None
    return Field(
        name=name,
        label=LABELS[name],
        end=f"{ENDS[name]:g}",
        said="" if model is None else figures.number(model),
        interval=f"{finding.extent_low:.1f}{figures.DASH}{finding.extent_high:.1f}"
        if finding and model is not None
        else "",
        verdict=before.verdict if before else "",
        value="" if value is None else f"{value:g}",
        options=tuple(f"{one:g}" for one in sorted(offered | ({value} if value else set()))),
    )


def posted(form: Mapping[str, str], contours: str, kept: list[str]) -> ReviewIn:
    """The form as a review; a value without a verdict is a correction, an empty field nothing.

    Raises
    ------
    UsageError : a field holds what the form does not offer.
    """
    everything = form.get("all") == "accepted"
    scores: dict[str, VerdictIn] = {}
    try:
        for name in ENDS:
            verdict, value = form.get(f"verdict_{name}", ""), form.get(f"value_{name}", "")
            if everything and not verdict and not value:
                verdict = "accepted"
            if verdict or value:
                scores[name] = VerdictIn.model_validate(
                    {"verdict": verdict or "corrected", "value": value or None}
                )
        return ReviewIn.model_validate(
            {
                "result_id": form.get("result_id", ""),
                "scores": scores,
                "contours": json.loads(contours) if contours else {},
                "kept_contours": kept,
                "comment": form.get("comment", "").replace("\r\n", "\n"),
            }
        )
    except ValueError as error:  # pydantic's is one; its words would repeat what was typed
        raise UsageError(
            "expected verdicts, values and contours as this form offers them, found others; "
            "go back and load the page again"
        ) from error


@dataclass(frozen=True, slots=True)
class Note:
    """A review in words, to stand beside the result that it speaks of."""

    reader: str
    at: str
    verdicts: tuple[str, ...]
    contours: tuple[str, ...]
    comment: str
    superseded: bool
    of_earlier: bool


def notes(
    reviews: Iterable[Review], result: StudyResult | None, now: datetime, zone: Zone
) -> tuple[Note, ...]:
    """Reviews of a study, newest first; `of_earlier` where the result has been amended since."""
    return tuple(
        Note(
            reader=one.reader,
            at=zone.shown(one.at, now),
            verdicts=_verdicts(one.scores),
            contours=tuple(
                f"{wording.structure(drawn.name)} (Dice {drawn.dice:.3f} with the model)"
                for drawn in one.contours
            ),
            comment=one.comment,
            superseded=one.superseded_by is not None,
            of_earlier=result is not None and one.result_id != result.result_id,
        )
        for one in reversed(tuple(reviews))
    )


def _verdicts(scores: tuple[ScoreReview, ...]) -> tuple[str, ...]:
    """Each correction and rejection by itself, accepted scores together."""
    told = []
    for one in scores:
        label, end = LABELS[one.name], f"{ENDS[one.name]:g}"
        if one.verdict == "corrected" and one.value is not None:
            now = f"{one.value:g} of {end}"
            was = "" if one.said is None else f" (model {figures.number(one.said)})"
            word = "scored" if one.said is None else "corrected to"
            told.append(f"{label} {word} {now}{was}")
        elif one.verdict == "rejected":
            told.append(f"{label} rejected")
    accepted = [LABELS[one.name] for one in scores if one.verdict == "accepted"]
    if len(accepted) == len(ENDS):
        return ("all scores accepted",)
    return (*told, f"accepted: {', '.join(accepted).lower()}") if accepted else tuple(told)


@dataclass(frozen=True, slots=True)
class Row:
    """One film of the order of work."""

    study_uid: str
    name: str
    patient_id: str
    taken: str
    said: str
    interval: str
    reasons: tuple[str, ...]
    reviewed: str
    done: bool


REASONS = {
    "zones": "zones and extent disagree",
    "readers": "a reader sees it differently",
    "refused": "refused, perhaps scorable",
    "new": "not yet reviewed",
    "amended": "new result since your review",
}


def rows(worths: Iterable[Worth], now: datetime, zone: Zone) -> tuple[Row, ...]:
    """The order of work in words."""
    return tuple(_row(one, now, zone) for one in worths)


def _row(one: Worth, now: datetime, zone: Zone) -> Row:
    result = one.case.result
    said = severity.present(result, now, zone)
    last = max(one.case.reviews, key=lambda review: review.at, default=None)
    return Row(
        study_uid=result.study_uid,
        name=worklist.person(one.case.patient, now, zone).name,
        patient_id=result.patient_id,
        taken=said.taken if said else "",
        said=said.extent if said else "",
        interval=said.interval if said else "",
        reasons=tuple(_reason(name, result) for name in one.reasons),
        reviewed=f"{last.reader}, {zone.shown(last.at, now)}" if last else "",
        done=one.done,
    )


def _reason(name: str, result: StudyResult) -> str:
    if name == "interval":
        return f"interval {interval_width(result):.1f} of 8 wide"
    if name == "sides":
        return f"a zone differs by {sides_apart(result):.1f} of 3 from the other side"
    return REASONS[name]


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """One line of the figures: whose, of what, how many, and the figures with their intervals."""

    reader: str
    what: str
    films: int
    verdicts: str
    mae: str
    bias: str
    kappa: str


def agreement_rows(scores: Iterable[ScoreAgreement]) -> tuple[AgreementRow, ...]:
    """Scores: reader against model."""
    return tuple(
        AgreementRow(
            reader=one.reader or "All readers",
            what="Extent, 0–8" if one.name == "extent" else "Zones, 0–3",
            films=one.films,
            verdicts=f"{one.accepted} / {one.corrected} / {one.rejected} of {one.scores}",
            mae=_figure(one.mae),
            bias=_figure(one.bias, signed=True),
            kappa=_figure(one.kappa),
        )
        for one in scores
    )


@dataclass(frozen=True, slots=True)
class ContourRow:
    """One structure that readers redrew."""

    reader: str
    structure: str
    films: int
    dice: str


def contour_rows(contours: Iterable[ContourAgreement]) -> tuple[ContourRow, ...]:
    """Contours: reader against model, in the order of the masks."""
    return tuple(
        ContourRow(
            one.reader or "All readers",
            wording.structure(one.structure),
            one.films,
            _figure(one.dice),
        )
        for one in sorted(
            contours,
            key=lambda one: (one.reader != EVERYBODY, one.reader, STRUCTURES.index(one.structure)),
        )
    )


def _figure(one: Figure | None, signed: bool = False) -> str:
    """`0.52 (0.40 to 0.66)`; no interval where there are too few patients."""
    if one is None:
        return ""
    written = figures.signed if signed else figures.number
    if one.low is None or one.high is None:
        return f"{written(one.value, 2)} (no interval)"
    return f"{written(one.value, 2)} ({written(one.low, 2)} to {written(one.high, 2)})"
