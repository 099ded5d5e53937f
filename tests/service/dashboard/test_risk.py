"""A risk is shown with its interval, greyed, or not at all."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import pytest

from service.dashboard import patient, risk
from service.dashboard.moments import Zone
from service.records import Patient
from tests.service.dashboard.ward import NOW, WARD, risk_record

ZONE = Zone.named("UTC")
EVERY = timedelta(hours=1)
PATIENT = Patient("P-1001")
RECORD = risk_record(WARD[0], NOW - timedelta(minutes=6), 0.31)


def test_a_fresh_risk_with_all_inputs_is_plain() -> None:
    shown = risk.present(PATIENT, RECORD, NOW, ZONE, EVERY)
    assert shown.figure is not None
    assert not shown.grey


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"stale": ("fio2", "spo2_min_6h", "spo2_max_6h")},
            ("Inspired oxygen 18 min old", "SpO₂ 18 min old"),
        ),
        ({"missing": ("spo2", "spo2_mean_6h", "lactate")}, ("SpO₂ missing",)),
        ({"at": NOW - timedelta(hours=3)}, ("computed 3 h ago",)),
    ],
)
def test_what_is_old_or_missing_greys_the_number_and_is_named_once(
    changed: dict[str, object], said: tuple[str, ...]
) -> None:
    record = replace(RECORD, **changed)  # type: ignore[arg-type]  # fields of the record by name
    shown = risk.present(PATIENT, record, NOW, ZONE, EVERY)
    assert shown.grey
    assert shown.notes == said


@pytest.mark.parametrize(
    "changed",
    [{"low": None}, {"high": None}, {"probability": None}, {"status": "refused", "reason": "x"}],
)
def test_without_interval_or_after_a_refusal_there_is_no_number(changed: dict[str, object]) -> None:
    record = replace(RECORD, **changed)  # type: ignore[arg-type]  # fields of the record by name
    shown = risk.present(PATIENT, record, NOW, ZONE, EVERY)
    assert shown.figure is None
    assert shown.why_not


def test_ventilation_ends_the_prediction() -> None:
    ventilated = replace(PATIENT, ventilated_since=NOW)
    assert risk.present(ventilated, RECORD, NOW, ZONE, EVERY).figure is None


def test_contributions_are_laid_end_to_end_from_baseline_to_total() -> None:
    account = patient.account(RECORD, NOW, ZONE)
    assert account is not None
    ends = [account.baseline_at, *(lane.bar.end for lane in account.lanes), account.rest_bar.end]
    for lane, start in zip(account.lanes, ends, strict=False):
        assert lane.bar.left == pytest.approx(min(start, lane.bar.end), abs=0.02)
    assert ends[-1] == pytest.approx(account.total_at, abs=0.02)


def test_contributions_that_do_not_add_up_are_not_shown() -> None:
    assert patient.account(replace(RECORD, probability=0.32), NOW, ZONE) is None


def test_the_strongest_reasons_come_first_and_unmeasured_inputs_do_not_count() -> None:
    said = risk.strongest(RECORD, NOW, ZONE)
    assert [one.label for one in said] == ["Respiratory rate", "Inspired oxygen", "SpO₂"]


def test_statistics_of_one_variable_count_together_and_the_sum_stays() -> None:
    first = RECORD.inputs[0]
    terms = [
        replace(first, variable="respiratory_rate_max_6h", value=36.0, log_odds=0.4),
        replace(first, log_odds=0.3),
        replace(first, variable="respiratory_rate_min_6h", value=30.0, log_odds=-0.1),
    ]
    (merged,) = risk.together(terms)
    assert merged.value == first.value
    assert merged.log_odds == pytest.approx(0.6)
    everything = risk.together(RECORD.inputs)
    total = sum(one.log_odds for one in RECORD.inputs)
    assert sum(one.log_odds for one in everything) == pytest.approx(total)


def test_a_group_with_a_term_fitted_apart_says_so() -> None:
    first = RECORD.inputs[0]
    other = replace(first, variable="respiratory_rate_max_6h", source="fitted apart: elsewhere")
    assert risk.is_apart(risk.together([first, other])[0].source)


def test_the_risk_without_its_film_is_told_with_what_the_film_was_fitted_on() -> None:
    shown = risk.present(PATIENT, RECORD, NOW, ZONE, EVERY)
    term = next(one for one in RECORD.inputs if one.variable == "severity_extent")
    log_odds = math.log(RECORD.probability / (1 - RECORD.probability)) - term.log_odds  # type: ignore[operator]  # the record has a number
    assert RECORD.probability_without_film == pytest.approx(1 / (1 + math.exp(-log_odds)))
    assert shown.film is not None
    assert shown.film.apart
    assert shown.film.without == f"{100 / (1 + math.exp(-log_odds)):.0f}"


def test_without_a_film_nothing_is_said_of_one() -> None:
    inputs = tuple(
        replace(one, value=None) if one.variable == "severity_extent" else one
        for one in RECORD.inputs
    )
    record = replace(RECORD, inputs=inputs)
    assert record.probability_without_film is None
    assert risk.present(PATIENT, record, NOW, ZONE, EVERY).film is None


def test_a_vital_sign_that_was_measured_is_not_called_missing_for_want_of_its_course() -> None:
    measured = (replace(RECORD.inputs[0], variable="spo2", value=91.0),)
    record = replace(RECORD, inputs=measured, missing=("spo2_mean_6h", "lactate", "spo2_min_6h"))
    assert risk.missing_words(record) == ("SpO₂ over the hours before", "Lactate")
