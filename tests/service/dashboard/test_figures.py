"""Numbers keep their meaning when they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.dashboard import figures

PROBABILITIES = st.floats(0, 1)


@given(st.tuples(PROBABILITIES, PROBABILITIES, PROBABILITIES).map(sorted))
def test_a_percentage_is_never_written_without_its_interval(ends: list[float]) -> None:
    low, middle, high = ends
    assert figures.percent(middle, None, high) is None
    assert figures.percent(middle, low, None) is None
    written = figures.percent(middle, low, high)
    assert written is not None
    assert figures.DASH in written.interval


@given(PROBABILITIES)
def test_certainty_is_never_claimed_by_rounding(probability: float) -> None:
    written = figures.percent(probability, probability, probability)
    assert written is not None
    assert (written.figure in {"0.0", "0"}) <= (probability == 0)
    assert (written.figure == "100") <= (probability == 1)


def test_an_interval_that_does_not_hold_its_value_is_not_shown() -> None:
    assert figures.percent(0.5, 0.6, 0.7) is None


@given(st.floats(-1e6, 1e6))
def test_there_is_no_minus_zero_and_a_minus_sign_is_a_minus_sign(value: float) -> None:
    written = figures.signed(value)
    assert "-" not in written
    assert written not in {"−0.0", "+0.0"}


@pytest.mark.parametrize(
    ("ucum", "written"),
    [
        ("mm[Hg]", "mmHg"),
        ("Cel", "°C"),
        ("Cel/h", "°C/h"),
        ("/min", "/min"),
        ("10*9/L", "×10⁹/L"),
        ("1", ""),
        ("%/h", "%/h"),
        ("L/min", "L/min"),
    ],
)
def test_units_are_written_as_clinicians_write_them(ucum: str, written: str) -> None:
    assert figures.unit(ucum) == written


@pytest.mark.parametrize(
    ("variable", "value", "written"),
    [
        ("fio2", 0.5, "0.50"),
        ("spo2", 93.0, "93"),
        ("ph", 7.312, "7.31"),
        ("sex", "room_air", "room air"),
        ("lactate", None, "not measured"),
        ("respiratory_rate_slope_6h", 1.24, "+1.2"),
    ],
)
def test_values_carry_the_digits_of_their_measurement(
    variable: str, value: float | str | None, written: str
) -> None:
    assert figures.value_of(variable, value) == written
