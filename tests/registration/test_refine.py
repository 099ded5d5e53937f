"""A few steps on one pair bring structures together and leave an opacity alone."""

from __future__ import annotations

import numpy as np

from registration.refine import agreement, refine
from registration.warp import folding_fraction, integrate, warp

from .test_affine import SIZE, chest
from .test_warp import smooth_velocity

START = np.zeros((2, SIZE, SIZE), np.float32)


def test_a_known_deformation_of_the_structures_is_found() -> None:
    truth = integrate(smooth_velocity(2, SIZE, largest=2.5))
    moving = np.concatenate([np.full((1, SIZE, SIZE), 0.5, np.float32), chest()])
    fixed = np.stack([warp(one, truth) for one in moving])
    found = integrate(refine(START, moving, fixed))
    before = np.abs(fixed[1:] - moving[1:]).mean()
    after = np.abs(fixed[1:] - np.stack([warp(one, found) for one in moving[1:]])).mean()
    assert after < 0.2 * before
    assert folding_fraction(found) == 0


def test_equal_films_are_left_where_they_are() -> None:
    both = np.concatenate([np.full((1, SIZE, SIZE), 0.5, np.float32), chest()])
    assert np.abs(refine(START, both, both)).max() < 1e-4


def test_an_opacity_on_one_film_does_not_pull() -> None:
    clear = np.concatenate([np.full((1, SIZE, SIZE), 0.5, np.float32), chest()])
    ill = clear.copy()
    ill[0, 24:40, 14:26] += 0.3
    assert np.abs(integrate(refine(START, ill, clear))).max() < 0.5  # pixels of the frame


def test_agreement_is_one_for_equal_films_and_low_under_an_opacity() -> None:
    film = np.full((SIZE, SIZE), 0.5, np.float32)
    ill = film.copy()
    ill[24:40, 14:26] += 0.3
    np.testing.assert_allclose(agreement(film, film), 1)
    assert agreement(film, ill)[32, 20] < 0.01
