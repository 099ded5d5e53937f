"""Why a result replaced an earlier one of the same study, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from service.dashboard import figures
from service.dashboard.moments import Zone
from service.records import StudyResult

DASH = figures.DASH


@dataclass(frozen=True, slots=True)
class Amendment:
    """One replacement: when, why, by which model, what the study said before and what after."""

    made: str
    why: tuple[str, ...]
    by: str
    was: str
    became: str

    @property
    def changed(self) -> str:
        """What became of the answer, in words."""
        if self.was == self.became:
            return f"unchanged: {self.became}"
        return f"{self.was}, now {self.became}"


def amendments(results: Sequence[StudyResult], now: datetime, zone: Zone) -> tuple[Amendment, ...]:
    """All replacements of one study, newest first.

    Parameters
    ----------
    results : those of the study, oldest first; the last one is in force. Where that one has no
        score, earlier scores are withdrawn: their numbers are not told any more.
    """
    shown = bool(results) and results[-1].status == "ok"
    steps = pairwise(results)
    told = [amendment(one, other, now, zone, scores=shown) for one, other in steps]
    return tuple(reversed(told))


def amendment(
    before: StudyResult, after: StudyResult, now: datetime, zone: Zone, *, scores: bool
) -> Amendment:
    """What `after` changed, and what had changed to have it made; numbers only with `scores`."""
    return Amendment(
        made=zone.shown(after.created_at, now),
        why=tuple(_reasons(before, after, now, zone)) or ("the study was judged again",),
        by=_models(after),
        was=_said(before, scores=scores),
        became=_said(after, scores=scores),
    )


def _said(result: StudyResult, *, scores: bool) -> str:
    """The answer of one result: extent with its interval, or that there was no score."""
    if result.status == "ok" and result.severity:
        if not scores:
            return "a score, withdrawn"
        found = result.severity
        low, high = (figures.number(one) for one in (found.extent_low, found.extent_high))
        return f"extent {figures.number(found.extent)} of 8 ({low}{DASH}{high})"
    reason = result.reason.replace("_", " ")
    return f"no score ({reason})" if reason else "no score"


def _reasons(before: StudyResult, after: StudyResult, now: datetime, zone: Zone) -> Iterator[str]:
    other_film = before.sop_instance_uid != after.sop_instance_uid
    if before.status == "failed":
        yield "the models had failed before"
    elif other_film and before.status == "refused":
        yield "a further film of the study arrived, after one that could not be scored"
    elif other_film:
        yield "another film of the study is judged"
    if before.status == "ok" and after.status == "ok":
        yield from _prior(before, after, now, zone)
        yield from _versions(before, after)
    if not other_film and after.revision > before.revision and _same_answer(before, after):
        yield "a further image of the study arrived; the film that is scored stayed the same"


def _prior(before: StudyResult, after: StudyResult, now: datetime, zone: Zone) -> Iterator[str]:
    """A prior that came, went, or is another one now."""
    was, became = before.prior_sop_instance_uid, after.prior_sop_instance_uid
    if was == became:
        return
    taken = after.change.prior_acquired_at if after.change else None
    of = f" of {zone.shown(taken, now)}" if taken else ""
    if became is None:
        yield "the prior film that it was compared with is no longer there"
    elif was is None:
        yield f"a prior film{of} arrived later, to be compared with"
    else:
        yield f"another prior film{of} is compared with"


def _versions(before: StudyResult, after: StudyResult) -> Iterator[str]:
    pairs = (
        ("severity", before.severity, after.severity),
        ("structures", before.structures, after.structures),
        ("change", before.change, after.change),
    )
    for name, one, other in pairs:
        if one is not None and other is not None and one.model != other.model:
            yield f"the {name} model changed ({one.model} to {other.model})"


def _same_answer(before: StudyResult, after: StudyResult) -> bool:
    return (before.severity, before.prior_sop_instance_uid) == (
        after.severity,
        after.prior_sop_instance_uid,
    )


def _models(result: StudyResult) -> str:
    """Who made the result: the version of the severity model, else Carina's own checks."""
    return result.severity.model if result.severity else "the check of the film"
