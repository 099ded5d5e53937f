"""From a film of any size to a network's square frame, and back.

Training and serving call the same functions, so that a network never meets a frame in service
that it did not meet in training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a film lies inside a square frame.

    Parameters
    ----------
    shape : (H, W) of the film in pixels.
    size : side of the square frame in pixels.
    inner : (h, w) of the whole film in frame pixels; larger than the frame where the frame is a
        window into the film.
    top, left : row and column of the film's first pixel in the frame; negative where the window
        begins inside the film.
    """

    shape: tuple[int, int]
    size: int
    inner: tuple[int, int]
    top: int
    left: int

    @property
    def scale(self) -> tuple[float, float]:
        """Frame pixels per film pixel, (row, column)."""
        return self.inner[0] / self.shape[0], self.inner[1] / self.shape[1]


def fit(shape: tuple[int, int], size: int) -> Frame:
    """Letterbox: the longer side fills the frame, the shorter is centred."""
    longest = max(shape)
    inner = (max(1, round(shape[0] * size / longest)), max(1, round(shape[1] * size / longest)))
    return Frame(shape, size, inner, (size - inner[0]) // 2, (size - inner[1]) // 2)


def window(shape: tuple[int, int], centre: tuple[float, float], side: float, size: int) -> Frame:
    """A square window into a film; it may reach over the film's edges.

    Parameters
    ----------
    shape : (H, W) of the film. centre : (row, column) of the window's centre in film pixels.
    side : of the window in film pixels. size : of the frame in pixels.
    """
    scale = size / side
    inner = (max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale)))
    top, left = (round(size / 2 - at * scale) for at in centre)
    return Frame(shape, size, inner, top, left)


def resize(image: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """(H, W) to `shape`, bilinear, antialiased when it shrinks."""
    if image.shape == shape:
        return image.astype(np.float32, copy=False)
    resized = Image.fromarray(np.ascontiguousarray(image, dtype=np.float32)).resize(
        (shape[1], shape[0]), Image.Resampling.BILINEAR
    )
    return np.asarray(resized, dtype=np.float32)


def shrunk(image: NDArray[np.float32], least: int) -> NDArray[np.float32]:
    """(H, W) averaged over squares of whole pixels, so that the shorter side keeps `least` pixels.

    Four times faster than to filter a large film twice; what no square fills at the right and the
    lower edge is left out.
    """
    factor = min(image.shape) // least
    if factor < 2:
        return image
    height, width = (length // factor * factor for length in image.shape)
    total = np.zeros((height // factor, width // factor), np.float32)
    for row in range(factor):
        for column in range(factor):
            total += image[row:height:factor, column:width:factor]
    return np.asarray(total / np.float32(factor * factor), np.float32)


def percentiles(
    pixels: NDArray[np.float32], low: float = 1.0, high: float = 99.0
) -> tuple[float, float]:
    """Two percentiles of a film's shades, from a quarter million samples at most."""
    step = max(1, int(np.sqrt(pixels.size / 250_000)))
    bottom, top = np.percentile(pixels[::step, ::step], (low, high))
    return float(bottom), float(top)


def clip_percentiles(
    pixels: NDArray[np.float32], low: float = 1.0, high: float = 99.0
) -> NDArray[np.float32]:
    """Stretch [low, high] percentiles to [0, 1]; a film without contrast comes back as zeros."""
    return stretch(pixels, *percentiles(pixels, low, high))


def stretch(pixels: NDArray[np.float32], bottom: float, top: float) -> NDArray[np.float32]:
    """Shades from `bottom` to `top` to [0, 1], clipped; zeros where the two are the same."""
    if top - bottom < 1e-6:
        return np.zeros_like(pixels)
    stretched = (pixels - np.float32(bottom)) / np.float32(top - bottom)
    return np.asarray(np.clip(stretched, 0, 1), np.float32)


def to_frame(pixels: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """Film (H, W) to frame (size, size); zero outside the film."""
    square = np.zeros((frame.size, frame.size), np.float32)
    rows, columns = (
        slice(max(0, start), min(frame.size, start + length))
        for start, length in zip((frame.top, frame.left), frame.inner, strict=True)
    )
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return square
    (down, across), box = frame.scale, (columns.start, rows.start, columns.stop, rows.stop)
    left, top, right, bottom = (
        (edge - offset) / scale
        for edge, offset, scale in zip(
            box,
            (frame.left, frame.top, frame.left, frame.top),
            (across, down, across, down),
            strict=True,
        )
    )
    square[rows, columns] = _resample(
        pixels,
        (rows.stop - rows.start, columns.stop - columns.start),
        (left, top, min(right, pixels.shape[1]), min(bottom, pixels.shape[0])),
    )
    return square


def from_frame(maps: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """Maps (..., s, s) of any resolution over the frame to film pixels (..., H, W).

    Film pixels outside the frame are zero.
    """
    flat = maps.reshape(-1, *maps.shape[-2:])
    per_pixel = maps.shape[-1] / frame.size
    spans = [
        _covered(offset, scale, frame.size, length)
        for offset, scale, length in zip(
            (frame.top, frame.left), frame.scale, frame.shape, strict=True
        )
    ]
    film = np.zeros((len(flat), *frame.shape), np.float32)
    (top, bottom), (left, right) = spans
    if top < bottom and left < right:
        down, across = frame.scale
        box = (
            (frame.left + left * across) * per_pixel,
            (frame.top + top * down) * per_pixel,
            min((frame.left + right * across) * per_pixel, maps.shape[-1]),
            min((frame.top + bottom * down) * per_pixel, maps.shape[-1]),
        )
        for target, one in zip(film, flat, strict=True):
            target[top:bottom, left:right] = _resample(one, (bottom - top, right - left), box)
    return film.reshape(*maps.shape[:-2], *frame.shape)


def _covered(offset: int, scale: float, size: int, length: int) -> tuple[int, int]:
    """First and one past the last film pixel that lies wholly inside the frame, on one axis."""
    first = max(0, int(np.ceil(-offset / scale - 1e-6)))
    last = min(length, int(np.floor((size - offset) / scale + 1e-6)))
    return first, last


def _resample(
    image: NDArray[np.float32], shape: tuple[int, int], box: tuple[float, float, float, float]
) -> NDArray[np.float32]:
    """The box (left, top, right, bottom) of an image at `shape`, bilinear, antialiased."""
    picture = Image.fromarray(np.ascontiguousarray(image, dtype=np.float32))
    size = (shape[1], shape[0])
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR, box=box), np.float32)
