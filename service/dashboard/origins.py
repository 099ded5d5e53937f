"""What each input of a risk was, when it was measured, and where it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.dashboard import figures, risk, wording
from service.dashboard.moments import Zone, age
from service.records import Observation, StudyResult
from service.risk_record import SEVERITY_TERM, RiskInput, RiskRecord, base_variable

LATE = timedelta(minutes=15)  # a value that took longer to arrive says so
RECORDS = {
    "age_years": "patient record",
    "sex": "patient record",
    "hours_in_unit": "admission record",
    "ventilated": "admission record",
}
DERIVED = {"sf_ratio": ("spo2", "fio2"), "rox": ("spo2", "fio2", "respiratory_rate")}
OF_A_FILM = frozenset({SEVERITY_TERM, "pneumonia"})

Find = Callable[[str, datetime], Observation | None]
"""The value of a variable at a moment, as it was kept."""


@dataclass(frozen=True, slots=True)
class Origin:
    """One input: its value, when and how long before the risk it was measured, and its source.

    `study_uid` is that of the film that an input comes from, "" for all others.
    """

    label: str
    value: str
    unit: str
    measured: str
    age: str
    source: str
    study_uid: str
    stale: bool


def origins(
    record: RiskRecord | None, results: Sequence[StudyResult], find: Find, zone: Zone
) -> tuple[Origin, ...]:
    """One line for each variable that has a value, the newest measurement first.

    Parameters
    ----------
    results : those in force of the patient's films.
    """
    if record is None:
        return ()
    groups = [one for one in risk.together(record.inputs) if one.value is not None]
    measured = [one for one in groups if base_variable(one.variable) not in RECORDS]
    ordered = sorted(measured, key=lambda one: _moment(one, record), reverse=True)
    recorded = [one for one in groups if base_variable(one.variable) in RECORDS]
    return tuple(_origin(one, record, results, find, zone) for one in (*ordered, *recorded))


def _moment(one: RiskInput, record: RiskRecord) -> datetime:
    return one.observed_at or record.at


def _origin(
    one: RiskInput, record: RiskRecord, results: Sequence[StudyResult], find: Find, zone: Zone
) -> Origin:
    name = base_variable(one.variable)
    at = None if name in RECORDS else one.observed_at
    film = _film(one, results) if name in OF_A_FILM else None
    return Origin(
        label=wording.spelled(one.label) if name == one.variable else wording.variable(name),
        value=figures.value_of(one.variable, one.value),
        unit=figures.unit_of(one.variable, one.unit),
        measured=zone.shown(at, record.at) if at else "",
        age=age(at, record.at) if at else "",
        source=_source(name, at, film, find, zone),
        study_uid=film.study_uid if film else "",
        stale=one.stale,
    )


def _source(
    name: str, at: datetime | None, film: StudyResult | None, find: Find, zone: Zone
) -> str:
    if name in RECORDS:
        return RECORDS[name]
    if name in DERIVED:
        parts = ", ".join(wording.variable(part) for part in DERIVED[name])
        return f"from {parts}"
    if name in OF_A_FILM:
        return f"film, model {film.severity.model}" if film and film.severity else "film"
    found = find(name, at) if at else None
    if found is None:
        return "source no longer kept"
    late = found.received_at - found.observed_at > LATE
    arrived = f", arrived {zone.whole(found.received_at)}" if late else ""
    return f"{found.source or 'sender not named'}{arrived}"


def _film(one: RiskInput, results: Iterable[StudyResult]) -> StudyResult | None:
    """The film behind a severity: taken at that moment, else with that very extent."""
    scored = [result for result in results if result.status == "ok" and result.severity]
    taken = [result for result in scored if result.acquired_at == one.observed_at]
    alike = [r for r in scored if r.severity and r.severity.extent == one.value]
    return next(iter([*reversed(taken), *reversed(alike)]), None)
