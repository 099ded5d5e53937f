from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.severity.paint import LEAST_FILLED, Painted, paint

SIDE = 96


def chest() -> tuple[np.ndarray, np.ndarray]:
    """A dark pair of lungs in a bright body, and its six zones."""
    zones = np.zeros((6, SIDE, SIDE), np.float32)
    for side, columns in enumerate((slice(12, 42), slice(54, 84))):
        for third in range(3):
            zones[3 * side + third, 9 + 26 * third : 9 + 26 * (third + 1), columns] = 1.0
    view = np.where(zones.max(axis=0) > 0, 0.2, 0.8).astype(np.float32)
    return view, zones


def painted(seed: int) -> tuple[Painted, np.ndarray, np.ndarray]:
    view, zones = chest()
    return paint(view, zones, np.random.default_rng(seed)), view, zones


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_paint_stays_in_the_lungs_and_only_makes_them_denser(seed: int) -> None:
    made, view, zones = painted(seed)
    lungs = zones.max(axis=0) > 0
    assert not made.opacity[~lungs].any()
    assert (made.view >= view - 1e-6).all()
    assert made.view.max() <= 1.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_the_truth_is_counted_from_what_was_painted(seed: int) -> None:
    made, _, zones = painted(seed)
    shares = [(made.opacity * zone).sum() / zone.sum() for zone in zones]
    np.testing.assert_allclose(made.zones, shares, atol=1e-5)
    assert 0.0 <= made.extent <= 1.0
    lungs = zones.reshape(2, 3, SIDE, SIDE).max(axis=1)
    filled = [(made.opacity * lung).sum() / lung.sum() for lung in lungs]
    assert (made.extent > 0.0) == (max(filled) > LEAST_FILLED)


def test_every_extent_is_painted_some_time() -> None:
    extents = [painted(seed)[0].extent for seed in range(120)]
    assert min(extents) < 0.1
    assert max(extents) > 0.9
