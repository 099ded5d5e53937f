"""The last pixel of an alignment: a few log-domain demons steps on this very pair.

The network proposes a velocity; these steps fit it to the two films at hand. Structures pull
everywhere. Texture pulls too, but as local contrast and only where both films agree on the large
scale: an opacity on one of them neither pulls nor is pulled.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, minimum_filter

from registration.warp import identity_grid, integrate, sampler

STEPS = 12
FLUID_PX = 1.6  # smooths each step
ELASTIC_PX = 1.5  # smooths the sum: the stiffness of tissue
LARGEST_STEP_PX = 0.8
TEXTURE = 6.0  # weight of the film beside one structure
DISAGREEMENT = 0.06  # local contrast that differs this much on the large scale is disease
LARGE_SCALE_PX = 2.5
AROUND_PX = 9  # an opacity's edge, where its contrast crosses zero, is mistrusted with it


def refine(
    velocity: NDArray[np.float32],
    moving: NDArray[np.float32],
    fixed: NDArray[np.float32],
    steps: int = STEPS,
) -> NDArray[np.float32]:
    """Fit a velocity to one pair.

    Parameters
    ----------
    velocity : (2, s, s) in frame pixels, where to begin.
    moving, fixed : (1 + K, s, s): film as local contrast, then structures; both on one frame.

    Returns
    -------
    (2, s, s) velocity; its integral is a diffeomorphism.

    References
    ----------
    Vercauteren et al., Symmetric log-domain diffeomorphic registration: a demons-based approach,
    MICCAI 2008.
    """
    grid = identity_grid((velocity.shape[1], velocity.shape[2]))
    at = sampler(moving, edge=True)
    for _ in range(steps):
        warped = at(grid + integrate(velocity, steps=4))
        velocity = _smooth(velocity + _smooth(_force(warped, fixed), FLUID_PX), ELASTIC_PX)
    return velocity


def _force(warped: NDArray[np.float32], fixed: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2, s, s): where the warped channels want to go, never further than LARGEST_STEP_PX."""
    weights = np.ones_like(fixed)
    weights[0] = TEXTURE * agreement(warped[0], fixed[0])
    off = fixed - warped
    by_row, by_column = np.gradient((warped + fixed) / 2, axis=(1, 2))
    slopes = np.stack([by_row, by_column])
    pull = (weights * off * slopes).sum(1)
    stiffness = (weights * np.square(slopes)).sum((0, 1)) + (weights * np.square(off)).sum(0)
    force = pull / (stiffness + 1e-3)
    length = np.sqrt(np.square(force).sum(0)) + 1e-6
    limited = force * np.minimum(1, LARGEST_STEP_PX / length)
    return np.asarray(limited, np.float32)


def agreement(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """(s, s) in [0, 1]: where two films agree on the large scale and texture can be trusted."""
    off = gaussian_filter(first, LARGE_SCALE_PX) - gaussian_filter(second, LARGE_SCALE_PX)
    alike = np.exp(-np.square(off / DISAGREEMENT))
    return np.asarray(minimum_filter(alike, AROUND_PX), np.float32)


def _smooth(field: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    return np.stack([gaussian_filter(part, sigma_px) for part in field])
