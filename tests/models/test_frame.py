"""A film goes to the network's frame and comes back where it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from models import frame

shapes = st.tuples(st.integers(40, 300), st.integers(40, 300))


@given(shapes, st.sampled_from([64, 128, 288]))
def test_the_longer_side_fills_the_frame_and_the_film_lies_inside(
    shape: tuple[int, int], size: int
) -> None:
    place = frame.fit(shape, size)
    assert max(place.inner) == size
    assert place.top >= 0
    assert place.top + place.inner[0] <= size
    assert place.left >= 0
    assert place.left + place.inner[1] <= size


@given(shapes)
def test_a_map_goes_back_onto_the_film_that_it_came_from(shape: tuple[int, int]) -> None:
    film = gaussian_filter(np.random.default_rng(0).random(shape), 12).astype(np.float32)
    place = frame.fit(shape, 160)
    back = frame.from_frame(frame.to_frame(film, place)[None], place)
    assert back.shape == (1, *shape)
    inner = (slice(6, -6), slice(6, -6))
    np.testing.assert_allclose(back[0][inner], film[inner], atol=0.03)


def test_outside_the_film_the_frame_is_zero() -> None:
    place = frame.fit((100, 50), 64)
    square = frame.to_frame(np.ones((100, 50), np.float32), place)
    assert square[:, : place.left].sum() == 0
    assert square.sum() == pytest.approx(place.inner[0] * place.inner[1])


@given(st.floats(0.1, 5.0), st.floats(-1.0, 1.0))
def test_stretching_percentiles_takes_gain_and_offset_away(gain: float, offset: float) -> None:
    film = np.random.default_rng(1).random((64, 64)).astype(np.float32)
    changed = np.float32(gain) * film + np.float32(offset)
    np.testing.assert_allclose(
        frame.clip_percentiles(changed), frame.clip_percentiles(film), atol=1e-3
    )


def test_a_film_without_contrast_stretches_to_zeros_not_to_noise() -> None:
    assert not frame.clip_percentiles(np.full((32, 32), 0.7, np.float32)).any()


def test_a_shrunk_film_keeps_its_means_and_at_least_the_side_asked_for() -> None:
    film = np.random.default_rng(0).random((1301, 900)).astype(np.float32)
    small = frame.shrunk(film, 300)
    assert small.shape == (433, 300)
    np.testing.assert_allclose(small[5, 7], film[15:18, 21:24].mean(), atol=1e-6)
    assert frame.shrunk(film, 500) is film
