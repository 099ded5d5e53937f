"""A ventilation risk as the pages show it: with its interval, or greyed, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from service.dashboard import figures, wording
from service.dashboard.figures import Percent
from service.dashboard.moments import Zone, age
from service.outpatient import NOTHING_LATELY, OUTCOME, aged
from service.records import Patient
from service.risk_record import CORE_INPUTS, RiskInput, RiskRecord, base_variable, risk_band

LEAST_CHANGE = 0.0005  # half of the last digit shown
SHOWN_REASONS = 3
LEAST_LOG_ODDS = 0.005
OUTPATIENT_INPUTS = 30  # variables of that model
NOT_ADMITTED = "Not admitted: the risk of ventilation is computed for admitted patients only"
NO_INTERVAL = "The result came without an interval and is not shown"
NOT_YET = "Not admitted: the risk of an outpatient has not been computed yet"
VENTILATION, OUTPATIENT = "Ventilation within 12 h", OUTCOME.capitalize()


@dataclass(frozen=True, slots=True)
class Reason:
    """One contribution in words: raised or lowered the risk, by what value, how old."""

    label: str
    value: str
    unit: str
    raises: bool
    log_odds: str
    age: str
    observed: str
    stale: bool
    apart: bool
    source: str
    measured: bool


@dataclass(frozen=True, slots=True)
class Film:
    """The same risk without its film: per cent, and whether the film's weight was fitted apart."""

    without: str
    apart: bool
    source: str


@dataclass(frozen=True, slots=True)
class Risk:
    """What may be said of one patient's ventilation risk.

    Parameters
    ----------
    figure : None where no number may be shown; `why_not` says why.
    film : the risk without the film's severity, None where no film went in.
    outcome : what the probability is of.
    basis : what a reader must know of the number beside its interval, "" for nothing.
    grey : the number rests on old or missing inputs, or is itself old; `notes` say which.
    """

    figure: Percent | None
    probability: float
    low: float
    high: float
    band: str
    band_word: str
    grey: bool
    notes: tuple[str, ...]
    why_not: str
    at: str
    age: str
    model: str
    film: Film | None = None
    outcome: str = VENTILATION
    basis: str = ""


def outpatient(record: RiskRecord | None, now: datetime, zone: Zone) -> Risk:
    """What is shown of somebody who is not admitted: another outcome, no band, nothing monitored.

    The model answers without vital signs too: values that are not known widen the interval. The
    number is grey while it waits to be computed without an input that no longer counts.
    """
    record = aged(record, now) if record is not None else None
    figure = None
    if record is not None and record.status == "ok":
        figure = figures.percent(record.probability, record.low, record.high)
    if record is None or figure is None:
        why = _why_none(record)
        return Risk(
            None, 0.0, 0.0, 0.0, "unknown", "", False, (), why, "", "", "", outcome=OUTPATIENT
        )
    unknown = len(record.missing)
    notes = _outdated(record, now)
    return Risk(
        figure=figure,
        probability=record.probability or 0.0,
        low=record.low or 0.0,
        high=record.high or 0.0,
        band="unknown",
        band_word="",
        grey=bool(notes),
        notes=notes,
        why_not="",
        at=zone.shown(record.at, now),
        age=age(record.at, now),
        model=record.model,
        outcome=OUTPATIENT,
        basis=f"{unknown} of {OUTPATIENT_INPUTS} inputs not known: typical values",
    )


def _why_none(record: RiskRecord | None) -> str:
    if record is None:
        return NOT_YET
    if record.reason == NOTHING_LATELY:
        return f"Not admitted, and {NOTHING_LATELY}"
    return record.reason or NO_INTERVAL


def present(
    patient: Patient,
    record: RiskRecord | None,
    now: datetime,
    zone: Zone,
    expected_every: timedelta,
) -> Risk:
    """Decide what is shown of a record.

    Parameters
    ----------
    expected_every : the risk is computed this often; a record of more than twice that is old.
    """
    figure = _figure(patient, record)
    if record is None or figure is None:
        return Risk(
            None, 0.0, 0.0, 0.0, "unknown", wording.BANDS["unknown"], False, (),
            _why_not(patient, record, now, zone),
            zone.shown(record.at, now) if record else "",
            age(record.at, now) if record else "",
            record.model if record else "",
        )  # fmt: skip
    notes = _notes(record, now, expected_every)
    band = risk_band(record.probability)
    return Risk(
        figure=figure,
        probability=record.probability or 0.0,
        low=record.low or 0.0,
        high=record.high or 0.0,
        band=band,
        band_word=wording.BANDS[band],
        grey=bool(notes),
        notes=notes,
        why_not="",
        at=zone.shown(record.at, now),
        age=age(record.at, now),
        model=record.model,
        film=_film(record),
    )


