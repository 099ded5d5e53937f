"""One time axis for risk, severity, vital signs and events, as charts and as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from service.dashboard import figures, shapes, wording
from service.dashboard.moments import Zone
from service.records import Observation, Patient, StudyResult
from service.risk_record import RiskRecord

STILL_HEIGHT = 72.0
VITAL_GAP = timedelta(hours=4)
RISK_GAP = timedelta(hours=3)
FILM_GAP = timedelta(days=60)
MOST_TABLE_ROWS = 200
MOST_POINTS = 800  # about the pixels of a chart: a monitor sends one value a minute

AXES: Mapping[str, tuple[float | None, float | None]] = {
    "spo2": (70.0, 100.0),
    "fio2": (0.2, 1.0),
    "respiratory_rate": (0.0, None),
    "oxygen_flow": (0.0, None),
}
"""Ends that an axis always has; None is taken from the values."""


@dataclass(frozen=True, slots=True)
class Point:
    """A value at a moment; low and high where it has an interval."""

    at: datetime
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table behind a chart."""

    at: str
    value: str
    interval: str
    source: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One quantity over time."""

    key: str
    label: str
    unit: str
    accent: str
    axis: tuple[float | None, float | None]
    digits: int
    gap: timedelta
    points: tuple[Point, ...]
    lines: tuple[Line, ...]
    still: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, as a mark on the axis."""

    at: datetime
    label: str
    kind: str


@dataclass(frozen=True, slots=True)
class Course:
    """Everything on the axis from `since` to `until`."""

    since: datetime
    until: datetime
    panels: tuple[Panel, ...]
    events: tuple[Event, ...]

    def data(self, zone: Zone, steps: Sequence[tuple[datetime, str]]) -> dict[str, Any]:
        """What the charts are drawn from. `steps` are the hours whose contributions can be seen."""
        return {
            "zone": zone.name,
            "from": self.since.timestamp(),
            "until": self.until.timestamp(),
            "panels": [_panel_data(panel) for panel in self.panels],
            "events": [
                {"at": e.at.timestamp(), "label": e.label, "kind": e.kind} for e in self.events
            ],
            "steps": [{"at": at.timestamp(), "url": url} for at, url in steps],
        }


def _panel_data(panel: Panel) -> dict[str, Any]:
    return {
        "key": panel.key,
        "label": panel.label,
        "unit": panel.unit,
        "accent": panel.accent,
        "low": panel.axis[0],
        "high": panel.axis[1],
        "digits": panel.digits,
        "gap_s": panel.gap.total_seconds(),
        "points": [
            {"at": p.at.timestamp(), "value": p.value, "low": p.low, "high": p.high}
            for p in panel.points
        ],
    }


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch of time that the charts show, on the hospital's clock."""

    since: datetime
    until: datetime
    zone: Zone


def course(
    patient: Patient,
    risks: Sequence[RiskRecord],
    results: Sequence[StudyResult],
    observations: Sequence[Observation],
    window: Window,
) -> Course:
    """Gather the panels that have something to show, risk and severity first."""
    panels = [_risk_panel(risks, window), _severity_panel(results, window)]
    for variable in wording.CHARTED:
        values = [one for one in observations if one.variable == variable]
        if values:
            panels.append(_vital_panel(variable, values, window))
    return Course(
        window.since,
        window.until,
        tuple(panel for panel in panels if panel.points),
        tuple(sorted(_events(patient, results), key=lambda e: e.at)),
    )


def _events(patient: Patient, results: Iterable[StudyResult]) -> Iterable[Event]:
    for result in results:
        if result.acquired_at:
            refused = "" if result.status == "ok" else ", not scored"
            yield Event(result.acquired_at, f"Film{refused}", "film")
    if patient.admitted_at:
        yield Event(patient.admitted_at, "Admitted", "ward")
    if patient.ventilated_since:
        yield Event(patient.ventilated_since, "Ventilated", "ventilation")


