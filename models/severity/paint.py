"""Opacities of known place and extent, painted into films for training.

Readers' masks are few; painted films show the network where opacity lies and how a little of it
looks, on lungs that it does not otherwise see diseased.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.frame import resize

LEAST_FILLED = 0.02  # of a lung: less is not scored by readers


@dataclass(frozen=True, slots=True)
class Painted:
    """A painted view and its truth.

    Parameters
    ----------
    view : (S, S) in [0, 1]. opacity : (S, S) in [0, 1], 1 where opacity was painted.
    zones : (6,) in [0, 1], share of each zone that is opaque. extent : in [0, 1], fraction of 8,
        as readers count: a lung touched at all has 1 of 4, a lung filled has 4 of 4.
    """

    view: NDArray[np.float32]
    opacity: NDArray[np.float32]
    zones: NDArray[np.float32]
    extent: float


def paint(
    view: NDArray[np.float32], zones: NDArray[np.float32], rng: np.random.Generator
) -> Painted:
    """Paint opacities into a view of a clear film.

    Parameters
    ----------
    view : (S, S) in [0, 1]. zones : (6, S, S) in [0, 1], order `ZONES`.
    """
    opacity = np.zeros_like(view)
    veil = np.zeros_like(view)
    lungs = (zones[:3].max(axis=0), zones[3:].max(axis=0))
    one_sided = int(rng.integers(2)) if rng.random() < 0.25 else None
    share = float(rng.beta(0.9, 1.2))
    for side, lung in enumerate(lungs):
        if one_sided is not None and side != one_sided:
            continue
        wanted = float(np.clip(share + rng.normal(0, 0.15), 0.0, 1.0))
        where, depth = region(lung > 0.5, wanted, rng)
        opacity[where] = 1.0
        veil = np.maximum(veil, depth)
    soft = ndimage.gaussian_filter(veil, rng.uniform(0.5, 3.5))
    level = float(rng.uniform(0.6, 1.0))
    strength = float(rng.uniform(0.35, 1.0))
    veiled = view + strength * soft * texture(view.shape, rng) * np.clip(level - view, 0.0, None)
    return Painted(
        np.clip(veiled, 0.0, 1.0).astype(np.float32), opacity, *counted(opacity, zones, lungs)
    )


def counted(
    opacity: NDArray[np.float32],
    zones: NDArray[np.float32],
    lungs: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> tuple[NDArray[np.float32], float]:
    """Shares of the zones, and the extent that readers would give."""
    shares = (opacity * zones).sum(axis=(1, 2)) / np.maximum(zones.sum(axis=(1, 2)), 1e-3)
    extent = 0.0
    for lung in lungs:
        filled = float((opacity * lung).sum() / max(float(lung.sum()), 1e-3))
        if filled > LEAST_FILLED:
            extent += float(np.clip(filled * 4 + 0.5, 1.0, 4.0)) / 8
    return np.asarray(shares, np.float32), extent


def region(
    lung: NDArray[np.bool_], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Where (S, S) opacity fills `share` of a lung, and how dense it is there, in [0, 1]."""
    rows, columns = np.flatnonzero(lung.any(axis=1)), np.flatnonzero(lung.any(axis=0))
    where, depth = np.zeros_like(lung), np.zeros(lung.shape, np.float32)
    if share < LEAST_FILLED or len(rows) < 8 or len(columns) < 8:
        return where, depth
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    inside = lung[box]
    field = noise(inside.shape, (5, 4), rng) + rng.uniform(0.2, 0.9) * noise(
        inside.shape, (int(rng.integers(8, 26)), int(rng.integers(6, 18))), rng
    )
    kind = rng.random()
    if kind < 0.5:  # lower and outer, as viral pneumonia
        edge = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
        field = field + rng.uniform(0.0, 2.2) * np.linspace(-0.5, 0.5, inside.shape[0])[:, None]
        field = field + rng.uniform(0.0, 1.5) * (0.5 - edge / edge.max())
    elif kind < 0.65:  # from the bottom up, as an effusion or a collapse
        field = 0.3 * field + 4.0 * np.linspace(-0.5, 0.5, inside.shape[0])[:, None]
    elif kind < 0.8:  # one lobe or focus
        centre = rng.uniform(0.1, 0.9, 2) * inside.shape
        apart = np.hypot(*(np.indices(inside.shape) - centre[:, None, None]))
        field = 0.4 * field - 4.0 * apart / max(inside.shape)
    cut = float(np.quantile(field[inside], 1.0 - share))
    above = (field - cut) / max(float(field[inside].std()), 1e-6)
    where[box] = inside & (above >= 0)
    ramp = np.clip(above / rng.uniform(0.2, 1.3) + 0.35, 0.0, 1.0)
    depth[box] = np.where(inside, ramp, 0.0)
    return where, depth


def texture(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """(S, S) grain of an opacity, around 1: smooth ground glass, nodules, or a net of lines."""
    kind = rng.random()
    if kind < 0.4:
        return np.ones(shape, np.float32)
    grain = rng.normal(size=shape).astype(np.float32)
    fine, coarse = rng.uniform(0.7, 2.5), rng.uniform(3.0, 8.0)
    band = ndimage.gaussian_filter(grain, fine) - ndimage.gaussian_filter(grain, coarse)
    band = band / max(float(band.std()), 1e-6)
    if kind > 0.7:
        band = np.asarray(1.0 - 1.6 * np.abs(band), np.float32)  # ridges
    return np.asarray(np.clip(1.0 + rng.uniform(0.15, 0.6) * band, 0.0, 2.0), np.float32)


def noise(
    shape: tuple[int, ...], nodes: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """(H, W) smooth noise with so many nodes along each side."""
    return resize(rng.normal(size=nodes).astype(np.float32), (shape[0], shape[1]))
