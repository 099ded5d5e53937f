from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.severity.interval import (
    KNOTS,
    UNKNOWN,
    Calibration,
    calibration_from_parameters,
    calibration_to_parameters,
    conformal_quantile,
    fit_change,
    fit_half_widths,
)

SOME = Calibration((0.0, 4.0, 8.0), (0.5, 1.5, 1.0), 1.0, 1.7)


def noisy(seed: int, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    predicted = rng.uniform(0, 8, count)
    return predicted, rng.normal(0, 0.3 + 0.15 * predicted)


@given(st.floats(0, 8))
def test_an_interval_holds_its_score_and_stays_on_the_scale(extent: float) -> None:
    for calibration in (SOME, UNKNOWN):
        low, high = calibration.interval(extent)
        assert 0 <= low <= extent <= high <= 8


def test_without_held_out_films_the_interval_is_the_whole_scale() -> None:
    assert UNKNOWN.interval(3.0) == (0.0, 8.0)


def test_widths_follow_the_noise_and_cover_new_films() -> None:
    widths = fit_half_widths(*noisy(0))
    assert widths[-1] > 1.5 * widths[0]
    covered = []
    for seed in range(1, 40):
        predicted, residual = noisy(seed)
        covered.append(np.mean(np.abs(residual) <= np.interp(predicted, KNOTS, widths)))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.03)


@given(st.integers(1, 300), st.floats(0.5, 0.99))
def test_the_conformal_quantile_covers_at_least_its_level(count: int, level: float) -> None:
    values = np.arange(count, dtype=np.float64)
    share = np.mean(values <= conformal_quantile(values, level))
    assert share >= min(1.0, math.floor(count * level) / count)


@given(st.floats(0, 16), st.floats(0, 16))
def test_a_larger_difference_is_never_less_real(one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert SOME.probability_real(small) <= SOME.probability_real(-large) <= 1.0


def test_equal_scores_are_no_change() -> None:
    assert SOME.probability_real(0.0) == 0.0


def test_the_noise_of_a_change_is_the_larger_of_pairs_and_copies() -> None:
    rng = np.random.default_rng(0)
    pairs, copies = rng.normal(0, 1.0, 500), rng.normal(0, 0.2, 500)
    sigma, half = fit_change(pairs, copies)
    assert sigma == pytest.approx(1.0, abs=0.15)
    assert half == pytest.approx(1.645, abs=0.25)
    assert fit_change(pairs * 0.1, copies)[0] == pytest.approx(0.2, abs=0.03)


def test_a_calibration_survives_the_card() -> None:
    assert calibration_from_parameters(calibration_to_parameters(SOME)) == SOME


@given(st.floats(-3, 3))
def test_a_zone_needs_a_change_beyond_its_own_noise(difference: float) -> None:
    known = replace(SOME, zone_sigma=0.5, zone_half_width=1.0)
    called = known.zone_probability_real(difference) >= 0.95
    assert called == (abs(difference) >= 1.96 * 0.5 - 1e-3) or abs(abs(difference) - 0.98) < 0.01
    assert known.zone_probability_real(difference) == known.zone_probability_real(-difference)


def test_a_card_from_before_the_zones_calls_no_zone_changed() -> None:
    old = calibration_to_parameters(SOME)
    del old["zone_change_sigma"], old["zone_change_half_width"]
    assert calibration_from_parameters(old).zone_probability_real(2.0) < 0.95
