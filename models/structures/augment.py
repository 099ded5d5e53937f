"""What a film may have gone through: other greys, tubes, opacities (geometry is in data.py)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models import film
from models.frame import resize
from models.opacity import patchy


def regreyed(
    frame: NDArray[np.float32], inside: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Another exposure, processing and noise; black outside the film stays black.

    Parameters
    ----------
    frame : (S, S) in [0, 1].
    inside : (S, S), where the film lies.
    """
    grey = frame
    if rng.uniform() < 0.5:
        grey = grey + rng.uniform(0.1, 0.4) * _cloud(rng, grey.shape)
    if rng.uniform() < 0.4:
        wide = ndimage.gaussian_filter(grey, rng.uniform(3.0, 16.0))
        grey = grey + rng.uniform(-0.4, 1.5) * (grey - wide)
    if rng.uniform() < 0.3:
        grey = ndimage.gaussian_filter(grey, rng.uniform(0.3, 1.4))
    low, high = rng.uniform(0.0, 4.0), rng.uniform(96.0, 100.0)
    values = grey[inside][::4]
    if values.size > 16:
        bottom, top = np.percentile(values, (low, high))
        grey = (grey - bottom) / max(float(top - bottom), 1e-3)
    grey = np.clip(grey, 0.0, 1.0) ** np.exp(rng.normal(0.0, 0.3))
    if rng.uniform() < 0.5:
        grey = grey + rng.normal(0.0, rng.uniform(0.0, 0.05), grey.shape)
    return np.asarray(np.where(inside, np.clip(grey, 0.0, 1.0), 0.0), dtype=np.float32)


def opacified(
    frame: NDArray[np.float32], lungs: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Paint patchy opacities of random extent into `lungs` (2, S, S)."""
    opacities = patchy(lungs, float(rng.uniform(1.0, 8.0)), rng)
    soft = ndimage.gaussian_filter(opacities.density, rng.uniform(0.004, 0.02) * frame.shape[0])
    level = rng.uniform(0.5, 0.85)
    painted = frame + rng.uniform(0.3, 1.0) * soft * np.clip(level - frame, 0.0, None)
    return np.asarray(painted, dtype=np.float32)


def cluttered(frame: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Lay tubes and wires over a film, and sometimes a side marker."""
    shape = (frame.shape[0], frame.shape[1])
    crowded = frame + rng.uniform(0.2, 0.6) * film.wires(rng, shape, int(rng.integers(1, 6)))
    return np.asarray(np.clip(crowded, 0.0, 1.0), dtype=np.float32)


def _cloud(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A slow grey field, about -1 to 1."""
    nodes = int(rng.integers(3, 6))
    return resize(rng.normal(0.0, 0.6, (nodes, nodes)).astype(np.float32), (shape[0], shape[1]))
