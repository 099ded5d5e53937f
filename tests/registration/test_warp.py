"""Displacement fields obey their algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from registration import warp


def smooth_velocity(seed: int, size: int = 64, largest: float = 3.0) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(size=(2, size, size))
    smooth = np.stack([gaussian_filter(part, size / 10) for part in noise])
    return (smooth * largest / np.abs(smooth).max()).astype(np.float32)


def picture(seed: int, size: int = 64) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).random((size, size))
    return gaussian_filter(noise, 3).astype(np.float32)


def test_the_identity_field_leaves_a_picture_as_it_is() -> None:
    image = picture(1)
    np.testing.assert_allclose(warp.warp(image, np.zeros((2, 64, 64), np.float32)), image)


@given(st.integers(-5, 5), st.integers(-5, 5))
def test_a_constant_field_moves_by_whole_pixels(rows: int, columns: int) -> None:
    image = picture(2)
    field = np.empty((2, 64, 64), np.float32)
    field[0], field[1] = rows, columns
    moved = warp.warp(image, field)
    np.testing.assert_allclose(
        moved[10:50, 10:50], image[10 + rows : 50 + rows, 10 + columns : 50 + columns], atol=1e-6
    )


@given(st.integers(0, 30))
def test_the_integral_of_a_velocity_and_of_its_negative_undo_each_other(seed: int) -> None:
    velocity = smooth_velocity(seed)
    there, back = warp.integrate(velocity), warp.integrate(-velocity)
    inner = (slice(None), slice(8, -8), slice(8, -8))
    assert np.abs(warp.compose(there, back)[inner]).max() < 0.1


@given(st.integers(0, 30))
def test_an_integrated_velocity_never_folds(seed: int) -> None:
    field = warp.integrate(smooth_velocity(seed, largest=6.0))
    assert warp.folding_fraction(field) == 0


@given(st.integers(0, 30))
def test_inverting_a_field_undoes_it(seed: int) -> None:
    field = warp.integrate(smooth_velocity(seed))
    inner = (slice(None), slice(8, -8), slice(8, -8))
    assert np.abs(warp.compose(field, warp.invert(field))[inner]).max() < 0.05


def test_warping_by_a_composition_equals_warping_twice() -> None:
    image = picture(3)
    first, second = (warp.integrate(smooth_velocity(seed)) for seed in (4, 5))
    twice = warp.warp(warp.warp(image, second), first)
    once = warp.warp(image, warp.compose(first, second))
    np.testing.assert_allclose(once[12:-12, 12:-12], twice[12:-12, 12:-12], atol=0.01)


def test_a_fold_is_found() -> None:
    field = np.zeros((2, 32, 32), np.float32)
    field[0] = -2 * np.arange(32, dtype=np.float32)[:, None]  # rows in reverse order
    assert warp.folding_fraction(field) == 1.0


def test_upsampling_a_field_scales_its_displacements() -> None:
    field = np.full((2, 16, 16), 2.0, np.float32)
    np.testing.assert_allclose(warp.upsample(field, (32, 64))[:, 5, 5], (4.0, 8.0))


def test_a_field_of_another_shape_is_refused_with_both_shapes() -> None:
    with pytest.raises(warp.ShapeError, match=r"\(8, 8\)"):
        warp.warp(np.zeros((8, 8), np.float32), np.zeros((3, 8, 8), np.float32))
    with pytest.raises(warp.ShapeError):
        warp.compose(np.zeros((2, 8, 8), np.float32), np.zeros((2, 9, 8), np.float32))


@pytest.mark.parametrize("edge", [True, False])
def test_a_sampler_of_many_maps_gives_what_one_by_one_gives(edge: bool) -> None:
    maps = np.stack([picture(seed) for seed in range(3)])
    points = warp.identity_grid((64, 64)) + 20 * smooth_velocity(5)
    expected = np.stack([warp.sample(one, points, edge=edge) for one in maps])
    np.testing.assert_allclose(warp.sampler(maps, edge=edge)(points), expected, atol=1e-5)


@given(st.integers(0, 30))
def test_the_smallest_area_bounds_the_areas_of_every_finer_grid(seed: int) -> None:
    field = smooth_velocity(seed, largest=9.0)
    fine = warp.jacobian_determinant(warp.upsample(field, (256, 256)))[8:-8, 8:-8]
    assert warp.smallest_determinant(field) <= fine.min() + 1e-3
