"""Unchanged lungs show nothing, a new opacity shows where it is and in the right sense."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from registration.change import beyond, least_threshold, noise, shares, strength

SHAPE = (128, 128)
LIMIT = noise()


def zones() -> NDArray[np.bool_]:
    """Two lungs, each in thirds."""
    found = np.zeros((6, *SHAPE), bool)
    for number in range(6):
        top, left = 24 + 28 * (number % 3), 20 + 50 * (number // 3)
        found[number, top : top + 28, left : left + 38] = True
    return found


def film() -> NDArray[np.float32]:
    """A bright body with dark, textured lungs."""
    rows, columns = np.indices(SHAPE)
    lungs = zones().any(axis=0)
    texture = 0.1 * np.sin(rows / 3.0) * np.cos(columns / 4.0)
    return (np.where(lungs, 0.35, 0.7) + texture).astype(np.float32)


def spot() -> NDArray[np.bool_]:
    rows, columns = np.indices(SHAPE)
    return np.asarray(np.hypot(rows - 66, columns - 39) < 10, np.bool_)


@settings(deadline=None, max_examples=25)
@given(st.floats(0.5, 2.0), st.floats(0.3, 1.0), st.floats(0.0, 0.2), st.floats(-0.05, 0.05))
def test_another_exposure_of_the_same_film_shows_nothing(
    gamma: float, gain: float, offset: float, slope: float
) -> None:
    tilt = 1 + np.float32(slope) * np.linspace(-1, 1, SHAPE[0], dtype=np.float32)[:, None]
    other = ((offset + gain * film() ** gamma) * tilt).astype(np.float32)
    assert not beyond(strength(film(), other, zones()), zones(), LIMIT).any()


def test_a_new_opacity_is_denser_now_and_lies_where_it_is() -> None:
    now = np.where(spot(), film() + np.float32(0.2), film()).astype(np.float32)
    shown = beyond(strength(now, film(), zones()), zones(), LIMIT)
    assert (shown[spot()] > 0).mean() > 0.6
    assert (shown[~spot()] != 0).mean() < 0.04  # its edge, a little blurred
    found = {one.zone: one for one in shares(shown, zones())}
    assert found["right_middle"].denser > 0.1
    assert found["left_upper"].denser == found["left_upper"].clearer == 0


def test_films_that_differ_everywhere_must_differ_by_more() -> None:
    now = np.where(spot(), film() + np.float32(0.06), film()).astype(np.float32)
    noisy = film() + np.float32(0.1) * np.random.default_rng(0).normal(size=(32, 32)).repeat(
        4, axis=0
    ).repeat(4, axis=1)
    quiet = strength(now, film(), zones())[spot()].mean()
    assert quiet > strength(now, noisy.astype(np.float32), zones())[spot()].mean() > 0


def test_what_the_network_draws_as_opaque_adds_to_the_shades() -> None:
    opaque = (0.3 * spot()).astype(np.float32)
    alone = strength(film(), film(), zones())
    assert not beyond(alone, zones(), LIMIT).any()
    shown = strength(film(), film(), zones(), 3 * opaque)
    assert (shown[spot()] > 0).mean() > 0.9
    assert np.allclose(shown, -strength(film(), film(), zones(), -3 * opaque), atol=1e-5)


def test_exchanging_the_films_exchanges_denser_and_clearer() -> None:
    now = np.where(spot(), film() + np.float32(0.2), film()).astype(np.float32)
    there = strength(now, film(), zones())
    assert np.allclose(there, -strength(film(), now, zones()), atol=1e-5)


def test_nothing_is_shown_outside_the_lungs_or_where_the_prior_does_not_reach() -> None:
    now = (film() + np.float32(0.2) * spot()).astype(np.float32)
    prior = film()
    prior[:, :64] = 0
    shown = beyond(strength(now, prior, zones()), zones(), LIMIT)
    assert not shown[:, :60].any()
    assert not shown[~zones().any(axis=0)].any()


def test_the_least_threshold_is_the_one_beyond_which_nothing_is_left() -> None:
    apart = strength((film() + np.float32(0.1) * spot()).astype(np.float32), film(), zones())
    least = least_threshold(apart, zones())
    assert not beyond(apart, zones(), least).any()
    assert beyond(apart, zones(), least - 0.005).any()


def test_films_without_lungs_change_nowhere() -> None:
    assert not strength(film(), film(), np.zeros((6, *SHAPE), bool)).any()


def test_the_shipped_noise_is_a_measured_number() -> None:
    assert noise() == pytest.approx(noise())
    assert 0 < noise() < 3
