"""Moving pictures with displacement fields: resample, compose, invert, integrate, measure folding.

A field is (2, H, W) float32, in pixels, row then column: the value of the result at (r, c) is taken
from (r + field[0, r, c], c + field[1, r, c]).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from models import frame
from models.runtime import threads

BAND = 64  # rows of a film that are warped at once: they stay in the processor's cache

Sampler = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Points (2, h, w) to values (K, h, w)."""


class ShapeError(ValueError):
    """Two arrays that must lie on one grid do not."""


def identity_grid(shape: tuple[int, int]) -> NDArray[np.float32]:
    """(2, H, W): row and column of each pixel centre."""
    return np.stack(
        np.meshgrid(
            np.arange(shape[0], dtype=np.float32),
            np.arange(shape[1], dtype=np.float32),
            indexing="ij",
        )
    )


def sample(
    image: NDArray[np.float32], points: NDArray[np.float32], *, edge: bool = False
) -> NDArray[np.float32]:
    """Bilinear values of `image` (H, W) at `points` (2, ...); zero outside, or the edge's value."""
    mode: Literal["nearest", "constant"] = "nearest" if edge else "constant"
    values = np.empty(points.shape[1:], np.float32)
    map_coordinates(image, points, output=values, order=1, mode=mode, prefilter=False)
    return values


def sampler(stack: NDArray[np.float32], *, edge: bool = False) -> Sampler:
    """A function from points (2, h, w) to bilinear values (K, h, w) of a stack (K, H, W).

    For small maps that are sampled often: all of them share one computation of where a point lies.
    Zero outside, or the edge's value.
    """
    height, width = stack.shape[1:]
    flat = np.ascontiguousarray(stack.reshape(len(stack), -1))
    last = np.array((height - 1, width - 1), np.float32).reshape(2, 1, 1)

    def at(points: NDArray[np.float32]) -> NDArray[np.float32]:
        inside = np.clip(points, 0, last)
        corner = np.minimum(inside.astype(np.intp), last.astype(np.intp) - 1)
        down, right = (inside - corner).astype(np.float32)
        first = corner[0] * width + corner[1]
        values = np.empty((len(flat), *first.shape), np.float32)
        for row, one in enumerate(flat):
            upper, lower = one.take(first), one.take(first + width)
            upper += (one.take(first + 1) - upper) * right
            lower += (one.take(first + width + 1) - lower) * right
            lower -= upper
            np.multiply(lower, down, out=values[row])
            values[row] += upper
        if not edge:
            values *= (inside == points).all(axis=0)
        return values

    return at


def warp(image: NDArray[np.float32], field_px: NDArray[np.float32]) -> NDArray[np.float32]:
    """Resample `image` where `field_px` points (bilinear, zero outside).

    Parameters
    ----------
    image : (Hm, Wm), the moving picture, intensities in [0, 1].
    field_px : (2, H, W), displacement in pixels, row then column, fixed -> moving. The result
        lies on the field's grid, which may differ from the image's.

    Raises
    ------
    ShapeError : the field is not (2, H, W) or the image not (Hm, Wm).

    References
    ----------
    Balakrishnan et al., VoxelMorph, IEEE TMI 38(8), 1788-1800, 2019.
    """
    if field_px.ndim != 3 or field_px.shape[0] != 2 or image.ndim != 2:
        raise ShapeError(
            f"expected an image (H, W) and a field (2, H, W), found {image.shape} and "
            f"{field_px.shape}: give one grey picture and one field"
        )
    at, warped = sampler(image[None]), np.empty(field_px.shape[1:], np.float32)
    columns = np.arange(field_px.shape[2], dtype=np.float32)

    def band(top: int) -> None:
        points = field_px[:, top : top + BAND].astype(np.float32)
        points[0] += np.arange(top, top + points.shape[1], dtype=np.float32)[:, None]
        points[1] += columns
        warped[top : top + BAND] = at(points)[0]

    tops = range(0, field_px.shape[1], BAND)
    if len(tops) <= 4:
        for top in tops:
            band(top)
    else:
        with ThreadPoolExecutor(threads()) as pool:
            list(pool.map(band, tops))
    return warped


def compose(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """The field that follows `first`, then `second` from where `first` arrived; (2, H, W) each.

    warp(image, compose(first, second)) = warp(warp(image, second), first) up to interpolation.
    """
    if first.shape != second.shape:
        raise ShapeError(f"expected two fields of one shape, found {first.shape}, {second.shape}")
    points = identity_grid((first.shape[1], first.shape[2])) + first
    return first + sampler(second, edge=True)(points)


def integrate(velocity: NDArray[np.float32], steps: int = 7) -> NDArray[np.float32]:
    """Follow a stationary velocity (2, H, W) for unit time by scaling and squaring.

    References
    ----------
    Arsigny et al., A log-Euclidean framework for statistics on diffeomorphisms, MICCAI 2006.
    """
    field = (velocity / np.float32(2**steps)).astype(np.float32)
    for _ in range(steps):
        field = compose(field, field)
    return field


def invert(field_px: NDArray[np.float32], iterations: int = 30) -> NDArray[np.float32]:
    """The field (2, H, W) that undoes `field_px`, by fixed-point iteration.

    Converges where the field's Jacobian stays below one in norm, which smooth fields do.

    References
    ----------
    Chen et al., A simple fixed-point approach to invert a deformation field, Med Phys 35, 2008.
    """
    grid = identity_grid((field_px.shape[1], field_px.shape[2]))
    there = sampler(field_px, edge=True)
    inverse = -field_px
    for _ in range(iterations):
        inverse = -there(grid + inverse)
    return inverse


def jacobian_determinant(field_px: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W): local change of area; at or below zero the field folds."""
    row_by_row, row_by_column = np.gradient(field_px[0])
    column_by_row, column_by_column = np.gradient(field_px[1])
    determinant = (1 + row_by_row) * (1 + column_by_column) - row_by_column * column_by_row
    return np.asarray(determinant, dtype=np.float32)


def smallest_determinant(field_px: NDArray[np.float32]) -> float:
    """The smallest local change of area anywhere in a field (2, h, w), between its points as well.

    Within a cell of four points a bilinear field's Jacobian determinant is largest and smallest at
    a corner, so the corners of all cells bound it at every resolution: above zero, the field does
    not fold on any finer grid either.
    """
    by_row = np.diff(field_px, axis=1)  # (2, h - 1, w)
    by_column = np.diff(field_px, axis=2)  # (2, h, w - 1)
    smallest = np.inf
    for right in (slice(None, -1), slice(1, None)):
        for below in (slice(None, -1), slice(1, None)):
            row_by_row, column_by_row = by_row[:, :, right]
            row_by_column, column_by_column = by_column[:, below]
            area = (1 + row_by_row) * (1 + column_by_column) - row_by_column * column_by_row
            smallest = min(smallest, float(area.min()))
    return smallest


def folding_fraction(field_px: NDArray[np.float32]) -> float:
    """Share of pixels where the field folds (Jacobian determinant <= 0)."""
    return float(np.mean(jacobian_determinant(field_px) <= 0))


def upsample(field_px: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """A field on a finer grid of the same extent: resized, and displacements scaled with it."""
    factors = shape[0] / field_px.shape[1], shape[1] / field_px.shape[2]
    parts = [
        frame.resize(part, shape) * np.float32(f) for part, f in zip(field_px, factors, strict=True)
    ]
    return np.stack(parts)
