"""Patchy lung opacities of known extent, for phantoms, projections and training films.

Opacities follow the habit of viral pneumonia: patchy, bilateral, more in the lower and outer lung.
The same random generator gives the same pattern at every extent, so that disease grows and shrinks
in place between two films of one patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.frame import resize

FULL_LUNG = 0.95
"""Share of a lung's projected area that counts as the full score of 4."""


@dataclass(frozen=True, slots=True)
class Opacities:
    """Where opacity lies and how much of each lung it fills.

    Parameters
    ----------
    density : (H, W) in [0, 1]; 1 where the opacity is densest, 0 outside the lungs.
    lung_scores : (right, left) geographic extent, 0-4 each; higher is worse.
    zones : right upper, middle, lower, left upper, middle, lower; 0-3 each; higher is worse.
    """

    density: NDArray[np.float32]
    lung_scores: tuple[float, float]
    zones: tuple[float, ...]

    @property
    def extent(self) -> float:
        """Geographic extent of both lungs, 0-8."""
        return sum(self.lung_scores)


def patchy(lungs: NDArray[np.bool_], extent: float, rng: np.random.Generator) -> Opacities:
    """Opacities that fill the two lungs to `extent`.

    Parameters
    ----------
    lungs : (2, H, W), right lung then left lung as projected.
    extent : 0-8, geographic extent wanted; the sides share it unevenly.
    rng : the patient's generator; it is used equally whatever the extent.

    Raises
    ------
    ValueError : `extent` outside 0-8.
    """
    if not 0.0 <= extent <= 8.0:
        raise ValueError(f"extent must be 0 to 8, found {extent}; give the sum of both lungs")
    share = rng.uniform(0.38, 0.62)
    right = float(np.clip(extent * share, extent - 4.0, 4.0))
    density = np.zeros(lungs.shape[1:], np.float32)
    filled = [
        _fill(density, lung, score, rng)
        for lung, score in zip(lungs, (right, extent - right), strict=True)
    ]
    scores = [
        4.0 * min(1.0, _share(where, lung) / FULL_LUNG)
        for where, lung in zip(filled, lungs, strict=True)
    ]
    zones = [
        3.0 * _share(where, third)
        for where, lung in zip(filled, lungs, strict=True)
        for third in thirds(lung)
    ]
    return Opacities(density, (scores[0], scores[1]), tuple(zones))


def thirds(lung: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(H, W) lung to (3, H, W): its upper, middle and lower third by height."""
    rows = np.flatnonzero(lung.any(axis=1))
    parts = np.zeros((3, *lung.shape), bool)
    if rows.size:
        edges = np.linspace(rows[0], rows[-1] + 1, 4).round().astype(int)
        for part, (top, bottom) in zip(parts, pairwise(edges), strict=True):
            part[top:bottom] = lung[top:bottom]
    return parts


def _share(where: NDArray[np.bool_], region: NDArray[np.bool_]) -> float:
    return float((where & region).sum() / max(1, region.sum()))


def _fill(
    density: NDArray[np.float32],
    lung: NDArray[np.bool_],
    score: float,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Add the opacity of one lung to `density`; return the pixels that it covers."""
    coarse, fine = rng.normal(size=(6, 4)), rng.normal(size=(22, 14))
    consolidation, lower, outer = (
        rng.uniform(0.0, 1.0),
        rng.uniform(1.0, 2.2),
        rng.uniform(0.5, 1.5),
    )
    covered = np.zeros_like(lung)
    rows, columns = np.flatnonzero(lung.any(axis=1)), np.flatnonzero(lung.any(axis=0))
    if score <= 0.0 or rows.size < 4 or columns.size < 4:
        return covered
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    inside = lung[box]
    edge = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    field = _stretch(coarse, inside.shape) + 0.6 * _stretch(fine, inside.shape)
    field += lower * np.linspace(0.0, 1.0, inside.shape[0])[:, None]
    field += outer * (1.0 - edge / edge.max())
    level = np.quantile(field[inside], 1.0 - FULL_LUNG * score / 4.0)
    depth = (field - level) / max(float(field[inside].std()), 1e-6)
    covered[box] = inside & (depth >= 0.0)
    ramp = np.clip(depth / 1.1 + 0.3, 0.0, 1.0) * (0.55 + 0.45 * consolidation)
    density[box] += (np.where(inside, ramp, 0.0) * np.clip(edge / 3.0, 0.0, 1.0)).astype(np.float32)
    return covered


def _stretch(grid: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    return resize(grid.astype(np.float32), shape).astype(np.float64)
