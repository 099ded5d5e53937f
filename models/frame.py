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
    inner : (h, w) that the film occupies in the frame; its longer side equals `size`.
    top, left : first row and column of the film in the frame.
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


def resize(image: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """(H, W) to `shape`, bilinear, antialiased when it shrinks."""
    if image.shape == shape:
        return image.astype(np.float32, copy=False)
    resized = Image.fromarray(np.ascontiguousarray(image, dtype=np.float32)).resize(
        (shape[1], shape[0]), Image.Resampling.BILINEAR
    )
    return np.asarray(resized, dtype=np.float32)


def clip_percentiles(
    pixels: NDArray[np.float32], low: float = 1.0, high: float = 99.0
) -> NDArray[np.float32]:
    """Stretch [low, high] percentiles to [0, 1]; a film without contrast comes back as zeros."""
    step = max(1, int(np.sqrt(pixels.size / 250_000)))  # a quarter million samples settle both
    bottom, top = np.percentile(pixels[::step, ::step], (low, high))
    if top - bottom < 1e-6:
        return np.zeros_like(pixels)
    stretched = (pixels - np.float32(bottom)) / np.float32(top - bottom)
    return np.asarray(np.clip(stretched, 0, 1), np.float32)


def to_frame(pixels: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """Film (H, W) to frame (size, size); zero outside the film."""
    square = np.zeros((frame.size, frame.size), np.float32)
    rows = slice(frame.top, frame.top + frame.inner[0])
    columns = slice(frame.left, frame.left + frame.inner[1])
    square[rows, columns] = resize(pixels, frame.inner)
    return square


def from_frame(maps: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """Maps (..., s, s) of any resolution over the frame to film pixels (..., H, W)."""
    leading = maps.shape[:-2]
    flat = maps.reshape(-1, *maps.shape[-2:])
    per_pixel = maps.shape[-1] / frame.size
    box = (
        frame.left * per_pixel,
        frame.top * per_pixel,
        (frame.left + frame.inner[1]) * per_pixel,
        (frame.top + frame.inner[0]) * per_pixel,
    )
    height, width = frame.shape
    film = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(one, dtype=np.float32)).resize(
                (width, height), Image.Resampling.BILINEAR, box=box
            )
        )
        for one in flat
    ]
    return np.stack(film).reshape(*leading, height, width)
