"""Measures of shapes whose answers can be worked out by hand."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from models.frame import fit
from models.structures.anatomy import STRUCTURES
from models.structures.measures import contours, measure, zone_masks
from models.structures.predict import Structures

SIZE = 256


def structures(
    shapes: dict[str, NDArray[np.bool_]], spacing_mm: tuple[float, float] | None = (1.0, 1.0)
) -> Structures:
    maps = np.zeros((20, SIZE, SIZE), np.float32)
    for name, shape in shapes.items():
        maps[STRUCTURES.index(name)] = shape
    return Structures(
        probabilities=maps,
        frame=fit((SIZE, SIZE), SIZE),
        visible=tuple(name in shapes for name in STRUCTURES),
        spacing_mm=spacing_mm,
        model="drawn",
    )


def box(top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[top:bottom, left:right] = True
    return mask


def chest() -> dict[str, NDArray[np.bool_]]:
    return {
        "right_lung": box(40, 160, 30, 110),
        "left_lung": box(40, 160, 140, 230),
        "heart": box(110, 170, 90, 190),
    }


def test_the_cardiothoracic_ratio_is_heart_width_over_chest_width() -> None:
    assert measure(structures(chest())).cardiothoracic_ratio == pytest.approx(100 / 200)


def test_without_a_heart_there_is_no_ratio() -> None:
    shapes = chest()
    del shapes["heart"]
    assert measure(structures(shapes)).cardiothoracic_ratio is None


def test_lung_areas_are_pixels_times_spacing() -> None:
    found = measure(structures(chest(), spacing_mm=(0.5, 2.0)))
    assert found.right_lung_area_mm2 == pytest.approx(120 * 80, rel=1e-3)
    assert found.left_lung_area_mm2 == pytest.approx(120 * 90, rel=1e-3)


def test_without_spacing_there_is_no_area() -> None:
    found = measure(structures(chest(), spacing_mm=None))
    assert found.right_lung_area_mm2 is None
    assert found.cardiothoracic_ratio is not None


@pytest.mark.parametrize("half_angle", [25, 35, 45])
def test_the_carina_angle_is_that_of_the_drawn_bronchi(half_angle: int) -> None:
    canvas = Image.new("1", (SIZE, SIZE))
    pen = ImageDraw.Draw(canvas)
    reach = 50
    pen.line([(128, 40), (128, 100)], fill=1, width=10)
    for side in (-1, 1):
        foot = 128 + side * reach * math.tan(math.radians(half_angle))
        pen.line([(128, 100), (foot, 100 + reach)], fill=1, width=8)
    found = measure(structures({"trachea": np.asarray(canvas)}))
    assert found.carina_angle_deg == pytest.approx(2 * half_angle, abs=8)


def test_a_trachea_without_a_fork_has_no_angle() -> None:
    assert measure(structures({"trachea": box(20, 120, 120, 132)})).carina_angle_deg is None


def test_zones_are_the_thirds_of_each_lung() -> None:
    zones = zone_masks(structures(chest()))
    assert zones.shape == (6, SIZE, SIZE)
    assert np.array_equal(zones[0], box(40, 80, 30, 110))
    assert np.array_equal(zones[5], box(120, 160, 140, 230))
    assert zones.sum(axis=0).max() == 1


def enclosed(
    outlines: list[list[tuple[float, float]]], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Pixels whose centres the outlines enclose an odd number of times (even-odd rule)."""
    crossings = np.zeros(shape, int)
    for outline in outlines:
        for (r0, c0), (r1, c1) in pairwise(outline):
            if c0 == c1:  # a vertical edge toggles every pixel to its right
                low, high = sorted((int(r0), int(r1)))
                crossings[low:high, int(c0) :] += 1
    return crossings % 2 == 1


@settings(max_examples=60, deadline=None)
@given(mask=arrays(bool, (7, 9)))
def test_contours_enclose_exactly_the_mask(mask: NDArray[np.bool_]) -> None:
    outlines = contours(mask)
    assert all(line[0] == line[-1] for line in outlines)
    assert np.array_equal(enclosed(outlines, (7, 9)), mask)


def test_a_rectangle_has_one_outline_of_four_corners() -> None:
    (outline,) = contours(box(10, 20, 30, 50))
    assert set(outline) == {(10, 30), (10, 50), (20, 30), (20, 50)}
    assert len(outline) == 5
