"""The way from a point of one film to the same anatomy on the other, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.frame import Frame
from registration import affine
from registration.warp import (
    folding_fraction,
    identity_grid,
    integrate,
    sample,
    sampler,
    smallest_determinant,
)

SMALLEST_AREA = 0.05  # of what a pixel becomes: nothing is squeezed out of a film
INVERSE_STEPS = 6  # each step of the inverse's fixed point leaves about a fifth of the error


@dataclass(frozen=True, slots=True)
class Mapping:
    """Affine and diffeomorphic parts of an alignment, composed once for any grid.

    Parameters
    ----------
    prior, current : frames of the two films.
    matrix : (2, 3) current frame -> prior frame.
    forward, backward : (2, s, s) displacement on the current frame, in frame pixels, and its
        inverse; both are integrals of one velocity (exp(v), exp(-v)).
    """

    prior: Frame
    current: Frame
    matrix: affine.Affine
    forward: NDArray[np.float32]
    backward: NDArray[np.float32]

    def on_frame(self) -> NDArray[np.float32]:
        """(2, s, s): displacement current frame -> prior frame, affine included."""
        grid = identity_grid((self.current.size, self.current.size))
        return affine.apply(self.matrix, grid + self.forward) - grid

    def back_on_frame(self) -> NDArray[np.float32]:
        """(2, s, s): displacement prior frame -> current frame, affine included."""
        grid = identity_grid((self.prior.size, self.prior.size))
        points = affine.apply(affine.invert(self.matrix), grid)
        return points + sampler(self.backward, edge=True)(points) - grid

    def field_px(self) -> NDArray[np.float32]:
        """(2, H, W) on the current film: displacement to the prior film, film pixels.

        The frame's field is enlarged once, bilinear, with the affine taken into it.
        """
        down, across = (
            _weights(self.current, axis, self.forward.shape[1 + axis]) for axis in (0, 1)
        )
        turned = np.tensordot(self.matrix[:, :2].astype(np.float32), self.forward, 1)
        rows, columns = (_frame_axis(self.current, axis) for axis in (0, 1))
        field = np.empty((2, *self.current.shape), np.float32)
        for axis, ((by_row, by_column, shift), scale, corner) in enumerate(
            zip(self.matrix, self.prior.scale, (self.prior.top, self.prior.left), strict=True)
        ):
            np.matmul(down @ (turned[axis] / np.float32(scale)), across.T, out=field[axis])
            offset = (shift + 0.5 - corner) / scale - 0.5
            on_rows, on_columns = by_row * rows / scale + offset, by_column * columns / scale
            if axis == 0:
                on_rows = on_rows - np.arange(len(rows))
            else:
                on_columns = on_columns - np.arange(len(columns))
            field[axis] += on_rows.astype(np.float32)[:, None]
            field[axis] += on_columns.astype(np.float32)
        return field

    def inverse_px(self, field_px: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """(2, Hp, Wp) on the prior film: displacement to the current film, film pixels.

        Begins at the integral of the reversed velocity and follows the forward field's own
        residue, so that there and back ends where it began.
        """
        field = self.field_px() if field_px is None else field_px
        grid = identity_grid(self.prior.shape)
        points = affine.apply(affine.invert(self.matrix), _to_frame(grid, self.prior))
        back = np.stack([sample(part, points, edge=True) for part in self.backward])
        at = _to_film(points + back, self.current)
        slope = _film_slope(self)
        for _ in range(INVERSE_STEPS):
            arrived = at + np.stack([sample(part, at, edge=True) for part in field])
            at -= np.tensordot(slope, arrived - grid, 1)
        return at - grid

    def folding_fraction(self) -> float:
        """Share of frame pixels where the whole mapping folds."""
        return folding_fraction(self.on_frame())

    def folds(self) -> bool:
        """Whether the whole mapping folds anywhere, on any grid."""
        mirrored = float(np.linalg.det(self.matrix[:, :2])) <= 0
        return mirrored or smallest_determinant(self.forward) <= 0


def follow(
    prior: Frame, current: Frame, matrix: affine.Affine, velocity: NDArray[np.float32]
) -> Mapping:
    """The mapping of an affine and a velocity (2, s, s); the velocity is weakened until no cell of
    its integral is squeezed below `SMALLEST_AREA`, so no field drawn from it folds."""
    forward = integrate(velocity)
    while smallest_determinant(forward) < SMALLEST_AREA:
        velocity = velocity * np.float32(0.9)
        forward = integrate(velocity)
    return Mapping(prior, current, matrix, forward, integrate(-velocity))


def _frame_axis(place: Frame, axis: int) -> NDArray[np.float64]:
    """(H,) or (W,): where each film pixel's centre lies on the frame, frame pixels."""
    corner = (place.top, place.left)[axis]
    centres = (np.arange(place.shape[axis]) + 0.5) * place.scale[axis] - 0.5 + corner
    return np.asarray(centres, np.float64)


def _weights(place: Frame, axis: int, cells: int) -> NDArray[np.float32]:
    """(H, s) or (W, s): bilinear weights of the frame's cells for each film pixel."""
    at = np.clip(_frame_axis(place, axis), 0, cells - 1)
    first = np.minimum(at.astype(int), cells - 2)
    weights = np.zeros((len(at), cells), np.float32)
    film = np.arange(len(at))
    weights[film, first], weights[film, first + 1] = 1 - (at - first), at - first
    return weights


def _film_slope(mapping: Mapping) -> NDArray[np.float32]:
    """(2, 2): the affine's inverse between film pixels."""
    there = (mapping.matrix[:, :2] * mapping.current.scale) / np.array(mapping.prior.scale)[:, None]
    return np.asarray(np.linalg.inv(there), np.float32)


def _to_frame(points: NDArray[np.float32], place: Frame) -> NDArray[np.float32]:
    """Film pixels to frame pixels; pixel centres lie at (index + 0.5) on both."""
    scale = np.array(place.scale, np.float32).reshape(2, 1, 1)
    corner = np.array((place.top, place.left), np.float32).reshape(2, 1, 1)
    return (points + np.float32(0.5)) * scale - np.float32(0.5) + corner


def _to_film(points: NDArray[np.float32], place: Frame) -> NDArray[np.float32]:
    """Frame pixels to film pixels."""
    scale = np.array(place.scale, np.float32).reshape(2, 1, 1)
    corner = np.array((place.top, place.left), np.float32).reshape(2, 1, 1)
    return (points + np.float32(0.5) - corner) / scale - np.float32(0.5)
