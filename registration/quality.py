"""When an alignment may be shown: the gate between registration and everything drawn from it."""

from __future__ import annotations

from collections.abc import Mapping as Table

import numpy as np
from numpy.typing import NDArray

from registration.mapping import Mapping

LUNGS = ("right_lung", "left_lung")
LOWEST_LUNG_DICE = 0.80  # below this, anatomy is visibly elsewhere
LARGEST_LOSS = 0.02  # an alignment must not make the lungs fit worse than no alignment
LARGEST_FOLDING = 0.0005
LARGEST_SCALE = 1.6  # two frontal films of one adult; beyond it one is not what it seems
LARGEST_ROTATION_DEG = 30.0


def dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Overlap of two masks of any one shape, 0-1; two empty masks agree fully."""
    total = int(first.sum()) + int(second.sum())
    return 1.0 if total == 0 else 2.0 * float(np.logical_and(first, second).sum()) / total


def refusal(mapping: Mapping, before: Table[str, float], after: Table[str, float]) -> str:
    """Why this alignment must not be shown, in words; empty when it may."""
    missing = [name for name in LUNGS if name not in after]
    if missing:
        return f"lungs_not_found: {' and '.join(missing)} not visible on both films"
    for check in (_scale, _rotation, _folding):
        if reason := check(mapping):
            return reason
    return _overlap(before, after)


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
    folded = mapping.folding_fraction()
    return f"folded: {folded:.2%} of the field folds" if folded > LARGEST_FOLDING else ""


def _overlap(before: Table[str, float], after: Table[str, float]) -> str:
    for name in LUNGS:
        if after[name] < LOWEST_LUNG_DICE:
            return f"misaligned: {name} overlaps with Dice {after[name]:.2f} after alignment"
        if after[name] < before[name] - LARGEST_LOSS:
            return f"misaligned: {name} fits worse than before ({after[name]:.2f})"
    return ""
