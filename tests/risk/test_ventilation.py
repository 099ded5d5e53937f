from __future__ import annotations

import math
import random
from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk.additive import probability, shipped
from risk.estimate import Estimate
from risk.features import VENTILATION, BadValue, base_name
from risk.normal import NORMAL as RANGES
from risk.ventilation import VARIABLES, fio2_from_flow, predict, predict_table

NORMAL: dict[str, object] = {
    "age_years": 60.0,
    "sex": "female",
    "heart_rate": 80.0,
    "respiratory_rate": 17.0,
    "spo2": 97.0,
    "systolic_bp": 122.0,
    "diastolic_bp": 66.0,
    "mean_bp": 82.0,
    "temperature": 36.9,
    "fio2": 0.3,
    "gcs": 15.0,
    "ph": 7.4,
    "pao2": 95.0,
    "paco2": 39.0,
    "bicarbonate": 25.0,
    "lactate": 1.4,
    "wbc": 9.5,
    "haemoglobin": 11.0,
    "creatinine": 0.95,
    "urea": 7.0,
    "urine_output": 60.0,
    "severity_extent": 2.0,
}


NORMAL_RANGES = {n: r for n, r in RANGES.items() if n in {v.name for v in VARIABLES}}


def numbers(names: tuple[str, ...]) -> st.SearchStrategy[dict[str, object]]:
    by_name = {variable.name: variable for variable in VENTILATION}
    optional = {n: st.floats(by_name[n].low, by_name[n].high) for n in names}
    return st.fixed_dictionaries({"spo2": st.floats(60, 100)}, optional=optional)


ROWS = numbers(
    (
        "age_years",
        "heart_rate",
        "respiratory_rate",
        "temperature",
        "fio2",
        "oxygen_flow",
        "gcs",
        "ph",
        "lactate",
        "wbc",
        "urea",
        "hours_in_unit",
        "severity_extent",
    )
)


def width(estimate: Estimate) -> float:
    """Width of the interval in log-odds."""
    low, high = estimate.low or 0.0, estimate.high or 0.0
    return math.log(high / (1 - high)) - math.log(low / (1 - low))


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_baseline_and_contributions_add_up_to_the_log_odds(row: dict[str, object]) -> None:
    found = predict(row)
    assert found.status == "ok"
    assert found.baseline_log_odds is not None
    assert found.probability is not None
    total = found.baseline_log_odds + sum(c.log_odds for c in found.contributions)
    assert math.log(found.probability / (1 - found.probability)) == pytest.approx(total, abs=1e-9)
    assert probability(total) == pytest.approx(found.probability, abs=1e-12)
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < found.probability < found.high < 1


@settings(deadline=None, max_examples=40)
@given(ROWS, st.floats(60, 100), st.floats(0.21, 1), st.floats(0.21, 1))
def test_lower_saturation_on_more_oxygen_never_lowers_the_risk(
    row: dict[str, object], spo2: float, one: float, two: float
) -> None:
    low, high = sorted([spo2, float(str(row["spo2"]))])
    less, more = sorted([one, two])
    better = predict({**row, "spo2": high, "fio2": less}).probability
    worse = predict({**row, "spo2": low, "fio2": more}).probability
    assert better is not None
    assert worse is not None
    assert worse >= better - 1e-12


@settings(deadline=None, max_examples=40)
@given(ROWS, st.floats(0, 8), st.floats(0, 8))
def test_a_worse_film_never_lowers_the_risk(row: dict[str, object], a: float, b: float) -> None:
    low = predict({**row, "severity_extent": min(a, b)}).probability
    high = predict({**row, "severity_extent": max(a, b)}).probability
    assert low is not None
    assert high is not None
    assert high >= low


@settings(deadline=None, max_examples=40)
@given(ROWS, st.sampled_from(sorted(set(NORMAL) - {"sex"})))
def test_adding_a_normal_value_never_widens_the_interval(row: dict[str, object], name: str) -> None:
    without = {key: value for key, value in row.items() if key != name}
    without.setdefault("respiratory_rate", 17.0)
    if name == "fio2":
        without.pop("oxygen_flow", None)  # a flow says what FiO2 is: it would not be missing
    if name in without:
        return
    added = {**without, name: NORMAL[name]}
    assert width(predict(added)) <= width(predict(without)) + 1e-9


@settings(deadline=None, max_examples=60)
@given(ROWS, st.sampled_from(sorted(NORMAL_RANGES)), st.floats(0, 1))
def test_no_value_of_the_normal_range_widens_the_interval(
    row: dict[str, object], name: str, share: float
) -> None:
    low, high = NORMAL_RANGES[name]
    known = {"spo2": 97.0, "heart_rate": 75.0, **row}
    without = {key: value for key, value in known.items() if key not in {name, base_name(name)}}
    if name == "fio2":
        without.pop("oxygen_flow", None)  # a flow says what FiO2 is: it would not be missing
    added = predict({**without, name: low + share * (high - low)})
    assert added.status == "ok", added.reason
    assert width(added) <= width(predict(without)) + 1e-9


