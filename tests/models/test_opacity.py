"""Opacities of known extent."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.opacity import patchy, thirds


def two_lungs() -> np.ndarray:
    lungs = np.zeros((2, 60, 80), bool)
    lungs[0, 5:50, 8:35] = True
    lungs[1, 5:52, 45:72] = True
    return lungs


@settings(max_examples=25, deadline=None)
@given(extent=st.floats(0.0, 8.0), seed=st.integers(0, 10_000))
def test_the_extent_found_is_the_extent_wanted(extent: float, seed: int) -> None:
    opacities = patchy(two_lungs(), extent, np.random.default_rng(seed))
    assert opacities.extent == pytest.approx(extent, abs=0.02)
    assert max(opacities.lung_scores) <= 4.0
    assert not opacities.density[~two_lungs().any(axis=0)].any()


def test_no_lung_means_no_opacity() -> None:
    opacities = patchy(np.zeros((2, 20, 20), bool), 4.0, np.random.default_rng(0))
    assert opacities.extent == 0.0
    assert not opacities.density.any()


def test_extent_outside_the_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="0 to 8"):
        patchy(two_lungs(), 8.5, np.random.default_rng(0))


def test_thirds_divide_a_lung_without_rest() -> None:
    lung = two_lungs()[0]
    parts = thirds(lung)
    assert np.array_equal(parts.sum(axis=0), lung)
    assert [part.any(axis=1).sum() for part in parts] == [15, 15, 15]
