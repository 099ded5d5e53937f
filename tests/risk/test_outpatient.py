from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk.additive import shipped
from risk.features import BadValue
from risk.normal import NORMAL
from risk.outpatient import VARIABLES, predict, predict_table

PERSON: dict[str, object] = {"age_years": 52.0, "sex": "male", "test_result": "positive"}
YES_NO = st.sampled_from(["yes", "no", 1, 0, True, False, None])

PEOPLE = st.fixed_dictionaries(
    {"age_years": st.floats(0, 110), "sex": st.sampled_from(["female", "male", "F", "m"])},
    optional={
        "diabetes": YES_NO,
        "copd": YES_NO,
        "pneumonia": YES_NO,
        "spo2": st.floats(70, 100),
        "respiratory_rate": st.floats(8, 45),
        "days_since_symptoms": st.integers(0, 30),
        "oxygen_flow": st.floats(0, 15),
        "gcs": st.integers(3, 15),
        "severity_extent": st.floats(0, 8),
        "crp": st.floats(0, 300),
    },
)


def chance(row: dict[str, object]) -> float:
    found = predict(row).probability
    assert found is not None
    return found


@settings(deadline=None, max_examples=40)
@given(PEOPLE)
def test_baseline_and_contributions_add_up_to_the_log_odds(row: dict[str, object]) -> None:
    found = predict(row)
    assert found.status == "ok", found.reason
    assert found.probability is not None
    assert found.baseline_log_odds is not None
    total = found.baseline_log_odds + math.fsum(c.log_odds for c in found.contributions)
    assert math.log(found.probability / (1 - found.probability)) == pytest.approx(total, abs=1e-9)


def width(row: dict[str, object]) -> float:
    """Width of the interval in log-odds."""
    found = predict(row)
    assert found.low is not None
    assert found.high is not None
    return math.log(found.high / (1 - found.high)) - math.log(found.low / (1 - found.low))


NAMES = ("days_since_symptoms", "spo2", "respiratory_rate", "crp", "diabetes", "pneumonia", "gcs")


@settings(deadline=None, max_examples=40)
@given(PEOPLE, st.sampled_from(NAMES), st.floats(0, 1))
def test_adding_a_normal_value_never_widens_the_interval(
    row: dict[str, object], name: str, share: float
) -> None:
    without = {key: value for key, value in row.items() if key != name}
    low, high = NORMAL.get(name, (0, 60))
    word = name in {"diabetes", "pneumonia"}
    if name == "pneumonia":
        without.pop("severity_extent", None)  # a film says it too: it would not be missing
    added = {**without, name: "no" if word else low + share * (high - low)}
    assert width(added) <= width(without) + 1e-9


@settings(deadline=None, max_examples=40)
@given(PEOPLE, st.floats(70, 100), st.floats(70, 100))
def test_a_lower_saturation_never_lowers_the_risk(
    row: dict[str, object], a: float, b: float
) -> None:
    assert chance({**row, "spo2": min(a, b)}) >= chance({**row, "spo2": max(a, b)}) - 1e-12


def test_a_film_beyond_the_threshold_counts_as_pneumonia() -> None:
    threshold = float(shipped("outpatient").card["parameters"]["pneumonia_threshold_extent"])
    assert chance({**PERSON, "severity_extent": 8.0}) == chance({**PERSON, "pneumonia": "yes"})
    assert chance({**PERSON, "severity_extent": threshold - 0.01}) == chance(
        {**PERSON, "pneumonia": "no"}
    )
    both = {**PERSON, "pneumonia": "no", "severity_extent": 8.0}
    assert chance(both) == chance({**PERSON, "pneumonia": "yes"})
    term = next(c for c in predict(both).contributions if c.variable == "pneumonia")
    assert (term.value, term.log_odds > 1.0) == ("yes", True)


def test_terms_that_come_from_published_points_say_so() -> None:
    found = predict({**PERSON, "spo2": 88.0})
    sources = {c.variable: c.source for c in found.contributions}
    assert "published points" in sources["spo2"]
    assert "Mexican" in sources["age_years"]
    zero = next(c for c in found.contributions if c.variable == "urea")
    assert (zero.value, zero.log_odds) == (None, 0.0)


def test_a_flow_means_oxygen_and_a_low_coma_scale_means_confusion() -> None:
    assert chance({**PERSON, "oxygen_flow": 2.0}) == chance({**PERSON, "oxygen": "oxygen"})
    assert chance({**PERSON, "gcs": 12}) > chance({**PERSON, "gcs": 15})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"sex": "male"}, "no age_years"),
        ({"age_years": 50}, "no sex"),
        ({**PERSON, "pregnancy": "yes"}, "pregnancy"),
        ({**PERSON, "age_years": 200}, "age_years: expected 0 to 120"),
        ({**PERSON, "diabetes": "perhaps"}, "diabetes: expected no | yes"),
        ({**PERSON, "diabetes": 97}, "diabetes: expected no | yes"),
        ({**PERSON, "bmi": 30}, "bmi"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(
    row: dict[str, object], reason: str
) -> None:
    found = predict(row)
    assert found.status == "refused"
    assert reason in found.reason


def test_a_table_has_one_answer_per_row_and_an_empty_one_is_an_error() -> None:
    table = predict_table(pd.DataFrame([PERSON, {"sex": "female"}]))
    assert table["status"].tolist() == ["ok", "refused"]
    assert {"log_odds_pneumonia", "log_odds_age_years", "log_odds_baseline"} <= set(table.columns)
    with pytest.raises(BadValue, match="empty table"):
        predict_table(pd.DataFrame(columns=["sex"]))


def test_the_clinic_has_about_thirty_variables() -> None:
    assert 28 <= len(VARIABLES) <= 32


def test_the_old_with_pneumonia_are_far_above_the_young_without() -> None:
    old = {"age_years": 75, "sex": "male", "pneumonia": "yes", "spo2": 86, "diabetes": "yes"}
    young = {"age_years": 22, "sex": "female", "pneumonia": "no", "spo2": 98}
    assert chance(old) > 0.5
    assert chance(young) < 0.03