def test_a_latest_reading_that_stands_in_for_six_hours_is_less_sure_than_they_are() -> None:
    given = {f"spo2_{word}_6h": NORMAL["spo2"] for word in ("min", "max", "mean")}
    known, stood_in = predict({**NORMAL, **given}), predict(NORMAL)
    assert known.probability == stood_in.probability
    assert width(known) < width(stood_in)
    table = predict_table(pd.DataFrame([{**NORMAL, **given}, NORMAL]))
    assert table["high"].tolist() == [known.high, stood_in.high]


def test_every_missing_value_widens_the_interval() -> None:
    whole = predict(NORMAL)
    for name in sorted(set(NORMAL) - {"sex"}):
        fewer = predict({key: value for key, value in NORMAL.items() if key != name})
        assert width(fewer) > width(whole)
        assert name in fewer.missing


@settings(max_examples=8, deadline=None)
@given(st.permutations(list(NORMAL)), st.randoms())
def test_the_order_of_columns_and_rows_does_not_matter(names: list[str], order: object) -> None:
    frame = pd.DataFrame([NORMAL, {**NORMAL, "spo2": 88.0}, {**NORMAL, "heart_rate": 140.0}])
    expected = predict_table(frame)
    shuffled = frame[names].iloc[[2, 0, 1]]
    pd.testing.assert_frame_equal(predict_table(shuffled).sort_index(), expected)


def test_a_table_gives_the_same_answers_as_row_by_row() -> None:
    frame = pd.DataFrame([NORMAL, {**NORMAL, "spo2": None, "ventilated": "yes"}])
    table = predict_table(frame)
    alone = predict(NORMAL)
    first = table.iloc[0]
    assert (first["probability"], first["low"]) == (alone.probability, alone.low)
    assert first["log_odds_spo2"] == alone.contributions[4].log_odds
    assert list(table.columns[:5]) == ["status", "reason", "probability", "low", "high"]
    assert table.columns[-1] == "log_odds_baseline"
    assert table.iloc[1]["status"] == "refused"
    assert math.isnan(table.iloc[1]["probability"])


