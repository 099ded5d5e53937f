"""Numbers that a radiologist would take off the labels: widths, areas, zones, angle, outlines."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.frame import resize
from models.opacity import thirds
from models.structures.anatomy import STRUCTURES
from models.structures.predict import Structures

PLAUSIBLE_CARINA_DEG = (30.0, 130.0)
"""Interbronchial angles outside this are taken for a failed outline, not reported."""

_LEAST_ROWS = 6
"""Rows of the network's frame over which both main bronchi must be seen apart."""


@dataclass(frozen=True, slots=True)
class Measures:
    """Measures of one film; None where they cannot be taken.

    Parameters
    ----------
    cardiothoracic_ratio : widest heart over widest chest (between the outer lung borders), 0-1.
        Above 0.5 on an erect PA film suggests an enlarged heart; an AP film enlarges it anyway.
    right_lung_area_mm2, left_lung_area_mm2 : projected area, not corrected for magnification.
    carina_angle_deg : between the main bronchi; above about 100 suggests an enlarged left atrium.
    """

    cardiothoracic_ratio: float | None
    right_lung_area_mm2: float | None
    left_lung_area_mm2: float | None
    carina_angle_deg: float | None


def measure(structures: Structures) -> Measures:
    """Take the measures of one film."""
    areas = dict(zip(STRUCTURES, structures.areas_mm2(), strict=True))
    return Measures(
        cardiothoracic_ratio=_cardiothoracic_ratio(structures),
        right_lung_area_mm2=areas["right_lung"],
        left_lung_area_mm2=areas["left_lung"],
        carina_angle_deg=_carina_angle(structures),
    )


def zone_masks(structures: Structures) -> NDArray[np.bool_]:
    """(6, S, S) over the network's frame: right upper, middle, lower third, then left.

    Each lung is cut into thirds of its own height.
    """
    lungs = structures.probabilities[[STRUCTURES.index(f"{s}_lung") for s in ("right", "left")]]
    return np.concatenate([thirds(lung > 0.5) for lung in lungs])


def contours(mask: NDArray[np.bool_]) -> list[list[tuple[float, float]]]:
    """Closed outlines (row, column) of a mask (H, W), along the edges of its pixels.

    Pixel (r, c) covers rows r to r + 1 and columns c to c + 1, so that the outlines enclose exactly
    the mask. Holes have outlines of their own, in the opposite sense. Points on straight runs are
    left out; the last point equals the first.
    """
    following = _edges(mask)
    outlines = []
    while following:
        start = next(iter(following))
        loop, here = [start], _step(following, start)
        while here != start:
            loop.append(here)
            here = _step(following, here)
        outlines.append(_corners(loop))
    return outlines


def _edges(mask: NDArray[np.bool_]) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Directed pixel edges between inside and outside, inside on the right hand."""
    padded = np.pad(mask.astype(np.int8), 1)
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}
    # A step down between rows r-1 and r runs along row r; a step right along column c.
    for sign, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
        where = np.argwhere(np.diff(padded, axis=axis) == sign)
        for r, c in where.tolist():
            if axis == 0:  # edge from (r, c - 1) to (r, c); rightwards where the inside is below
                ends = ((r, c - 1), (r, c)) if sign > 0 else ((r, c), (r, c - 1))
            else:  # edge from (r - 1, c) to (r, c); upwards where the inside is to the right
                ends = ((r, c), (r - 1, c)) if sign > 0 else ((r - 1, c), (r, c))
            following.setdefault(ends[0], []).append(ends[1])
    return following


def _step(
    following: dict[tuple[int, int], list[tuple[int, int]]], here: tuple[int, int]
) -> tuple[int, int]:
    ways = following[here]
    onward = ways.pop()
    if not ways:
        del following[here]
    return onward


def _corners(loop: list[tuple[int, int]]) -> list[tuple[float, float]]:
    points = np.asarray([*loop, loop[0]], dtype=np.float64)
    before = np.roll(points[:-1], 1, axis=0)
    turns = np.any(points[:-1] - before != points[1:] - points[:-1], axis=1)
    kept = points[:-1][turns]
    return [(float(r), float(c)) for r, c in [*kept, kept[0]]]


def _inside(structures: Structures, name: str) -> NDArray[np.bool_] | None:
    """A visible structure's mask at the frame's own resolution, else None."""
    index = STRUCTURES.index(name)
    if not structures.visible[index]:
        return None
    size = structures.frame.size
    return resize(structures.probabilities[index], (size, size)) > 0.5


def _cardiothoracic_ratio(structures: Structures) -> float | None:
    heart, right, left = (_inside(structures, n) for n in ("heart", "right_lung", "left_lung"))
    if heart is None or right is None or left is None:
        return None
    columns = np.flatnonzero(heart.any(axis=0))
    rows = right.any(axis=1) & left.any(axis=1)
    if not columns.size or not rows.any():
        return None
    outer_right = right[rows].argmax(axis=1)
    outer_left = left.shape[1] - left[rows][:, ::-1].argmax(axis=1)
    chest = float((outer_left - outer_right).max())
    return float(columns[-1] + 1 - columns[0]) / chest if chest > 0 else None


def _carina_angle(structures: Structures) -> float | None:
    airways = _inside(structures, "trachea")
    if airways is None:
        return None
    forks = [_two_runs(row) for row in airways]
    rows = [r for r, fork in enumerate(forks) if fork is not None]
    if len(rows) < _LEAST_ROWS:
        return None
    centres = np.array([forks[r] for r in rows])
    right, left = (float(np.polyfit(rows, centres[:, k], 1)[0]) for k in (0, 1))
    angle = math.degrees(math.atan(-right) + math.atan(left))
    low, high = PLAUSIBLE_CARINA_DEG
    return angle if low <= angle <= high else None


def _two_runs(row: NDArray[np.bool_]) -> tuple[float, float] | None:
    """Centres of the two runs of a row that has exactly two, else None."""
    steps = np.flatnonzero(np.diff(np.pad(row.astype(np.int8), 1)))
    if len(steps) != 4:
        return None
    return float(steps[0] + steps[1]) / 2, float(steps[2] + steps[3]) / 2
