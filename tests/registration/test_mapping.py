"""Fields on the films' own grids agree with the frame they were found on."""

from __future__ import annotations

import numpy as np

from models.frame import fit, from_frame
from registration import affine
from registration.mapping import Mapping, follow
from registration.warp import (
    folding_fraction,
    identity_grid,
    integrate,
    sample,
    smallest_determinant,
)

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
    assert off.max() < 0.05  # pixels of the film


def test_a_smooth_mapping_does_not_fold() -> None:
    assert mapping((200, 160), (256, 192)).folding_fraction() == 0


def test_the_field_of_a_film_is_the_frames_field_enlarged_once() -> None:
    both = mapping((200, 160), (256, 192))
    here, there = (
        (np.array(place.scale).reshape(2, 1, 1), np.array((place.top, place.left)).reshape(2, 1, 1))
        for place in (both.current, both.prior)
    )
    grid = identity_grid((256, 192))
    on_frame = (grid + 0.5) * here[0] - 0.5 + here[1]
    moved = on_frame + from_frame(both.on_frame(), both.current)
    expected = (moved + 0.5 - there[1]) / there[0] - 0.5 - grid
    inner = (slice(None), slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(both.field_px()[inner], expected[inner], atol=0.01)


def test_there_on_the_frame_and_back_arrives_where_it_began() -> None:
    both = mapping((200, 160), (256, 192))
    grid = identity_grid((SIZE, SIZE))
    there = grid + both.on_frame()
    back = there + np.stack([sample(part, there, edge=True) for part in both.back_on_frame()])
    assert np.hypot(*(back - grid))[12:-12, 12:-12].max() < 0.1


def test_a_wild_velocity_is_weakened_until_nothing_folds_at_any_resolution() -> None:
    noise = np.random.default_rng(1).normal(0, 12, (2, SIZE, SIZE)).astype(np.float32)
    tame = follow(fit((300, 200), SIZE), fit((520, 390), SIZE), affine.IDENTITY, noise)
    assert smallest_determinant(integrate(noise)) <= 0
    assert not tame.folds()
    assert folding_fraction(tame.field_px()) == 0
