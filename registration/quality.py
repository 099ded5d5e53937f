"""When an alignment may be shown: the gate between registration and everything drawn from it."""

from __future__ import annotations

from collections.abc import Mapping as Table

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from registration.mapping import Mapping
from registration.warp import identity_grid, sample

LUNGS = ("right_lung", "left_lung")
FEWEST = 7  # structures seen on both films; a film turned aside or of another part shows fewer
LOWEST_MEAN_DICE = 0.70  # of all structures; pairs of training patients had 0.79 and more
LEAST_LIKENESS = 0.0  # by how much a film is more like the other than like its mirror image
LOWEST_LUNG_DICE = 0.80  # below this, anatomy is visibly elsewhere
LARGEST_LOSS = 0.02  # an alignment must not make the lungs fit worse than no alignment
LARGEST_SCALE = 1.6  # two frontal films of one adult; beyond it one is not what it seems
LARGEST_ROTATION_DEG = 30.0


def dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Overlap of two masks of any one shape, 0-1; two empty masks agree fully."""
    total = int(first.sum()) + int(second.sum())
    return 1.0 if total == 0 else 2.0 * float(np.logical_and(first, second).sum()) / total


def refusal(
    mapping: Mapping,
    before: Table[str, float],
    after: Table[str, float],
    likeness: float = 1.0,
) -> str:
    """Why this alignment must not be shown, in words; empty when it may.

    Parameters
    ----------
    before, after : Dice of every structure seen on both films, letterboxed only and aligned.
    likeness : see `likeness`.
    """
    missing = [name for name in LUNGS if name not in after]
    if missing:
        return f"lungs_not_found: {' and '.join(missing)} not visible on both films"
    if len(after) < FEWEST:
        return f"implausible: only {len(after)} structures are seen on both films"
    for check in (_scale, _rotation, _folding):
        if reason := check(mapping):
            return reason
    if likeness < LEAST_LIKENESS:
        return "implausible: one film is more like the other's mirror image"
    return _overlap(before, after)


def likeness(
    warped: NDArray[np.float32], film: NDArray[np.float32], lungs: NDArray[np.float32]
) -> float:
    """How much more a film correlates with the aligned one than with its mirror image.

    Parameters
    ----------
    warped, film : (s, s) local contrast of the prior film after the affine and of the current one.
    lungs : (s, s) probability of lung on the current frame; the mirror stands in their middle.
    """
    weight = gaussian_filter(lungs, 2.0)
    if weight.sum() < 1:
        return 0.0
    grid = identity_grid((film.shape[0], film.shape[1]))
    middle = float((grid[1] * lungs).sum() / lungs.sum())
    image = sample(warped, np.stack([grid[0], 2 * middle - grid[1]]))
    itself, mirrored, other = (gaussian_filter(one, 2.0) for one in (warped, image, film))
    return _correlation(itself, other, weight) - _correlation(mirrored, other, weight)


def _correlation(
    one: NDArray[np.float32], other: NDArray[np.float32], weight: NDArray[np.float32]
) -> float:
    """Pearson's r under a weight; 0 where one side is constant."""
    total = weight.sum()
    x, y = one - (one * weight).sum() / total, other - (other * weight).sum() / total
    scale = float(np.sqrt((x * x * weight).sum() * (y * y * weight).sum()))
    return float((x * y * weight).sum()) / scale if scale > 1e-9 else 0.0


def _scale(mapping: Mapping) -> str:
    stretches = np.linalg.svd(mapping.matrix[:, :2], compute_uv=False)
    if stretches.max() > LARGEST_SCALE or stretches.min() < 1 / LARGEST_SCALE:
        return f"implausible: films differ in scale by {stretches.max():.2f}/{stretches.min():.2f}"
    return ""


def _rotation(mapping: Mapping) -> str:
    if np.linalg.det(mapping.matrix[:, :2]) <= 0:
        return "implausible: one film is mirrored"
    left, _, right = np.linalg.svd(mapping.matrix[:, :2])
    turn = left @ right
    angle = abs(np.degrees(np.arctan2(turn[1, 0], turn[0, 0])))
    return (
        f"implausible: films are {angle:.0f} degrees apart" if angle > LARGEST_ROTATION_DEG else ""
    )


def _folding(mapping: Mapping) -> str:
    return "folded: the field folds" if mapping.folds() else ""


def _overlap(before: Table[str, float], after: Table[str, float]) -> str:
    for name in LUNGS:
        if after[name] < LOWEST_LUNG_DICE:
            return f"misaligned: {name} overlaps with Dice {after[name]:.2f} after alignment"
        if after[name] < before[name] - LARGEST_LOSS:
            return f"misaligned: {name} fits worse than before ({after[name]:.2f})"
    mean = float(np.mean(list(after.values())))
    if mean < LOWEST_MEAN_DICE:
        return f"misaligned: structures overlap with Dice {mean:.2f} in the mean after alignment"
    return ""
