"""The worklist's rows: what a ward reads at one glance of each patient."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from service.dashboard import figures, risk, severity, shapes, wording
from service.dashboard.moments import Zone, age, years
from service.dashboard.risk import Reason, Risk
from service.dashboard.severity import Severity
from service.dashboard.shapes import Frame, Interval
from service.records import Observation, Patient, WorklistRow
from service.store.worklist import REAL_RISE

COURSE = timedelta(hours=48)
COURSE_HEIGHT = 40.0
OLD_VITAL = timedelta(hours=4)
MOST_VITALS = 6


@dataclass(frozen=True, slots=True)
class Person:
    """Who it is: name, identifier, age and sex."""

    patient_id: str
    name: str
    about: str
    place: str


@dataclass(frozen=True, slots=True)
class Vital:
    """The newest value of one vital sign."""

    name: str
    label: str
    value: str
    unit: str
    age: str
    old: bool


@dataclass(frozen=True, slots=True)
class Flag:
    """A word that asks for a look. `kind` chooses its form: risk, change, alert, hollow, plain."""

    word: str
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Row:
    """One patient."""

    person: Person
    risk: Risk
    interval: Interval | None
    course: str
    course_ends: str
    change: str | None
    rises: bool
    climbed: str
    reasons: tuple[Reason, ...]
    severity: Severity | None
    study_uid: str
    vitals: tuple[Vital, ...]
    vitals_age: str
    flags: tuple[Flag, ...]


@dataclass(frozen=True, slots=True)
class Worklist:
    """One page of rows; all intervals share one axis, all courses another, each from 0 %."""

    rows: tuple[Row, ...]
    interval_axis: str
    course_axis: str
    threshold: float


@dataclass(frozen=True, slots=True)
class Axes:
    """Upper ends of the two axes of a page, as probabilities."""

    interval: float
    course: float


def person(patient: Patient, now: datetime, zone: Zone) -> Person:
    """Name and what tells two patients of one name apart."""
    old = years(patient.birth_date, zone.local(now).date())
    sex = {"M": "male", "F": "female", "O": "other"}.get(patient.sex, "")
    about = " · ".join(part for part in (f"{old} years" if old is not None else "", sex) if part)
    bed = f"bed {patient.bed}" if patient.bed else ""
    place = " · ".join(part for part in (patient.ward, bed) if part)
    return Person(patient.patient_id, spoken_name(patient), about, place)


def spoken_name(patient: Patient) -> str:
    """`DOE^JANE^^Dr` (PS3.5 6.2.1.2) as `Doe, Jane`; the identifier where there is no name.

    Of the alphabetic, ideographic and phonetic group the first that says something is shown.
    """
    groups = (one for one in patient.name.split("=") if one.strip("^ "))
    parts = [part.strip() for part in next(groups, "").split("^")]
    name = ", ".join(part for part in parts[:2] if part)
    if not name:
        return patient.patient_id
    return name.title() if name.isupper() else name


def vital(observation: Observation, now: datetime) -> Vital:
    """One value with its age; it is old when the risk would no longer use it."""
    return Vital(
        name=observation.variable,
        label=wording.VITALS.get(observation.variable, wording.variable(observation.variable)),
        value=figures.value_of(observation.variable, observation.value),
        unit=figures.unit(observation.unit),
        age=age(observation.observed_at, now),
        old=now - observation.observed_at > OLD_VITAL,
    )


def rows(
    found: Sequence[WorklistRow],
    now: datetime,
    zone: Zone,
    expected_every: timedelta,
) -> Worklist:
    """Prepare one page of the worklist."""
    found = [_not_monitored(r) for r in found]
    risks = [
        risk.present(r.patient, r.risk, now, zone, expected_every)
        if r.patient.is_admitted
        else risk.outpatient(r.risk, now, zone)
        for r in found
    ]
    points = [p for r in found for _, p in r.risk_course]
    axes = Axes(
        shapes.axis_end(max((one.high for one in risks), default=0.0)),
        shapes.axis_end(max(points, default=0.0)),
    )
    prepared = tuple(
        _row(row, shown, axes, now, zone) for row, shown in zip(found, risks, strict=True)
    )
    height = COURSE_HEIGHT - 1 - (COURSE_HEIGHT - 2) * min(0.10 / axes.course, 1.0)
    return Worklist(
        prepared, f"{100 * axes.interval:.0f}", f"{100 * axes.course:.0f}", round(height, 2)
    )


def _not_monitored(row: WorklistRow) -> WorklistRow:
    """Who is not admitted has no course of ventilation risk any more, but an outpatient's risk."""
    if row.patient.is_admitted:
        return row
    return replace(row, risk=row.outside, risk_course=(), risk_change=None)


