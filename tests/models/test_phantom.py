"""The drawn film: reproducible, labelled, of the extent that was asked for."""

import numpy as np
import pytest

from models.phantom import FIELD_MM, draw
from models.structures.anatomy import STRUCTURES

RIGHT, LEFT = STRUCTURES.index("right_lung"), STRUCTURES.index("left_lung")


def test_the_same_seed_draws_the_same_film() -> None:
    one, other = draw(5, 3.0, 128), draw(5, 3.0, 128)
    assert np.array_equal(one.pixels, other.pixels)
    assert np.array_equal(one.masks, other.masks)


@pytest.mark.parametrize("extent", [0.0, 1.5, 4.0, 7.5])
def test_opacities_fill_the_extent_that_was_asked_for(extent: float) -> None:
    phantom = draw(2, extent, 256)
    assert phantom.extent == pytest.approx(extent, abs=0.05)
    assert len(phantom.zones) == 6
    assert all(0.0 <= zone <= 3.0 for zone in phantom.zones)
    assert (phantom.opacity.max() > 0) == (extent > 0)


def test_disease_of_one_patient_grows_in_place() -> None:
    early, late = draw(3, 2.0, 128), draw(3, 6.0, 128)
    assert np.all(late.opacity[early.opacity > 0.5] > 0.5)


def test_another_pose_is_another_film_of_the_same_patient() -> None:
    one, other = draw(4, 0.0, 128, pose=0), draw(4, 0.0, 128, pose=1)
    assert not np.array_equal(one.masks, other.masks)
    heart = STRUCTURES.index("heart")
    ratio = one.masks[heart].sum() / other.masks[heart].sum()
    assert 0.7 < ratio < 1.4


def test_pixels_are_a_film_and_masks_lie_on_it() -> None:
    phantom = draw(0, 2.0, 200)
    assert phantom.pixels.shape == (200, 200)
    assert phantom.pixels.dtype == np.float32
    assert phantom.pixels.min() >= 0.0
    assert phantom.pixels.max() <= 1.0
    assert phantom.masks.shape == (20, 200, 200)
    assert phantom.masks.any(axis=(1, 2)).all()
    assert phantom.spacing_mm == (FIELD_MM / 200, FIELD_MM / 200)
    assert phantom.radiograph().spacing_mm == phantom.spacing_mm


def test_lungs_are_dark_and_the_right_one_is_on_the_left_of_the_film() -> None:
    phantom = draw(1, 0.0, 200)
    spine = phantom.masks[STRUCTURES.index("thoracic_spine")] & ~phantom.masks[:2].any(axis=0)
    for lung in (RIGHT, LEFT):
        assert phantom.pixels[phantom.masks[lung]].mean() < phantom.pixels[spine].mean() - 0.2
    columns = [np.nonzero(phantom.masks[lung])[1].mean() for lung in (RIGHT, LEFT)]
    assert columns[0] < 100 < columns[1]


def test_a_size_too_small_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 64"):
        draw(0, size=32)
