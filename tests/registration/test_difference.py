"""Exposure is matched away, disease is not."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from registration.difference import difference

from .test_warp import picture

LUNGS = np.zeros((64, 64), bool)
LUNGS[16:48, 8:56] = True


def film() -> NDArray[np.float32]:
    image = picture(6)
    return (0.2 + 0.6 * (image - image.min()) / np.ptp(image)).astype(np.float32)


@given(st.floats(0.7, 1.4), st.floats(-0.1, 0.1))
def test_another_exposure_of_the_same_film_shows_no_difference(gain: float, offset: float) -> None:
    same = difference(np.float32(gain) * film() + np.float32(offset), film(), LUNGS)
    assert np.abs(same).max() < 0.02


def test_a_new_opacity_is_what_remains_and_is_positive() -> None:
    now = film()
    now[20:30, 12:24] += 0.2
    change = difference(now, film(), LUNGS)
    assert change[20:30, 12:24].mean() > 0.17
    assert np.abs(change[34:46, 30:50]).max() < 0.03


def test_nothing_is_shown_outside_the_lungs() -> None:
    change = difference(film() + 0.1, np.flip(film()).copy(), LUNGS)
    assert not change[~LUNGS].any()