def _row(row: WorklistRow, shown: Risk, axes: Axes, now: datetime, zone: Zone) -> Row:
    moved = row.risk_change
    said = severity.present(row.result, now, zone)
    values = [row.vitals[name] for name in wording.VITALS if name in row.vitals]
    frame = Frame(now - COURSE, now, 0.0, axes.course, COURSE_HEIGHT)
    vitals = tuple(vital(one, now) for one in values[:MOST_VITALS])
    return Row(
        person=person(row.patient, now, zone),
        risk=shown,
        interval=shapes.interval(shown.probability, shown.low, shown.high, axes.interval)
        if shown.figure
        else None,
        course=shapes.course(row.risk_course, frame),
        course_ends=_spoken_course(row.risk_course),
        change=_spoken_change(moved),
        rises=moved is not None and moved > 0,
        climbed=_spoken_climb(row),
        reasons=risk.strongest(row.risk, now, zone) if shown.figure else (),
        severity=said,
        study_uid=row.result.study_uid if row.result else "",
        vitals=vitals,
        vitals_age=_shared_age(vitals),
        flags=_flags(row, shown, said, now),
    )


def _spoken_change(moved: float | None) -> str | None:
    """Percentage points against an hour ago: None without a value then, "" for no change."""
    if moved is None:
        return None
    return figures.points(moved) if abs(moved) >= risk.LEAST_CHANGE else ""


def _spoken_climb(row: WorklistRow) -> str:
    """The risk now against the first one that the course shows; "" where there is only one."""
    if row.risk is None or row.risk.probability is None or not row.risk_course:
        return ""
    since, first = row.risk_course[0]
    hours = round((row.risk.at - since) / timedelta(hours=1))
    if hours < 1:
        return ""
    moved = _spoken_change(row.risk.probability - first)
    return f"{moved} points in {hours} h" if moved else f"steady over {hours} h"


def _spoken_course(course: Sequence[tuple[datetime, float]]) -> str:
    """What a screen reader says in place of the sparkline."""
    if not course:
        return "no risk computed within 48 hours"
    lowest, highest = min(p for _, p in course), max(p for _, p in course)
    first, last = course[0][1], course[-1][1]
    first_said, last_said, low_said, high_said = (
        f"{100 * p:.1f} %" for p in (first, last, lowest, highest)
    )
    return (
        f"risk over 48 hours: from {first_said} to {last_said}, "
        f"lowest {low_said}, highest {high_said}"
    )


def _shared_age(vitals: Sequence[Vital]) -> str:
    """The age that most values have; only the others carry their own."""
    ages = Counter(one.age for one in vitals)
    return ages.most_common(1)[0][0] if ages else ""


def _flags(row: WorklistRow, shown: Risk, said: Severity | None, now: datetime) -> tuple[Flag, ...]:
    flags = []
    if not row.patient.is_admitted:
        left = row.patient.discharged_at is not None
        word = "Discharged" if left else "Outpatient"
        flags.append(Flag(word, "plain", risk.NOT_ADMITTED))
    if row.patient.ventilated_since is not None:
        flags.append(Flag("Ventilated", "plain", shown.why_not))
    worse_film = said is not None and said.change is not None and said.change.direction == "worse"
    rising = bool(shown.figure) and row.risk_change is not None and row.risk_change >= REAL_RISE
    if worse_film or rising:
        why = " and ".join(
            w for w, on in (("film worse than the prior", worse_film), ("risk rose", rising)) if on
        )
        flags.append(Flag("Worsening", "change", why))
    if shown.grey:
        old = row.risk is not None and bool(row.risk.stale)
        missing = all(note.endswith(" missing") for note in shown.notes) and not old
        word = "Input missing" if missing else "Stale"
        flags.append(Flag(word, "hollow", "; ".join(shown.notes)))
    if said is not None and said.refused is not None:
        failed = row.result is not None and row.result.status == "failed"
        flags.append(Flag("Film failed" if failed else "Film refused", "hollow", said.refused.what))
    if said is not None and said.amended:
        flags.append(Flag("Amended", "plain", "a later result replaced an earlier one"))
    elif said is not None and said.recent:
        flags.append(Flag("New film", "plain", "scored within the last 6 hours"))
    return tuple(flags)
