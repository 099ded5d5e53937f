"""The affine part is found from structures alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from registration import affine
from registration.warp import identity_grid, sample

SIZE = 64


def chest() -> NDArray[np.float32]:
    """(4, 64, 64): two lungs, a mediastinum and a trachea as soft ellipses."""
    grid = identity_grid((SIZE, SIZE))
    shapes = ((30, 20, 18, 9), (30, 44, 17, 8), (38, 34, 14, 8), (16, 32, 8, 3))
    parts = []
    for row, column, tall, wide in shapes:
        distance = np.hypot((grid[0] - row) / tall, (grid[1] - column) / wide)
        parts.append(1 / (1 + np.exp(np.clip(8 * (distance - 1), -30, 30))))
    return np.stack(parts).astype(np.float32)


@settings(max_examples=15, deadline=None)
@given(
    st.floats(-0.2, 0.2),
    st.floats(0.85, 1.15),
    st.floats(0.85, 1.15),
    st.floats(-5, 5),
    st.floats(-5, 5),
)
def test_a_known_affine_is_found_within_half_a_pixel(
    turn: float, tall: float, wide: float, down: float, right: float
) -> None:
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = rotation @ np.diag([tall, wide])
    middle = np.full(2, SIZE / 2)
    truth = np.column_stack([linear, middle - linear @ middle + (down, right)])
    grid = identity_grid((SIZE, SIZE))
    moving = chest()
    fixed = np.stack([sample(part, affine.apply(truth, grid)) for part in moving])
    found = affine.estimate(moving, fixed)
    off = affine.apply(found, grid) - affine.apply(truth, grid)
    assert np.hypot(*off)[16:48, 16:48].max() < 0.5


def test_an_affine_and_its_inverse_undo_each_other() -> None:
    matrix = np.array([[1.1, 0.1, 3.0], [-0.2, 0.9, -4.0]])
    points = identity_grid((8, 8))
    there = affine.apply(matrix, points)
    np.testing.assert_allclose(affine.apply(affine.invert(matrix), there), points, atol=1e-4)


def test_an_affine_rescaled_to_a_finer_frame_moves_the_same_anatomy() -> None:
    matrix = np.array([[1.1, 0.1, 3.0], [-0.2, 0.9, -4.0]])
    coarse = np.array([10.0, 20.0])
    expected = (matrix[:, :2] @ coarse + matrix[:, 2] + 0.5) * 3 - 0.5
    fine = affine.rescale(matrix, 3.0)
    np.testing.assert_allclose(fine[:, :2] @ ((coarse + 0.5) * 3 - 0.5) + fine[:, 2], expected)