def _film(record: RiskRecord) -> Film | None:
    term, without = record.film, figures.per_cent(record.probability_without_film)
    return None if term is None else Film(without, is_apart(term.source), term.source)


def _figure(patient: Patient, record: RiskRecord | None) -> Percent | None:
    if record is None or record.status != "ok" or patient.ventilated_since is not None:
        return None
    return figures.percent(record.probability, record.low, record.high)


def _why_not(patient: Patient, record: RiskRecord | None, now: datetime, zone: Zone) -> str:
    if patient.ventilated_since is not None:
        since = zone.shown(patient.ventilated_since, now)
        return f"Ventilated since {since}: nothing to predict"
    if record is None and not patient.is_admitted:
        return NOT_ADMITTED
    if record is None:
        return "Not computed yet: no vital signs have arrived"
    if record.status != "ok":
        return record.reason.replace("_", " ") or "The model declined to answer"
    return NO_INTERVAL


def _outdated(record: RiskRecord, now: datetime) -> tuple[str, ...]:
    """Which inputs are too old, in words."""
    ages = {base_variable(one.variable): one.observed_at for one in record.inputs}
    notes = []
    for name in dict.fromkeys(base_variable(one) for one in record.stale):
        measured = ages.get(name)
        passed = f"{age(measured, now)} old" if measured else "too old"
        notes.append(f"{wording.variable(name)} {passed}")
    return tuple(notes)


def _notes(record: RiskRecord, now: datetime, every: timedelta) -> tuple[str, ...]:
    notes = list(_outdated(record, now))
    old = {base_variable(name) for name in record.stale}
    missing = [name for name in CORE_INPUTS if name in record.missing and name not in old]
    notes += [f"{wording.variable(name)} missing" for name in missing]
    if now - record.at > 2 * every:
        notes.append(f"computed {age(record.at, now)} ago")
    return tuple(notes)


def missing_words(record: RiskRecord) -> tuple[str, ...]:
    """Inputs that the model filled with typical values.

    Of a variable that was measured now, its statistics over six hours alone may be missing.
    """
    old = {base_variable(name) for name in record.stale}
    now = {base_variable(one.variable) for one in record.inputs if one.value is not None}
    missing = [name for name in record.missing if base_variable(name) not in old]
    bases = dict.fromkeys(base_variable(name) for name in missing)
    return tuple(
        f"{wording.variable(name)} over the hours before" if name in now else wording.variable(name)
        for name in bases
    )


def is_apart(source: str) -> bool:
    """Whether a term was fitted on other data than the rest of its model."""
    return "apart" in source.lower() or "not fitted" in source.lower()


def reason(one: RiskInput, now: datetime, zone: Zone) -> Reason:
    """Put one contribution into words."""
    measured = one.value is not None
    return Reason(
        label=wording.spelled(one.label or wording.variable(one.variable)),
        value=figures.value_of(one.variable, one.value),
        unit=figures.unit_of(one.variable, one.unit) if measured else "",
        raises=one.log_odds >= 0,
        log_odds=figures.signed(one.log_odds, 2),
        age=age(one.observed_at, now) if one.observed_at else "",
        observed=zone.shown(one.observed_at, now) if one.observed_at else "",
        stale=one.stale,
        apart=is_apart(one.source),
        source=one.source[:1].upper() + one.source[1:],
        measured=measured,
    )


def strongest(record: RiskRecord | None, now: datetime, zone: Zone) -> tuple[Reason, ...]:
    """What moved the risk most, strongest first; all terms of one vital sign count together."""
    if record is None:
        return ()
    ordered = by_strength(together(record.inputs))[:SHOWN_REASONS]
    return tuple(reason(one, now, zone) for one in ordered)


def together(inputs: Sequence[RiskInput]) -> list[RiskInput]:
    """One input for each measured variable: the terms of its statistics add up.

    The newest value stands for the group; where the model has none, the strongest term does. The
    sum of all log-odds stays what it was.
    """
    groups: dict[str, list[RiskInput]] = {}
    for one in inputs:
        groups.setdefault(base_variable(one.variable), []).append(one)
    return [_merged(name, terms) for name, terms in groups.items()]


def _merged(name: str, terms: Sequence[RiskInput]) -> RiskInput:
    newest = [one for one in terms if one.variable == name and one.value is not None]
    face = newest[0] if newest else max(terms, key=lambda one: abs(one.log_odds))
    apart = [one.source for one in terms if is_apart(one.source)]
    return replace(
        face,
        log_odds=sum(one.log_odds for one in terms),
        stale=any(one.stale for one in terms),
        source=apart[0] if apart else face.source,
    )


def by_strength(inputs: Sequence[RiskInput]) -> list[RiskInput]:
    """Inputs that moved the log-odds at all, strongest first."""
    moving = [one for one in inputs if abs(one.log_odds) >= LEAST_LOG_ODDS]
    return sorted(moving, key=lambda one: -abs(one.log_odds))
