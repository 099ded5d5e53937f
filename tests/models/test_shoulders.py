"""Shoulders with hanging arms lie beside the lungs, each on its side."""

import numpy as np
import pytest

from models.shoulders import draw_shoulders, random_shoulders

SPACING_MM = 400.0 / 160


def lungs() -> np.ndarray:
    """Two plain lungs on a film of 160 px."""
    rows, columns = np.mgrid[:160, :160]
    sides = [((columns - c) / 24) ** 2 + ((rows - 85) / 48) ** 2 < 1 for c in (52, 108)]
    return np.stack(sides)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("anterior", [True, False])
def test_bones_lie_on_their_own_side(seed: int, anterior: bool) -> None:
    shoulders = random_shoulders(np.random.default_rng(seed), anterior=anterior)
    drawn = draw_shoulders(lungs(), shoulders, SPACING_MM)
    assert drawn is not None
    bone, flesh, masks = drawn
    assert masks.any((1, 2)).all()
    for right, left in ((0, 1), (2, 3)):
        assert np.nonzero(masks[right])[1].mean() < 60
        assert np.nonzero(masks[left])[1].mean() > 100
    assert bone[masks.any(0)].mean() > 0.05
    assert flesh[masks[2:].any(0)].mean() > 1.0
    assert (bone >= 0).all()


def test_the_scapula_reaches_below_the_clavicle_and_further_out() -> None:
    shoulders = random_shoulders(np.random.default_rng(3), anterior=False)
    drawn = draw_shoulders(lungs(), shoulders, SPACING_MM)
    assert drawn is not None
    masks = drawn[2]
    clavicle, scapula = np.argwhere(masks[1]), np.argwhere(masks[3])
    assert scapula[:, 0].max() > clavicle[:, 0].max()
    assert scapula[:, 1].mean() > clavicle[:, 1].mean()


def test_a_film_without_a_lung_gets_no_shoulders() -> None:
    one = lungs()
    one[0] = False
    shoulders = random_shoulders(np.random.default_rng(0), anterior=True)
    assert draw_shoulders(one, shoulders, SPACING_MM) is None
