"""Severity of a film as the pages show it, and what changed since the prior."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from service.dashboard import figures, wording
from service.dashboard.moments import Zone, age
from service.dashboard.shapes import Interval, interval
from service.dashboard.wording import Refused
from service.records import ChangeFinding, StudyResult

EXTENT_END = 8.0
RECENT = timedelta(hours=6)

Direction = Literal["worse", "better", "same"]


@dataclass(frozen=True, slots=True)
class Change:
    """Signed change of extent against the prior, in points of 8; positive is worse."""

    direction: Direction
    word: str
    figure: str
    interval: str
    probability: str
    since: str
    aligned: bool
    why_not_aligned: str


@dataclass(frozen=True, slots=True)
class Severity:
    """What may be said of one film. Without `extent` there is no score, and `refused` says why.

    Parameters
    ----------
    detail : what the models add in words: why there is no score, or what to know of it.
    """

    extent: str
    interval: str
    bar: Interval | None
    brixia: str
    model: str
    change: Change | None
    refused: Refused | None
    detail: str
    taken: str
    age: str
    amended: bool
    recent: bool


def present(result: StudyResult | None, now: datetime, zone: Zone) -> Severity | None:
    """What the pages say of a result; None where no film has been scored yet."""
    if result is None:
        return None
    finding = result.severity if result.status == "ok" else None
    return Severity(
        extent=figures.number(finding.extent) if finding else "",
        interval=figures.number(finding.extent_low)
        + figures.DASH
        + figures.number(finding.extent_high)
        if finding
        else "",
        bar=interval(finding.extent, finding.extent_low, finding.extent_high, EXTENT_END)
        if finding
        else None,
        brixia=figures.number(finding.brixia) if finding else "",
        model=finding.model if finding else "",
        change=change(result.change, now, zone) if finding and result.change else None,
        refused=_refused(result),
        detail=result.message,
        taken=zone.shown(result.acquired_at, now) if result.acquired_at else "time not in the film",
        age=age(result.acquired_at, now) if result.acquired_at else "",
        amended=result.supersedes is not None,
        recent=timedelta(0) <= now - result.created_at <= RECENT,
    )


def _refused(result: StudyResult) -> Refused | None:
    if result.status == "ok":
        return None if result.severity else wording.NO_FILM
    return wording.FAILED if result.status == "failed" else wording.refusal(result.reason)


def change(finding: ChangeFinding, now: datetime, zone: Zone) -> Change:
    """A change counts as worse or better only when its whole interval lies on one side of zero."""
    direction: Direction = "worse" if finding.low > 0 else "better" if finding.high < 0 else "same"
    words = {"worse": "worse", "better": "better", "same": "no clear change"}
    since = finding.prior_acquired_at
    return Change(
        direction=direction,
        word=words[direction],
        figure=figures.signed(finding.extent_change),
        interval=f"{figures.signed(finding.low)} to {figures.signed(finding.high)}",
        probability=figures.number(finding.probability_real, 2),
        since=zone.shown(since, now) if since else "the prior",
        aligned=finding.aligned,
        why_not_aligned=finding.alignment_reason,
    )
