"""The patient page: the risk now or at an earlier hour, why, and everything on one time axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.dashboard import figures, risk, severity, shapes, wording
from service.dashboard.moments import Zone
from service.dashboard.risk import Reason, Risk
from service.dashboard.severity import Severity
from service.dashboard.shapes import Bar, Interval
from service.errors import NotFoundError
from service.records import Patient, Study, StudyResult
from service.risk_record import Companion, RiskRecord

TOLERANCE = 1e-6
MOST_BARS = 12  # the rest is one bar of their sum, and listed below


@dataclass(frozen=True, slots=True)
class Lane:
    """One contribution with its bar."""

    reason: Reason
    bar: Bar


@dataclass(frozen=True, slots=True)
class Account:
    """Why a risk is what it is: baseline, one bar for each variable, total.

    They add up, or nothing is shown. `terms` are the single terms behind the bars.
    """

    baseline: str
    baseline_at: float
    total: str
    total_at: float
    lanes: tuple[Lane, ...]
    rest: str
    rest_bar: Bar
    quiet: int
    terms: tuple[Reason, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Beside:
    """A published score beside the model."""

    name: str
    value: str
    band: str
    citation: str
    missing: str


@dataclass(frozen=True, slots=True)
class Hours:
    """The hour whose contributions are shown, and its neighbours."""

    shown: RiskRecord | None
    earlier: str
    later: str
    newest: bool


@dataclass(frozen=True, slots=True)
class FilmRow:
    """One study in the list of films."""

    study_uid: str
    description: str
    severity: Severity | None
    received: str


def hours(risks: Sequence[RiskRecord], wanted: str) -> Hours:
    """Find the record `wanted` (a risk identifier, "" for the newest) and its neighbours.

    Raises
    ------
    NotFoundError : no such record of this patient.
    """
    ordered = sorted(risks, key=lambda one: (one.at, one.computed_at))
    if not ordered:
        return Hours(None, "", "", True)
    ids = [one.risk_id for one in ordered]
    if wanted and wanted not in ids:
        raise NotFoundError("expected a risk of this patient at that hour, found none")
    at = ids.index(wanted) if wanted else len(ids) - 1
    earlier = ids[at - 1] if at > 0 else ""
    later = ids[at + 1] if at + 1 < len(ids) else ""
    return Hours(ordered[at], earlier, later, at == len(ids) - 1)


def outside(risks: Sequence[RiskRecord]) -> Hours:
    """The present moment of somebody who is not admitted; before it lies the stay that is over."""
    ordered = sorted(risks, key=lambda one: (one.at, one.computed_at))
    return Hours(None, ordered[-1].risk_id if ordered else "", "", True)


def account(record: RiskRecord | None, now: datetime, zone: Zone) -> Account | None:
    """Lay out the contributions; None where there is no number to explain."""
    if record is None or record.status != "ok" or record.baseline_log_odds is None:
        return None
    groups = risk.together(record.inputs)
    moving = risk.by_strength(groups)[:MOST_BARS]
    quiet = [one for one in groups if one not in moving]
    total = record.baseline_log_odds + sum(one.log_odds for one in record.inputs)
    if not _adds_up(record, total):
        return None
    rest = sum(one.log_odds for one in quiet)
    laid = shapes.lanes(record.baseline_log_odds, [*(one.log_odds for one in moving), rest])
    return Account(
        baseline=figures.number(record.baseline_log_odds, 2),
        baseline_at=laid.baseline,
        total=figures.number(total, 2),
        total_at=laid.total,
        lanes=tuple(
            Lane(risk.reason(one, now, zone), bar)
            for one, bar in zip(moving, laid.bars[:-1], strict=True)
        ),
        rest=figures.signed(rest, 2),
        rest_bar=laid.bars[-1],
        quiet=len(quiet),
        terms=tuple(
            risk.reason(one, now, zone)
            for one in sorted(record.inputs, key=lambda one: -abs(one.log_odds))
        ),
        missing=risk.missing_words(record),
    )


def _adds_up(record: RiskRecord, total: float) -> bool:
    """Whether baseline and contributions really give the probability that is shown."""
    if record.probability is None:
        return False
    return abs(1 / (1 + math.exp(-total)) - record.probability) < TOLERANCE


def beside(companion: Companion) -> Beside:
    """Write one companion; without its inputs it has no value and says what is missing."""
    value = companion.value
    return Beside(
        name=wording.spelled(companion.name),
        value="" if value is None else figures.number(value, _digits(companion)),
        band=wording.spelled(companion.band.replace("_", " ")),
        citation=companion.citation,
        missing=", ".join(wording.variable(name) for name in companion.missing),
    )


def _digits(companion: Companion) -> int:
    """The ROX index is read to two decimals, all others count points or millimetres."""
    return 2 if companion.name == "ROX" else 0


def interval_of(shown: Risk) -> Interval | None:
    """The interval of the big number on an axis of its own."""
    if shown.figure is None:
        return None
    end = shapes.axis_end(shown.high)
    return shapes.interval(shown.probability, shown.low, shown.high, end)


def films(
    studies: Sequence[Study], results: Sequence[StudyResult], now: datetime, zone: Zone
) -> tuple[FilmRow, ...]:
    """All studies of a patient, newest first, scored or not."""
    by_study = {one.study_uid: one for one in results}
    return tuple(
        FilmRow(
            one.study_uid,
            one.description or "Chest film",
            severity.present(by_study.get(one.study_uid), now, zone),
            zone.shown(one.received_at, now),
        )
        for one in studies
    )


SPANS = {"1": timedelta(days=1), "3": timedelta(days=3), "14": timedelta(days=14)}


def since(span: str, now: datetime, patient: Patient, earliest: datetime | None) -> datetime:
    """Where the time axis begins: `span` days ago, or with the first value for "all"."""
    if span in SPANS:
        return now - SPANS[span]
    begins = [moment for moment in (patient.admitted_at, earliest) if moment is not None]
    return min([*begins, now - timedelta(days=1)])
