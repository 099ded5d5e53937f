"""The shipped network on drawn films, and the record that it fills."""

from dataclasses import replace

import numpy as np
import pytest

from models.frame import fit, from_frame
from models.phantom import draw
from models.radiograph import Radiograph
from models.structures.anatomy import STRUCTURES
from models.structures.predict import Structures, label

RIGHT, LEFT = STRUCTURES.index("right_lung"), STRUCTURES.index("left_lung")


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def blob(shape: tuple[int, int], side: int = 128) -> Structures:
    """A record with one smooth blob for every structure."""
    rows, columns = np.mgrid[:side, :side].astype(np.float32) / side
    frame = fit(shape, 256)
    distance = [np.hypot(rows - 0.5, columns - 0.4 - 0.01 * k) for k in range(20)]
    maps = np.clip(1.0 - 2.5 * np.stack(distance), 0.0, 1.0).astype(np.float32)
    return Structures(maps, frame, (True,) * 20, (0.2, 0.2), "drawn")


@pytest.mark.parametrize("shape", [(300, 300), (500, 400), (333, 800)])
def test_masks_are_the_enlarged_probabilities_above_one_half(shape: tuple[int, int]) -> None:
    structures = blob(shape)
    masks = structures.masks()
    whole = from_frame(structures.probabilities, structures.frame) > 0.5
    assert masks.shape == (20, *shape)
    assert (masks != whole).mean() < 1e-3
    assert np.array_equal(structures.mask("right_lung"), masks[RIGHT])


def test_areas_are_those_of_the_masks_and_scale_with_spacing() -> None:
    structures = blob((512, 400))
    pixels = structures.masks().sum(axis=(1, 2))
    areas = np.array(structures.areas_mm2(), dtype=float)
    assert areas == pytest.approx(pixels * 0.04, rel=0.01)
    wider = replace(structures, spacing_mm=(0.4, 0.2)).areas_mm2()
    assert np.array(wider, dtype=float) == pytest.approx(2 * areas)


def test_an_invisible_structure_has_no_area() -> None:
    structures = replace(blob((200, 200)), visible=(False,) * 20)
    assert structures.areas_mm2() == (None,) * 20


def test_both_lungs_of_a_drawn_film_are_found_on_their_sides() -> None:
    phantom = draw(1, 0.0, 384)
    found = label(phantom.radiograph())
    masks = found.masks()
    assert masks.shape == (20, 384, 384)
    assert found.visible[RIGHT]
    assert found.visible[LEFT]
    assert dice(masks[RIGHT], phantom.masks[RIGHT]) > 0.8
    assert dice(masks[LEFT], phantom.masks[LEFT]) > 0.8


def test_opacities_do_not_take_the_lungs_away() -> None:
    clear, ill = draw(6, 0.0, 384), draw(6, 5.0, 384)
    one, other = label(clear.radiograph()), label(ill.radiograph())
    assert dice(one.masks()[:2].any(0), other.masks()[:2].any(0)) > 0.8


def test_labels_do_not_depend_on_what_was_labelled_before() -> None:
    one, other = draw(7, 0.0, 256).radiograph(), draw(8, 3.0, 256).radiograph()
    first = label(one).probabilities
    label(other)
    assert np.array_equal(label(one).probabilities, first)


def test_a_mirrored_film_swaps_the_lungs() -> None:
    phantom = draw(9, 0.0, 384)
    plain = label(phantom.radiograph()).masks()
    pixels = np.ascontiguousarray(phantom.pixels[:, ::-1])
    mirrored = label(Radiograph(pixels, spacing_mm=phantom.spacing_mm)).masks()[:, :, ::-1]
    assert dice(plain[RIGHT], mirrored[LEFT]) > 0.7
    assert dice(plain[LEFT], mirrored[RIGHT]) > 0.7


def test_a_film_without_contrast_shows_no_structure() -> None:
    empty = label(Radiograph(np.full((300, 200), 0.5, np.float32)))
    assert not any(empty.visible)
    assert empty.areas_mm2() == (None,) * 20
