"""Films whose alignment is known: a second exposure of the same chest, standing otherwise.

The second copy of a film is moved by an affine and a smooth diffeomorphism, exposed otherwise, and
may carry an opacity that the first does not have. Randomness comes in as a generator. Everything
that trains, calibrates or measures on known pairs makes them here.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, zoom

from models.frame import fit, from_frame
from models.radiograph import Radiograph
from registration.mapping import Mapping, follow
from registration.warp import identity_grid, sample, warp

FIELD_SIZE = 128
TURN_DEG = 2.0  # standard deviations of how a patient stands, from one film to the next
SCALE = 0.04
SHIFT = 0.02  # of the width
BEND = 0.047  # of the width: the largest displacement of the smooth part, at most
CROP = 0.03  # of the width: what another collimation takes off a side, at most
SLOPE = 0.08  # of the shade: how much brighter an edge of the film is than its middle, at most
JPEG_QUALITY = 80
DENSEST = 0.9  # shade that an opacity brings the lung towards


@dataclass(frozen=True, slots=True)
class Copy:
    """A second film and the mapping that leads from it (current) to the first (prior)."""

    film: Radiograph
    mapping: Mapping


def copy(film: Radiograph, rng: np.random.Generator) -> Copy:
    """A film as another day would show it: moved and exposed otherwise."""
    mapping = draw(film.pixels.shape, rng)
    moved = warp(film.pixels, mapping.field_px())
    return Copy(replace(film, pixels=expose(moved, rng)), mapping)


def draw(shape: tuple[int, int], rng: np.random.Generator, strength: float = 1.0) -> Mapping:
    """A random mapping from a film of `shape` (H, W) to another of the same shape."""
    place = fit(shape, FIELD_SIZE)
    turn = strength * np.radians(rng.normal(0, TURN_DEG))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = rotation @ np.diag(np.exp(strength * rng.normal(0, SCALE, 2)))
    middle = np.full(2, (FIELD_SIZE - 1) / 2)
    shift = middle - linear @ middle + strength * rng.normal(0, SHIFT * FIELD_SIZE, 2)
    return follow(place, place, np.column_stack([linear, shift]), _velocity(rng, strength * BEND))


def _velocity(rng: np.random.Generator, largest: float) -> NDArray[np.float32]:
    """(2, s, s): smooth over a tenth of the width, its peak between half of `largest` and all."""
    cells = 24
    coarse = rng.normal(size=(2, cells, cells))
    smooth = np.stack(
        [zoom(gaussian_filter(part, 2.5), FIELD_SIZE / cells, order=3) for part in coarse]
    )
    peak = rng.uniform(0.5, 1.0) * largest * FIELD_SIZE
    return np.asarray(smooth * peak / np.hypot(*smooth).max(), np.float32)


def expose(pixels: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Another exposure: gamma, gain, offset and noise of a hundredth."""
    curved = np.power(np.clip(pixels, 0, 1), np.float32(rng.uniform(0.75, 1.33)))
    scaled = np.float32(rng.uniform(0.85, 1.1)) * curved + np.float32(rng.uniform(-0.05, 0.05))
    noisy = scaled + rng.normal(0, 0.01, pixels.shape).astype(np.float32)
    return np.asarray(np.clip(noisy, 0, 1), np.float32)


def another_day(film: Radiograph, rng: np.random.Generator) -> Radiograph:
    """A film as the patient would stand and as the film would be cut another day; not exposed."""
    moved = warp(film.pixels, draw(film.pixels.shape, rng).field_px())
    return replace(film, pixels=crop(moved, rng))


def crop(pixels: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Another collimation: up to `CROP` of the width less on each side."""
    height, width = pixels.shape
    top, bottom, left, right = (int(rng.uniform(0, CROP) * width) for _ in range(4))
    return np.ascontiguousarray(pixels[top : height - bottom, left : width - right])


def console(pixels: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """The film from another console: brighter to one side, another exposure, JPEG."""
    rows, columns = (np.linspace(-1, 1, length, dtype=np.float32) for length in pixels.shape)
    down, across = rng.uniform(-SLOPE, SLOPE, 2)
    slope = 1 + np.float32(down) * rows[:, None] + np.float32(across) * columns
    exposed = expose(pixels * slope, rng)
    file = io.BytesIO()
    picture = Image.fromarray(np.rint(exposed * 255).astype(np.uint8))
    picture.save(file, format="JPEG", quality=JPEG_QUALITY)
    return np.asarray(Image.open(file), np.float32) / np.float32(255)


def veiled(
    pixels: NDArray[np.float32], opacity: NDArray[np.float32], density: float
) -> NDArray[np.float32]:
    """The film behind an opacity (H, W) in [0, 1]; `density` 1 would bring it to `DENSEST`."""
    veil = np.float32(density) * opacity * np.clip(np.float32(DENSEST) - pixels, 0, None)
    return np.asarray(pixels + veil, np.float32)


def blob(
    lungs: NDArray[np.float32], shape: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """(H, W) in [0, 1]: a soft round opacity centred in a lung, radius 4-10 % of the width.

    Parameters
    ----------
    lungs : (s, s) probability of lung over the film's letterboxed frame; zeros give no opacity.
    """
    inside = np.argwhere(lungs > 0.9)
    size = lungs.shape[0]
    if len(inside) == 0:
        return np.zeros(shape, np.float32)
    centre = inside[rng.integers(len(inside))].reshape(2, 1, 1)
    distance = np.sqrt(np.square(identity_grid((size, size)) - centre).sum(0))
    radius = rng.uniform(0.04, 0.10) * size
    soft = 1 / (1 + np.exp(np.clip((distance - radius) / (0.01 * size), -30, 30)))
    return from_frame(soft.astype(np.float32), fit(shape, size))


def chain(first: Mapping, second: Mapping) -> NDArray[np.float32]:
    """(2, H, W): from the film that `first` begins on, back over the one that both lead to, to the
    film that `second` begins on."""
    there = first.field_px()
    at = identity_grid(first.current.shape) + there
    back = second.inverse_px()
    return there + np.stack([sample(part, at, edge=True) for part in back])