def test_an_unknown_severity_contributes_exactly_nothing_and_is_said_to_be_missing() -> None:
    row = {key: value for key, value in NORMAL.items() if key != "severity_extent"}
    found = predict(row)
    term = next(c for c in found.contributions if c.variable == "severity_extent")
    assert term.log_odds == 0.0
    assert term.value is None
    assert "fitted apart" in term.source
    assert "severity_extent" in found.missing


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**NORMAL, "ventilated": "yes"}, "ventilated already"),
        ({"age_years": 60}, "at least one of heart_rate, respiratory_rate, spo2"),
        ({}, "at least one of heart_rate"),
        ({**NORMAL, "heart_rate": -5}, "heart_rate: expected 10 to 300"),
        ({**NORMAL, "fio2": 5}, "fio2: expected"),
        ({**NORMAL, "spo2": "good"}, "expected a number, found 'good'"),
        ({**NORMAL, "spo2": [97]}, "expected a number, found list"),
        ({**NORMAL, "spo2": True}, "expected a number, found bool"),
        ({**NORMAL, "sex": "x"}, "sex: expected female | male"),
        ({**NORMAL, "hart_rate": 80}, "did you mean heart_rate"),
        ({**NORMAL, "diastolic_bp": 140}, "diastolic_bp <= systolic_bp"),
        ({**NORMAL, "spo2_min_6h": 99, "spo2_max_6h": 90}, "spo2_min_6h <= spo2_max_6h"),
        ({**NORMAL, "spo2": 80, "spo2_min_6h": 95}, "spo2_min_6h <= spo2, found 95 > 80"),
        ({**NORMAL, "heart_rate_max_6h": 70}, "heart_rate <= heart_rate_max_6h"),
        ({**NORMAL, "spo2_max_6h": 98, "spo2_mean_6h": 99.6}, "spo2_mean_6h <= spo2_max_6h"),
        ({**NORMAL, "fio2": 0.8, "fio2_max_6h": 0.3}, "fio2 <= fio2_max_6h"),
        ({**NORMAL, "spo2": 10**400}, "spo2: expected a number, found 1000"),
        ({**NORMAL, "sex": 10**400}, "sex: expected female | male, found 1000"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(
    row: dict[str, object], reason: str
) -> None:
    found = predict(row)
    assert found.status == "refused"
    assert reason in found.reason
    assert found.probability is None
    assert not found.contributions
    assert found.model == shipped("ventilation").label


@pytest.mark.parametrize(
    ("name", "theirs", "ours"),
    [
        ("temperature", 98.6, 37.0),
        ("fio2", 40, 0.4),
        ("spo2", 0.97, 97.0),
        ("spo2", "97", 97.0),
        ("sex", "F", "female"),
    ],
)
def test_another_unit_that_is_certain_gives_the_same_answer(
    name: str, theirs: object, ours: object
) -> None:
    converted, plain = predict({**NORMAL, name: theirs}), predict({**NORMAL, name: ours})
    assert converted.probability == pytest.approx(plain.probability)


def test_a_window_rounded_apart_from_its_readings_is_answered() -> None:
    rounded = {**NORMAL, "spo2": 96.4, "spo2_max_6h": 96, "spo2_mean_6h": 96.2, "spo2_min_6h": 96}
    assert predict(rounded).status == "ok"


def test_an_empty_table_a_column_twice_and_an_unknown_column_are_errors() -> None:
    with pytest.raises(BadValue, match="empty table"):
        predict_table(pd.DataFrame(columns=["spo2"]))
    twice = pd.DataFrame([[97.0, 98.0]], columns=["spo2", "spo2"])
    with pytest.raises(BadValue, match="twice: spo2"):
        predict_table(twice)
    with pytest.raises(BadValue, match="did you mean spo2"):
        predict_table(pd.DataFrame({"sp02": [97.0]}))


def test_a_bad_row_does_not_stop_the_others() -> None:
    table = predict_table(pd.DataFrame({"spo2": [97.0, 400.0, None], "sex": ["m", "m", "m"]}))
    assert table["status"].tolist() == ["ok", "refused", "refused"]
    assert "spo2" in table["reason"][1]


def test_a_flow_stands_for_fio2_where_only_the_flow_is_known() -> None:
    assert fio2_from_flow(0.0) == pytest.approx(0.21)
    assert fio2_from_flow(4.0) == pytest.approx(0.36)
    assert fio2_from_flow(40.0) == pytest.approx(0.60)
    by_flow = predict({"spo2": 93.0, "oxygen_flow": 4.0}).probability
    assert by_flow == pytest.approx(predict({"spo2": 93.0, "fio2": 0.36}).probability)


def values_of(make: Callable[[], Estimate]) -> dict[str, object]:
    return {c.variable: c.value for c in make().contributions}


def test_the_contributions_name_every_term_with_unit_and_source() -> None:
    found = predict(NORMAL)
    names = [c.variable for c in found.contributions]
    assert len(set(names)) == len(names)
    assert {"sf_ratio", "severity_extent", "gcs"} <= set(names)
    assert all(c.source for c in found.contributions)
    values = values_of(lambda: predict(NORMAL))
    assert values["sf_ratio"] == pytest.approx(97 / 0.3)


def test_the_sickest_are_far_above_the_well() -> None:
    ill = {
        **NORMAL,
        "heart_rate": 130,
        "respiratory_rate": 38,
        "spo2": 85,
        "fio2": 0.9,
        "ph": 7.2,
        "paco2": 65,
        "gcs": 10,
        "severity_extent": 7.5,
    }
    worse, well = predict(ill).probability, predict(NORMAL).probability
    assert worse is not None
    assert well is not None
    assert worse > 8 * well


def test_every_term_has_a_column_or_is_computed_from_columns() -> None:
    names = {variable.name for variable in VARIABLES} | {"sf_ratio", "rox"}
    assert {term.variable for term in shipped("ventilation").terms} <= names


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_without_its_film_a_row_has_the_risk_of_the_row_without_one(row: dict[str, object]) -> None:
    plain = {name: value for name, value in row.items() if name != "severity_extent"}
    found = predict({**plain, "severity_extent": 6.0})
    assert found.without("severity_extent") == pytest.approx(predict(plain).probability, abs=1e-12)
    assert predict(plain).without("severity_extent") is None
    assert predict({}).without("severity_extent") is None


@settings(deadline=None, max_examples=30)
@given(ROWS, st.floats(40, 300), st.floats(40, 300))
def test_lower_spo2_over_fio2_never_lowers_the_risk(
    row: dict[str, object], one: float, two: float
) -> None:
    worse, better = sorted([one, two])
    fixed = {k: v for k, v in row.items() if k not in {"fio2", "oxygen_flow", "spo2"}}

    def at(ratio: float) -> float:
        fio2 = min(1.0, max(0.21, 90.0 / ratio))
        return predict({**fixed, "spo2": min(100.0, ratio * fio2), "fio2": fio2}).probability or 0.0

    assert at(worse) >= at(better) - 1e-12


@settings(deadline=None, max_examples=25)
@given(st.lists(ROWS, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_rows_and_columns_in_any_order_give_each_row_its_answer(
    rows: list[dict[str, object]], random: random.Random
) -> None:
    frame = pd.DataFrame(rows)
    order, names = list(frame.index), list(frame.columns)
    random.shuffle(order)
    random.shuffle(names)
    shuffled = predict_table(frame.loc[order, names]).sort_index()
    pd.testing.assert_frame_equal(shuffled, predict_table(frame))
    for answer, row in zip(predict_table(frame).to_dict("records"), rows, strict=True):
        assert answer["probability"] == predict(row).probability
