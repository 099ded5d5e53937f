from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models import phantom
from models.frame import from_frame
from models.radiograph import Radiograph
from models.refusal import Refusal
from models.severity.lungs import lung_field, lung_view
from models.severity.view import INPUT_CELLS, view_of
from models.structures.anatomy import STRUCTURES
from models.structures.predict import Structures, label

LUNGS = [STRUCTURES.index(name) for name in ("right_lung", "left_lung")]


@pytest.fixture(scope="module")
def film() -> phantom.Phantom:
    return phantom.draw(3, 2.0, size=512)


@pytest.fixture(scope="module")
def structures(film: phantom.Phantom) -> Structures:
    return label(film.radiograph())


def without(structures: Structures, lungs: list[int]) -> Structures:
    """The same labels without some lungs."""
    probabilities = structures.probabilities.copy()
    probabilities[lungs] = 0.0
    return replace(structures, probabilities=probabilities)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Dice."""
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def test_the_window_holds_both_lungs(film: phantom.Phantom, structures: Structures) -> None:
    frame, view = lung_view(film.pixels, lung_field(structures), 256, 1.0)
    inside = from_frame(np.ones((8, 8), np.float32), frame) > 0
    drawn = film.masks[0] | film.masks[1]
    assert (inside & drawn).sum() > 0.97 * drawn.sum()
    assert view.shape == (256, 256)
    assert 0.0 <= view.min() < 0.1 < 0.9 < view.max() <= 1.0


def test_a_hidden_lung_is_replaced_by_the_mirror_image_of_the_other(
    structures: Structures,
) -> None:
    whole = lung_field(structures)
    assert whole.found == (True, True)
    assert whole.note == ""
    half = lung_field(without(structures, LUNGS[:1]))
    assert half.found == (False, True)
    assert half.note.startswith("The right lung does not stand out")
    assert overlap(half.lungs[0] > 0.5, whole.lungs[0] > 0.5) > 0.7
    np.testing.assert_array_equal(half.lungs[1], whole.lungs[1])


def test_a_film_on_which_no_lung_is_seen_is_refused(structures: Structures) -> None:
    with pytest.raises(Refusal) as refused:
        lung_field(without(structures, LUNGS))
    assert refused.value.code == "unlike_training"


@pytest.mark.parametrize("side", [0, 1])
def test_half_a_film_is_refused_and_not_completed_beyond_its_edge(side: int) -> None:
    pixels = phantom.draw(5, 2.0, size=512).pixels
    half = np.ascontiguousarray(pixels[:, 256 * side : 256 * (side + 1)])
    with pytest.raises(Refusal) as refused:
        lung_field(label(Radiograph(half)))
    assert refused.value.code == "not_chest"


def test_zones_in_the_view_are_the_zones_on_the_film(
    film: phantom.Phantom, structures: Structures
) -> None:
    seen = view_of(film.pixels, structures)
    assert seen.zones.shape == (6, INPUT_CELLS, INPUT_CELLS)
    on_film = from_frame(seen.zones, seen.frame) > 0.5
    for one, other in zip(on_film, seen.field.zones_on_film(), strict=True):
        assert overlap(one, other) > 0.9


def test_letters_and_borders_outside_the_lungs_do_not_change_their_shades(
    film: phantom.Phantom, structures: Structures
) -> None:
    marked = film.pixels.copy()
    marked[:12, :] = 1.0
    marked[:, -12:] = 0.0
    field = lung_field(structures)
    plain, other = (lung_view(pixels, field, 256, 1.0)[1] for pixels in (film.pixels, marked))
    assert np.abs(plain - other).mean() < 0.02
