"""The risk of somebody who is not admitted, from what the index happens to know."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from risk.additive import shipped
from risk.outpatient import VARIABLES, predict
from service.dashboard.risk import OUTPATIENT_INPUTS
from service.outpatient import estimate
from service.records import Observation, Patient, SeverityFinding, StudyResult

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
TABLE = shipped("outpatient")
WHO = Patient("P1", "DOE^JANE", date(1956, 1, 15), "F")
FILM = StudyResult(
    "r", "1.2", "P1", "1.2.1", "ok", "", "", NOW - HOUR, NOW - HOUR,
    severity=SeverityFinding(5.0, 4.0, 3.0, 5.0, 9.0, (1.5,) * 6, "severity-1+a"),
)  # fmt: skip


def measured(variable: str, value: float, hours_ago: float = 1.0) -> dict[str, Observation]:
    at = NOW - hours_ago * HOUR
    return {variable: Observation("o", "P1", variable, value, "", at, at, "clinic")}


def test_it_is_what_the_model_says_of_the_same_row_and_its_terms_add_up() -> None:
    found = estimate(WHO, measured("spo2", 92), FILM, NOW, TABLE)
    assert found
    row = {"age_years": 70, "sex": "female", "spo2": 92, "severity_extent": 4.0}
    assert found.probability == predict(row, TABLE).probability
    assert found.baseline_log_odds is not None
    total = found.baseline_log_odds + math.fsum(one.log_odds for one in found.inputs)
    assert 1 / (1 + math.exp(-total)) == pytest.approx(found.probability)
    assert "pneumonia" not in found.missing  # the film tells
    assert len(VARIABLES) == OUTPATIENT_INPUTS


def test_nobody_who_is_admitted_and_nobody_unknown_has_one() -> None:
    assert estimate(replace(WHO, admitted_at=NOW), {}, FILM, NOW, TABLE) is None
    assert estimate(WHO, {}, None, NOW, TABLE) is None
    refused = estimate(replace(WHO, birth_date=None), {}, FILM, NOW, TABLE)
    assert refused
    assert (refused.status, refused.probability) == ("refused", None)
    assert "age_years" in refused.reason


@pytest.mark.parametrize(("hours_ago", "counts"), [(3.9, True), (4.1, False), (-1.0, False)])
def test_a_value_that_is_too_old_or_lies_ahead_does_not_count(
    hours_ago: float, counts: bool
) -> None:
    found = estimate(WHO, measured("spo2", 88, hours_ago), FILM, NOW, TABLE)
    assert found
    assert ("spo2" not in found.missing) is counts


def test_what_was_measured_during_a_stay_says_nothing_of_the_time_after_it() -> None:
    home = replace(WHO, admitted_at=NOW - 90 * HOUR, discharged_at=NOW - HOUR / 2)
    assert estimate(home, measured("spo2", 88), FILM, NOW, TABLE) is None
    later = measured("spo2", 88, 0.2)
    assert estimate(home, later, FILM, NOW, TABLE) is not None
