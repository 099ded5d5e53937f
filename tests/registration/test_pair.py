"""Two films of one drawn patient come onto one grid by their structures."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models import frame, phantom
from models.structures.predict import Structures
from registration import quality
from registration.pair import GUIDES, SIZE, Side, side
from registration.predict import map_between
from registration.warp import warp


def still(moving: NDArray[np.float32], fixed: NDArray[np.float32]) -> NDArray[np.float32]:
    """A network that sees nothing to deform."""
    return np.zeros((2, SIZE, SIZE), np.float32)


def perfect(drawn: phantom.Phantom) -> Structures:
    """The structures as they were drawn."""
    place = frame.fit(drawn.pixels.shape, 256)
    maps = [frame.resize(one.astype(np.float32), (128, 128)) for one in drawn.masks]
    seen = tuple(bool(one.any()) for one in drawn.masks)
    return Structures(np.stack(maps), place, seen, drawn.spacing_mm, "drawn")


def drawn_side(seed: int, pose: int, extent: float = 0.0) -> Side:
    drawn = phantom.draw(seed, extent=extent, size=256, pose=pose)
    return side(drawn.radiograph(), perfect(drawn))


def lungs_dice(prior: Side, current: Side, field: NDArray[np.float32] | None) -> float:
    moved = prior.guides[:2] if field is None else [warp(one, field) for one in prior.guides[:2]]
    pairs = zip(moved, current.guides[:2], strict=True)
    return float(np.mean([quality.dice(m > 0.5, f > 0.5) for m, f in pairs]))


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 20), st.integers(1, 5))
def test_the_affine_brings_another_pose_of_a_patient_onto_the_first(seed: int, pose: int) -> None:
    prior, current = drawn_side(seed, 0), drawn_side(seed, pose)
    field = map_between(prior, current, still).on_frame()
    assert lungs_dice(prior, current, field) > 0.9
    assert lungs_dice(prior, current, field) >= lungs_dice(prior, current, None) - 0.01


def test_an_opacity_does_not_pull_on_the_affine() -> None:
    current = drawn_side(3, 1)
    clear = map_between(drawn_side(3, 0), current, still).matrix
    ill = map_between(drawn_side(3, 0, extent=6.0), current, still).matrix
    np.testing.assert_allclose(ill, clear, atol=1e-6)


def test_a_side_has_the_film_and_every_guide_on_the_frame() -> None:
    one = drawn_side(1, 0)
    assert one.channels().shape == (1 + len(GUIDES), SIZE, SIZE)
    assert 0 <= one.film.min() <= one.film.max() <= 1
