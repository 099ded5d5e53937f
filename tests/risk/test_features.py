from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk.features import (
    BASE,
    OUTPATIENT,
    TABLES,
    VENTILATION,
    BadValue,
    Reading,
    base_name,
    columns,
    normalise,
    stale,
    ventilation_row,
)

NOW = datetime(2021, 1, 10, 12, tzinfo=UTC)
BY_NAME = {variable.name: variable for variable in (*BASE, *OUTPATIENT)}


def reading(name: str, value: float, hours_ago: float, unit: str = "") -> Reading:
    return Reading(name, value, unit, NOW - timedelta(hours=hours_ago))


@pytest.mark.parametrize("table", TABLES)
def test_every_variable_has_a_name_of_its_own_and_a_range_that_is_not_empty(table: str) -> None:
    names = [variable.name for variable in TABLES[table]]
    assert len(set(names)) == len(names)
    assert all(v.low < v.high and v.label and v.source for v in TABLES[table])


def test_the_columns_tell_name_unit_range_and_what_is_required() -> None:
    table = columns("ventilation")
    assert list(table.columns[:4]) == ["name", "unit", "range", "required"]
    assert table.set_index("name").loc["spo2", "range"] == "40 to 100"
    assert columns("outpatient").set_index("name").loc["age_years", "required"] == "always"
    with pytest.raises(BadValue, match="expected one of ventilation, outpatient"):
        columns("weather")


@pytest.mark.parametrize(
    ("name", "value", "unit", "expected"),
    [
        ("temperature", 98.6, "", 37.0),
        ("temperature", 98.6, "[degF]", 37.0),
        ("temperature", 37.0, "Cel", 37.0),
        ("fio2", 21, "", 0.21),
        ("fio2", 40, "%", 0.4),
        ("fio2", 0.4, "", 0.4),
        ("fio2", 1.0, "", 1.0),
        ("spo2", 0.93, "", 93.0),
        ("spo2", 93, "%", 93.0),
        ("creatinine", 88.42, "umol/L", 1.0),
        ("urea", 20.0, "mg/dL", 7.14),
        ("pao2", 10.0, "kPa", 75.0062),
        ("haemoglobin", 120.0, "", 12.0),
        ("wbc", 8000.0, "", 8.0),
    ],
)
def test_a_unit_is_converted_when_it_is_certain(
    name: str, value: float, unit: str, expected: float
) -> None:
    assert normalise(BY_NAME[name], value, unit) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "value", "unit"),
    [
        ("temperature", 60.0, ""),
        ("temperature", 98.6, "Cel"),
        ("fio2", 5.0, ""),
        ("fio2", 0.1, ""),
        ("spo2", 20.0, ""),
        ("spo2", 110.0, "%"),
        ("heart_rate", -1.0, ""),
        ("heart_rate", 80.0, "kg"),
        ("ph", float("nan"), ""),
        ("lactate", float("inf"), ""),
    ],
)
def test_a_value_that_may_mean_two_things_or_nothing_is_refused_with_what_to_do(
    name: str, value: float, unit: str
) -> None:
    with pytest.raises(BadValue, match=rf"{name}: expected .* found .*; \w+"):
        normalise(BY_NAME[name], value, unit)


@settings(deadline=None)
@given(st.sampled_from(VENTILATION), st.floats(0, 1))
def test_a_plausible_value_in_its_own_unit_stays_as_it_is(variable, share: float) -> None:  # type: ignore[no-untyped-def]
    value = variable.low + share * (variable.high - variable.low)
    assert normalise(variable, value, variable.unit) == pytest.approx(value)


def test_the_row_holds_the_latest_reading_and_its_time() -> None:
    row, times = ventilation_row(
        [reading("heart_rate", 80, 3), reading("heart_rate", 95, 1), reading("spo2", 0.91, 0.5)],
        NOW,
        63.0,
        "male",
    )
    assert (row["heart_rate"], row["spo2"]) == (95.0, 91.0)
    assert times["heart_rate"] == NOW - timedelta(hours=1)
    assert row["temperature"] is None
    assert times["temperature"] is None
    assert (row["age_years"], row["sex"]) == (63.0, "male")
    assert set(row) == {variable.name for variable in VENTILATION}


def test_the_window_statistics_are_those_of_the_last_six_hours() -> None:
    beats = [(8, 200), (5, 80), (3, 90), (1, 100)]
    row, _ = ventilation_row([reading("heart_rate", v, h) for h, v in beats], NOW, None, None)
    assert (row["heart_rate_min_6h"], row["heart_rate_max_6h"]) == (80.0, 100.0)
    assert row["heart_rate_mean_6h"] == pytest.approx(90.0)
    assert row["heart_rate_slope_6h"] == pytest.approx(5.0)


def test_a_stale_reading_is_left_out_and_named() -> None:
    row, times = ventilation_row(
        [reading("heart_rate", 80, 30), reading("spo2", 95, 1)],
        NOW,
        50.0,
        "female",
        severity_extent=4.0,
        severity_at=NOW - timedelta(days=9),
    )
    assert row["heart_rate"] is None
    assert row["severity_extent"] is None
    assert {"heart_rate", "severity_extent"} <= set(stale(times, NOW))
    assert "spo2" not in stale(times, NOW)


def test_what_comes_after_the_moment_is_not_looked_at() -> None:
    early = [reading("spo2", 95, 2)]
    late = [reading("spo2", 70, -1), Reading("spo2", 500, "", NOW + timedelta(hours=2))]
    assert ventilation_row(early, NOW, 50, None) == ventilation_row(early + late, NOW, 50, None)


def test_urine_is_the_volume_of_six_hours_for_each_hour() -> None:
    row, _ = ventilation_row(
        [reading("urine_output", 300, 1, "mL"), reading("urine_output", 60, 5)], NOW, None, None
    )
    assert row["urine_output"] == pytest.approx(60.0)


def test_the_pressure_change_counts_from_the_first_reading_of_two_days() -> None:
    pressures = [(60, 180), (40, 150), (10, 120), (1, 100)]
    row, _ = ventilation_row([reading("systolic_bp", v, h) for h, v in pressures], NOW, None, None)
    assert row["systolic_bp_change_48h"] == pytest.approx(-50.0)


@settings(deadline=None)
@given(st.permutations([(1, 80), (2, 90), (2, 95), (4, 70), (7, 60)]))
def test_the_order_of_the_readings_does_not_matter(beats: list[tuple[int, int]]) -> None:
    def row(values: list[tuple[int, int]]) -> object:
        return ventilation_row([reading("heart_rate", v, h) for h, v in values], NOW, 40, None)

    assert row(beats) == row(sorted(beats))


def test_an_unknown_variable_is_left_out_and_a_bad_reading_is_refused() -> None:
    assert ventilation_row([reading("mood", 3, 1)], NOW, None, None)[0]["spo2"] is None
    with pytest.raises(BadValue, match="spo2"):
        ventilation_row([reading("spo2", 400, 1)], NOW, None, None)


def test_a_window_belongs_to_its_base_variable() -> None:
    assert base_name("spo2_min_6h") == "spo2"
    assert base_name("spo2") == "spo2"
