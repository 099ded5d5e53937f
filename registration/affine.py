"""The affine part of an alignment, from structures alone: opacities cannot pull on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from registration.warp import Sampler, identity_grid, sampler

Affine = NDArray[np.float64]
"""(2, 3): fixed (row, column, 1) -> moving (row, column), in pixels of one square frame."""

IDENTITY: Affine = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def apply(matrix: Affine, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """`points` (2, ...) carried by `matrix`."""
    flat = points.reshape(2, -1)
    moved = matrix[:, :2] @ flat + matrix[:, 2:]
    return moved.reshape(points.shape).astype(np.float32)


def invert(matrix: Affine) -> Affine:
    """The affine that undoes `matrix`."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.hstack([linear, -linear @ matrix[:, 2:]])


def rescale(matrix: Affine, factor: float) -> Affine:
    """The same affine between frames whose side is `factor` times as long.

    Pixel centres lie at (index + 0.5), so the translation carries half a pixel along.
    """
    linear, shift = matrix[:, :2], matrix[:, 2]
    half = np.full(2, 0.5)
    # x' = f (x + 1/2) - 1/2 on both grids, so M'x' = f (L ((x' + 1/2) / f - 1/2) + t + 1/2) - 1/2
    moved = linear @ half - factor * (linear @ half) + factor * (shift + half) - half
    return np.column_stack([linear, moved])


def from_moments(moving: NDArray[np.float32], fixed: NDArray[np.float32]) -> Affine:
    """Centre and extent of two maps (s, s) brought together: translation and two scales."""
    (centre_m, spread_m), (centre_f, spread_f) = _moments(moving), _moments(fixed)
    scales = np.clip(spread_m / spread_f, 0.6, 1.7)
    return np.column_stack([np.diag(scales), centre_m - scales * centre_f])


def _moments(image: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation, row and column, of a map taken as a density."""
    total = float(image.sum()) + 1e-9
    grid = identity_grid((image.shape[0], image.shape[1]))
    centre = np.array([(image * axis).sum() / total for axis in grid], dtype=np.float64)
    spread = [
        np.sqrt((image * (axis - middle) ** 2).sum() / total) + 1e-3
        for axis, middle in zip(grid, centre, strict=True)
    ]
    return centre, np.asarray(spread, dtype=np.float64)


def estimate(
    moving: NDArray[np.float32], fixed: NDArray[np.float32], *, iterations: int = 12
) -> Affine:
    """Least squares between structure maps, Gauss-Newton from their moments, coarse blur first.

    Parameters
    ----------
    moving, fixed : (K, s, s) probabilities of the same K structures in two frames of one size.

    Returns
    -------
    (2, 3) affine, fixed -> moving. The start from the moments when the refinement does not
    lower the misfit.
    """
    start = from_moments(moving[:2].sum(axis=0), fixed[:2].sum(axis=0))
    matrix = start
    for sigma in (moving.shape[-1] / 24, moving.shape[-1] / 64):
        blurred = [
            np.stack([gaussian_filter(part, sigma) for part in maps]) for maps in (moving, fixed)
        ]
        matrix = _refine(blurred[0], blurred[1], matrix, iterations // 2)
    return matrix


def _refine(
    moving: NDArray[np.float32], fixed: NDArray[np.float32], matrix: Affine, iterations: int
) -> Affine:
    """Gauss-Newton with Levenberg's damping; steps that do not help are not taken."""
    grid = identity_grid((fixed.shape[1], fixed.shape[2]))
    maps = sampler(moving)
    slopes = sampler(np.concatenate(np.gradient(moving, axis=(1, 2))).astype(np.float32))
    damping, best = 1e-3, _misfit(maps, fixed, matrix, grid)
    for _ in range(iterations):
        hessian, gradient = _normal_equations(maps, slopes, fixed, matrix, grid)
        step = np.linalg.solve(hessian + damping * np.diag(np.diag(hessian) + 1e-9), gradient)
        candidate = matrix - step.reshape(2, 3)
        misfit = _misfit(maps, fixed, candidate, grid)
        if misfit < best:
            matrix, best, damping = candidate, misfit, damping / 5
        else:
            damping *= 10
    return matrix


def _misfit(
    moving: Sampler, fixed: NDArray[np.float32], matrix: Affine, grid: NDArray[np.float32]
) -> float:
    return float(np.square(moving(apply(matrix, grid)) - fixed).sum(dtype=np.float64))


def _normal_equations(
    moving: Sampler,
    slopes: Sampler,
    fixed: NDArray[np.float32],
    matrix: Affine,
    grid: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(6, 6) and (6,): the quadratic model of the misfit around `matrix`."""
    points = apply(matrix, grid)
    basis = np.stack([grid[0].ravel(), grid[1].ravel(), np.ones(grid[0].size)]).astype(np.float64)
    residuals = (moving(points) - fixed).reshape(len(fixed), -1)
    by_row, by_column = slopes(points).reshape(2, len(fixed), -1)
    hessian, gradient = np.zeros((6, 6)), np.zeros(6)
    for residual, *both in zip(residuals, by_row, by_column, strict=True):
        jacobian = np.concatenate([slope * basis for slope in both])
        hessian += jacobian @ jacobian.T
        gradient += jacobian @ residual
    return hessian, gradient
