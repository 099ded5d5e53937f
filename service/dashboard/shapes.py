"""Geometry of the small pictures that the server draws: intervals, courses, contributions.

All of them live in a box 100 units wide; every box of one kind on one page has the same scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

WIDTH = 100.0
STEPS = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Upper ends that a risk axis may have."""


def axis_end(highest: float) -> float:
    """The smallest of `STEPS` that holds `highest`: one axis for all rows of a page."""
    return next((step for step in STEPS if highest <= step), STEPS[-1])


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its interval on an axis: x of the band, its width, x of the value."""

    left: float
    width: float
    value: float


def interval(value: float, low: float, high: float, end: float) -> Interval:
    """Place a value and its interval on an axis from 0 to `end`."""
    left, right, middle = (_along(one, 0.0, end) for one in (low, high, value))
    return Interval(round(left, 2), round(max(right - left, 0.6), 2), round(middle, 2))


def _along(value: float, start: float, end: float) -> float:
    share = (value - start) / (end - start)
    return WIDTH * min(max(share, 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Frame:
    """What a course is drawn in: times from left to right, values from bottom to top."""

    since: datetime
    until: datetime
    low: float
    high: float
    height: float


def course(
    values: Sequence[tuple[datetime, float]], frame: Frame, gap: timedelta = timedelta(hours=3)
) -> str:
    """SVG path of a course; it breaks where nothing was computed for longer than `gap`."""
    parts: list[str] = []
    before: datetime | None = None
    span = (frame.until - frame.since).total_seconds()
    for at, value in values:
        if not frame.since <= at <= frame.until:
            continue
        x = WIDTH * (at - frame.since).total_seconds() / span
        y = frame.height - 1 - (frame.height - 2) * _along(value, frame.low, frame.high) / WIDTH
        joined = before is not None and at - before <= gap
        parts.append(f"{'L' if joined else 'M'}{x:.2f} {y:.2f}" + ("" if joined else "h0.6"))
        before = at
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class Bar:
    """One contribution on the log-odds axis: from the sum before it to the sum after it."""

    left: float
    width: float
    end: float
    raises: bool


@dataclass(frozen=True, slots=True)
class Lanes:
    """The bars of a sum, and where its start and its end lie."""

    baseline: float
    total: float
    bars: tuple[Bar, ...]


def lanes(baseline: float, contributions: Iterable[float]) -> Lanes:
    """Bars from `baseline` to the total, each beginning where the one before it ended."""
    sums = [baseline]
    for one in contributions:
        sums.append(sums[-1] + one)
    low, high = min(sums), max(sums)
    margin = 0.04 * (high - low) or 0.5
    start, end = low - margin, high + margin
    at = [_along(one, start, end) for one in sums]
    bars = tuple(
        Bar(round(min(a, b), 2), round(max(abs(b - a), 0.5), 2), round(b, 2), after >= before)
        for a, b, before, after in zip(at, at[1:], sums, sums[1:], strict=False)
    )
    return Lanes(round(at[0], 2), round(at[-1], 2), bars)
