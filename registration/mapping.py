"""The way from a point of one film to the same anatomy on the other, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.frame import Frame, from_frame
from registration import affine
from registration.warp import folding_fraction, identity_grid, sample


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

    def field_px(self) -> NDArray[np.float32]:
        """(2, H, W) on the current film: displacement to the prior film, film pixels."""
        grid = identity_grid(self.current.shape)
        points = _to_frame(grid, self.current) + from_frame(self.forward, self.current)
        return _to_film(affine.apply(self.matrix, points), self.prior) - grid

    def inverse_px(self) -> NDArray[np.float32]:
        """(2, Hp, Wp) on the prior film: displacement to the current film, film pixels."""
        grid = identity_grid(self.prior.shape)
        points = affine.apply(affine.invert(self.matrix), _to_frame(grid, self.prior))
        back = np.stack([sample(part, points, edge=True) for part in self.backward])
        return _to_film(points + back, self.current) - grid

    def folding_fraction(self) -> float:
        """Share of frame pixels where the whole mapping folds."""
        return folding_fraction(self.on_frame())


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