def _risk_panel(risks: Sequence[RiskRecord], window: Window) -> Panel:
    points, lines = [], []
    for record in risks:
        said = figures.percent(record.probability, record.low, record.high)
        if said is None or record.probability is None or record.low is None or record.high is None:
            continue
        points.append(
            Point(record.at, 100 * record.probability, 100 * record.low, 100 * record.high)
        )
        old = f"stale: {', '.join(map(wording.variable, record.stale))}" if record.stale else ""
        lines.append(Line(window.zone.whole(record.at), said.figure, said.interval, old))
    end = 100 * shapes.axis_end(max((p.high or 0 for p in points), default=0) / 100)
    return _panel(
        ("risk", "Ventilation risk within 12 h", "%", "risk"),
        (0.0, end), 1, RISK_GAP, points, lines, window,
    )  # fmt: skip


def _severity_panel(results: Sequence[StudyResult], window: Window) -> Panel:
    points, lines = [], []
    for result in results:
        found = result.severity
        if result.status != "ok" or found is None or result.acquired_at is None:
            continue
        points.append(Point(result.acquired_at, found.extent, found.extent_low, found.extent_high))
        interval = f"{found.extent_low:.1f}{figures.DASH}{found.extent_high:.1f}"
        lines.append(
            Line(
                window.zone.whole(result.acquired_at), f"{found.extent:.1f}", interval, found.model
            )
        )
    return _panel(
        ("severity", "Extent of opacity on film", "/8", "plain"),
        (0.0, 8.0), 1, FILM_GAP, points, lines, window,
    )  # fmt: skip


def _vital_panel(variable: str, values: Sequence[Observation], window: Window) -> Panel:
    ordered = sorted(values, key=lambda one: one.observed_at)
    unit = figures.unit(ordered[-1].unit)
    points = [Point(one.observed_at, one.value) for one in ordered]
    lines = [
        Line(
            window.zone.whole(one.observed_at),
            figures.value_of(variable, one.value),
            "",
            one.source,
        )
        for one in ordered
    ]
    axis = AXES.get(variable, (None, None))
    low = None if axis[0] is None else min(axis[0], *(p.value for p in points), axis[0])
    return _panel(
        (variable, wording.variable(variable), unit, "plain"),
        (low, axis[1]), figures.DIGITS.get(variable, 0), VITAL_GAP, points, lines, window,
    )  # fmt: skip


def _panel(  # noqa: PLR0917  # the parts of one panel
    names: tuple[str, str, str, str],
    axis: tuple[float | None, float | None],
    digits: int,
    gap: timedelta,
    points: Sequence[Point],
    lines: Sequence[Line],
    window: Window,
) -> Panel:
    """Put a panel together: its points within the window, its table, its still picture."""
    inside = thinned([p for p in points if window.since <= p.at <= window.until])
    low, high = _ends(inside, axis)
    frame = shapes.Frame(window.since, window.until, low, high, STILL_HEIGHT)
    still = shapes.course([(p.at, p.value) for p in inside], frame, gap)
    newest_first = tuple(reversed(lines))[:MOST_TABLE_ROWS]
    return Panel(*names, axis, digits, gap, inside, newest_first, still)


def thinned(points: Sequence[Point]) -> tuple[Point, ...]:
    """At most `MOST_POINTS` points in order of time: the extremes of each stretch stay."""
    ordered = sorted(points, key=lambda p: p.at)
    if len(ordered) <= MOST_POINTS:
        return tuple(ordered)
    stretch = -(-2 * len(ordered) // MOST_POINTS)
    kept: list[Point] = []
    for start in range(0, len(ordered), stretch):
        part = ordered[start : start + stretch]
        ends = {id(p): p for p in (min(part, key=_value), max(part, key=_value))}
        kept += sorted(ends.values(), key=lambda p: p.at)
    return tuple(kept)


def _value(point: Point) -> float:
    return point.value


def _ends(points: Sequence[Point], axis: tuple[float | None, float | None]) -> tuple[float, float]:
    values = [p.value for p in points] or [0.0]
    low = axis[0] if axis[0] is not None else min(values) - 1
    high = axis[1] if axis[1] is not None else max(values) + 1
    return low, max(high, low + 1e-6)
