"""The gate lets good alignments through and names what is wrong with the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from registration.quality import FEWEST, dice, likeness, refusal

from .test_mapping import SIZE, still

OTHERS = {f"structure {n}": 0.8 for n in range(FEWEST)}
GOOD = {"right_lung": 0.95, "left_lung": 0.94, **OTHERS}
BEFORE = {"right_lung": 0.85, "left_lung": 0.84, **OTHERS}


def test_a_good_alignment_passes() -> None:
    assert refusal(still((64, 64), (64, 64)), BEFORE, GOOD) == ""


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (BEFORE, {"right_lung": 0.95, **OTHERS}, "lungs_not_found: left_lung"),
        (BEFORE, {"right_lung": 0.95, "left_lung": 0.94}, "only 2 structures"),
        (BEFORE, {**GOOD, **dict.fromkeys(OTHERS, 0.4)}, "in the mean"),
        (BEFORE, {**GOOD, "left_lung": 0.6}, "misaligned: left_lung"),
        ({**BEFORE, "right_lung": 0.99}, {**GOOD, "right_lung": 0.9}, "fits worse than before"),
    ],
)
def test_a_poor_overlap_is_refused(
    before: dict[str, float], after: dict[str, float], reason: str
) -> None:
    assert reason in refusal(still((64, 64), (64, 64)), before, after)


@pytest.mark.parametrize(
    ("linear", "reason"),
    [
        ([[2.0, 0.0], [0.0, 1.0]], "scale"),
        ([[0.7, -0.7], [0.7, 0.7]], "degrees apart"),
        ([[1.0, 0.0], [0.0, -1.0]], "mirrored"),
    ],
)
def test_an_implausible_affine_is_refused(linear: list[list[float]], reason: str) -> None:
    matrix = np.column_stack([np.array(linear), np.zeros(2)])
    found = refusal(replace(still((64, 64), (64, 64)), matrix=matrix), BEFORE, GOOD)
    assert found.startswith("implausible")
    assert reason in found


def test_a_folding_field_is_refused() -> None:
    folded = np.zeros((2, SIZE, SIZE), np.float32)
    folded[0, 20:40] = -3 * np.arange(20, dtype=np.float32)[:, None]
    found = refusal(replace(still((64, 64), (64, 64)), forward=folded), BEFORE, GOOD)
    assert found.startswith("folded")


def test_dice_of_equal_and_of_disjoint_masks() -> None:
    mask = np.zeros((8, 8), bool)
    mask[:4] = True
    assert dice(mask, mask) == 1.0
    assert dice(mask, ~mask) == 0.0
    assert dice(mask & False, mask & False) == 1.0


def test_a_film_is_more_like_itself_than_like_its_mirror_image() -> None:
    lungs = np.zeros((64, 64), np.float32)
    lungs[16:48, 10:54] = 1
    film = np.full((64, 64), 0.5, np.float32)
    film[24:44, 34:46] = 0.9  # a heart to the image's right
    assert likeness(film, film, lungs) > 0.2
    assert likeness(np.ascontiguousarray(film[:, ::-1]), film, lungs) < -0.2
    assert likeness(film, film, lungs * 0) == 0


def test_a_film_like_the_others_mirror_image_is_refused() -> None:
    assert "mirror image" in refusal(still((64, 64), (64, 64)), BEFORE, GOOD, likeness=-0.1)
