"""What a film may have gone through: other greys, tubes, opacities (geometry is in data.py)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models import film
from models.frame import resize
from models.opacity import patchy
from models.structures.anatomy import STRUCTURES

_FAINT = (
    ("right_ribs", 0.0, 0.12),
    ("left_ribs", 0.0, 0.12),
    ("right_clavicle", 0.0, 0.14),
    ("left_clavicle", 0.0, 0.14),
    ("right_scapula", 0.0, 0.08),
    ("left_scapula", 0.0, 0.08),
    ("thoracic_spine", -0.05, 0.05),
    ("trachea", -0.12, 0.0),
    ("aorta", 0.0, 0.05),
)
"""Structures that radiographs show better than projections do, and the grey added to them."""


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


def with_bones(
    frame: NDArray[np.float32], masks: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Sharpen what a projected CT shows too faintly: bones whiter, the airways darker.

    Parameters
    ----------
    masks : (20, S, S), order of `STRUCTURES`.
    """
    sharp = frame.copy()
    for name, least, most in _FAINT:
        mask = masks[STRUCTURES.index(name)].astype(np.float32)
        sharp += rng.uniform(least, most) * ndimage.gaussian_filter(mask, rng.uniform(0.6, 1.5))
    return np.asarray(np.clip(sharp, 0.0, 1.0), dtype=np.float32)


def matched(
    frame: NDArray[np.float32], inside: NDArray[np.bool_], like: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Give `frame` the grey values of another film, `like` (h, w): histogram specification."""
    shares = np.linspace(0.0, 1.0, 33)
    values = frame[inside]
    if values.size < 64:
        return frame
    found = np.maximum.accumulate(np.quantile(values, shares) + 1e-6 * np.arange(33))
    wanted = np.quantile(like, shares) / 255.0
    return np.where(inside, np.interp(frame, found, wanted), 0.0).astype(np.float32)


def cluttered(frame: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Lay tubes and wires over a film, and sometimes a side marker."""
    shape = (frame.shape[0], frame.shape[1])
    crowded = frame + rng.uniform(0.2, 0.6) * film.wires(rng, shape, int(rng.integers(1, 6)))
    return np.asarray(np.clip(crowded, 0.0, 1.0), dtype=np.float32)


def _cloud(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A slow grey field, about -1 to 1."""
    nodes = int(rng.integers(3, 6))
    return resize(rng.normal(0.0, 0.6, (nodes, nodes)).astype(np.float32), (shape[0], shape[1]))
