"""Run lengths and grids of masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from service.errors import UsageError
from service.review.mask import dice, enlarged, mask_png, packed, unpacked

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.booleans())


@given(MASKS)
def test_a_mask_comes_back_from_its_runs(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(unpacked(packed(mask), mask.shape, mask.shape), mask)


@given(MASKS)
def test_a_mask_agrees_with_itself_and_comes_back_from_its_picture(mask: np.ndarray) -> None:
    assert dice(mask, mask) == 1.0
    np.testing.assert_array_equal(enlarged(mask_png(mask), mask.shape), mask)


def test_a_larger_grid_keeps_the_share_of_the_area() -> None:
    mask = np.zeros((40, 30), bool)
    mask[10:30, 5:20] = True
    large = enlarged(mask_png(mask), (400, 300))
    assert large.mean() == pytest.approx(mask.mean(), rel=0.02)


@pytest.mark.parametrize(("runs", "shape"), [([3, 2], (2, 3)), ([6], (3, 2)), ([], (2, 3))])
def test_runs_of_another_film_are_turned_down(runs: list[int], shape: tuple[int, int]) -> None:
    with pytest.raises(UsageError):
        unpacked(runs, shape, (2, 3))
