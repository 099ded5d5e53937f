"""The films whose review would teach the model most come first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from service.records import Review, ReviewCase, StudyResult
from service.review.judgement import ENDS, EXTENT_END, ZONE_END, reviewable, said

BRIXIA_END = 18.0
MOST_CASES = 1000  # the newest; older films wait until these are done
PERHAPS_SCORABLE = frozenset({"unlike_training", "burned_over"})
"""Refusals that speak of the model's doubt, not of a wrong picture: a reader may well score it."""

WEIGHTS = {
    "interval": 1.0,  # width of the 90 % interval, of 8 points
    "zones": 2.0,  # extent and zones speak of different shares of the lungs; rarely beyond 0.3
    "sides": 0.5,  # the largest step between a zone and its mirror image, of 3 points
    "readers": 1.0,  # mean distance of the readers' last words from the result in force
    "refused": 1.0,
    "new": 1.0,  # nobody has reviewed it
    "amended": 0.5,  # the reader saw an earlier result
}
SAID_FROM = 0.15  # a share of the worth that is named as a reason
DONE = -2.0  # what this reader has reviewed comes last


@dataclass(frozen=True, slots=True)
class Worth:
    """What a review of one film would teach.

    Parameters
    ----------
    points : the sum of `parts`, and `DONE` where this reader has reviewed the result in force.
    parts : share by share, weighted; see `WEIGHTS`.
    """

    case: ReviewCase
    points: float
    parts: dict[str, float]
    done: bool

    @property
    def reasons(self) -> tuple[str, ...]:
        """The parts that count, the largest first."""
        named = [name for name, part in self.parts.items() if part >= SAID_FROM]
        return tuple(sorted(named, key=lambda name: -self.parts[name]))


def ranked(cases: Iterable[ReviewCase], reader: str) -> tuple[Worth, ...]:
    """Films that can be reviewed, the most worthwhile for this reader first."""
    worths = [worth(one, reader) for one in cases if reviewable(one.result)]
    return tuple(sorted(worths, key=lambda one: -one.points))


def worth(case: ReviewCase, reader: str) -> Worth:
    """What a review of a film by this reader would teach."""
    result, others = case.result, [one for one in case.reviews if one.reader != reader]
    own = [one for one in case.reviews if one.reader == reader]
    done = any(one.result_id == result.result_id for one in own)
    shares = {
        "interval": interval_width(result) / EXTENT_END,
        "zones": zones_apart(result),
        "sides": sides_apart(result) / ZONE_END,
        "readers": max((distance(result, one) for one in others), default=0.0),
        "refused": float(result.status == "refused" and result.reason in PERHAPS_SCORABLE),
        "new": float(not case.reviews),
        "amended": float(bool(own) and not done),
    }
    parts = {name: WEIGHTS[name] * share for name, share in shares.items()}
    return Worth(case, sum(parts.values()) + (DONE if done else 0.0), parts, done)


def interval_width(result: StudyResult) -> float:
    """Width of the 90 % interval of extent, in points of 8; 0 without a score."""
    finding = result.severity
    return finding.extent_high - finding.extent_low if finding else 0.0


def zones_apart(result: StudyResult) -> float:
    """Distance of extent and zones, each as a share of its scale: two heads of one network."""
    finding = result.severity
    return abs(finding.extent / EXTENT_END - finding.brixia / BRIXIA_END) if finding else 0.0


def sides_apart(result: StudyResult) -> float:
    """The largest difference between a zone and the same zone of the other lung, 0-3."""
    if result.severity is None:
        return 0.0
    zones = result.severity.zones
    return max(abs(right - left) for right, left in zip(zones[:3], zones[3:], strict=True))


def distance(result: StudyResult, review: Review) -> float:
    """Mean distance of a reader's scores from those of a result, as shares of their scales.

    A rejected score counts as a whole scale; a score that either side lacks does not count.
    """
    now = said(result)
    apart = []
    for one in review.scores:
        model = now[one.name]
        if one.verdict == "rejected":
            apart.append(1.0)
        elif one.value is not None and model is not None:
            apart.append(abs(one.value - model) / ENDS[one.name])
    return sum(apart) / len(apart) if apart else 0.0
