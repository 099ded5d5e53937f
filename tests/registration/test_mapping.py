"""Fields on the films' own grids agree with the frame they were found on."""

from __future__ import annotations

import numpy as np

from models.frame import fit
from registration import affine
from registration.mapping import Mapping
from registration.warp import identity_grid, integrate, sample

from .test_warp import smooth_velocity

SIZE = 64


def mapping(prior: tuple[int, int], current: tuple[int, int]) -> Mapping:
    velocity = smooth_velocity(9, SIZE)
    matrix = np.array([[1.05, 0.02, -1.0], [-0.03, 0.98, 1.5]])
    forward, backward = integrate(velocity), integrate(-velocity)
    return Mapping(fit(prior, SIZE), fit(current, SIZE), matrix, forward, backward)


def still(prior: tuple[int, int], current: tuple[int, int]) -> Mapping:
    nothing = np.zeros((2, SIZE, SIZE), np.float32)
    return Mapping(fit(prior, SIZE), fit(current, SIZE), affine.IDENTITY, nothing, nothing)


def test_nothing_to_align_gives_a_zero_field() -> None:
    np.testing.assert_allclose(still((256, 192), (256, 192)).field_px(), 0, atol=1e-3)


def test_a_film_of_twice_the_resolution_maps_to_half_its_indices() -> None:
    field = still((128, 96), (256, 192)).field_px()
    rows = identity_grid((256, 192))[0] + field[0]
    np.testing.assert_allclose(rows[100, 7], (100 + 0.5) / 2 - 0.5, atol=1e-3)


def test_the_fields_have_the_shapes_of_their_films() -> None:
    both = mapping((200, 160), (256, 192))
    assert both.field_px().shape == (2, 256, 192)
    assert both.inverse_px().shape == (2, 200, 160)


def test_going_to_the_prior_and_back_arrives_where_it_began() -> None:
    both = mapping((200, 160), (256, 192))
    grid = identity_grid((256, 192))
    there = grid + both.field_px()
    back = there + np.stack([sample(part, there, edge=True) for part in both.inverse_px()])
    off = np.hypot(*(back - grid))[48:-48, 48:-48]
    assert off.max() < 0.5  # pixels of the film


def test_a_smooth_mapping_does_not_fold() -> None:
    assert mapping((200, 160), (256, 192)).folding_fraction() == 0
