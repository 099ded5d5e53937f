"""What differs between two aligned films once their exposures are matched."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

KEPT = 0.7  # share of pixels that a trimmed fit trusts; disease and wires fall into the rest


def match_exposure(
    moving: NDArray[np.float32], fixed: NDArray[np.float32], where: NDArray[np.bool_]
) -> tuple[float, float]:
    """Gain and offset that bring `moving` to `fixed` (both (H, W)) by trimmed least squares.

    Returns (1, 0) when `where` holds too little to fit.
    """
    x, y = moving[where].astype(np.float64), fixed[where].astype(np.float64)
    if x.size < 100 or np.ptp(x) < 1e-3:
        return 1.0, 0.0
    step = max(1, x.size // 20_000)
    x, y = x[::step], y[::step]
    kept = np.ones(x.size, dtype=bool)
    gain, offset = 1.0, 0.0
    for _ in range(6):
        spread = float(np.std(x[kept])) or 1e-3
        gain = float(np.clip(np.std(y[kept]) / spread, 0.3, 3.0))
        offset = float(np.median(y[kept] - gain * x[kept]))
        error = np.abs(y - gain * x - offset)
        kept = error <= np.quantile(error, KEPT)
    return gain, offset


def difference(
    current: NDArray[np.float32], warped_prior: NDArray[np.float32], lungs: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """(H, W) in [-1, 1]: current less exposure-matched prior; zero outside `lungs`.

    Positive is denser now. The fit uses all that both films show, not the lungs alone, so that
    a change of a whole lung is not matched away.
    """
    both = (warped_prior > 0) & (current > 0)
    gain, offset = match_exposure(warped_prior, current, both)
    change = current - (np.float32(gain) * warped_prior + np.float32(offset))
    return np.where(lungs & both, np.clip(change, -1, 1), 0).astype(np.float32)
