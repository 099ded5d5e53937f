"""Between the patient and the picture: scatter, exposure, noise and things in the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from models.frame import resize

Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Exposure:
    """How one film was taken and processed.

    Parameters
    ----------
    scatter : 0-1, share of smooth scattered signal, which flattens contrast.
    gamma : above 1 darkens the middle greys.
    noise : standard deviation of the quantum noise, in units of the full grey range.
    sharpness : strength of the processing's unsharp mask, 0 none.
    blur_px : standard deviation of motion and focus blur, in pixels.
    """

    scatter: float = 0.15
    gamma: float = 1.0
    noise: float = 0.012
    sharpness: float = 0.3
    blur_px: float = 0.6


def random_exposure(rng: np.random.Generator, size: int) -> Exposure:
    """An exposure as varied as those of a hospital's rooms and bedsides."""
    return Exposure(
        scatter=rng.uniform(0.0, 0.35),
        gamma=float(np.exp(rng.normal(0.0, 0.25))),
        noise=rng.uniform(0.003, 0.02),
        sharpness=rng.uniform(0.0, 1.2),
        blur_px=rng.uniform(0.2, 1.0) * size / 512,
    )


def develop(
    attenuation: NDArray[np.float32], exposure: Exposure, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Path attenuation (H, W) to film greys (H, W) in [0, 1], dense is white."""
    size = max(attenuation.shape)
    blurred = ndimage.gaussian_filter(attenuation, exposure.blur_px)
    broad = _broad(blurred, size * 0.06)
    signal = (1.0 - exposure.scatter) * blurred + exposure.scatter * broad
    signal += exposure.sharpness * (blurred - ndimage.gaussian_filter(blurred, 0.006 * size))
    low, high = np.percentile(signal[::4, ::4], (0.5, 99.5))
    grey = np.clip((signal - low) / max(high - low, 1e-6), 0.0, 1.0) ** exposure.gamma
    grain = rng.normal(size=grey.shape).astype(np.float32)
    grain = ndimage.gaussian_filter(grain, 0.5) * 1.8
    grey += exposure.noise * grain * (0.5 + grey)  # fewer photons where the film is white
    return np.asarray(np.clip(grey, 0.0, 1.0), dtype=np.float32)


def _broad(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """A wide Gaussian, filtered on a smaller grid."""
    step = max(1, int(sigma / 3))
    small = resize(image, (max(2, image.shape[0] // step), max(2, image.shape[1] // step)))
    return resize(ndimage.gaussian_filter(small, sigma / step), image.shape)


def polygon(points: Points, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill a closed curve of (x, y) pixels."""
    canvas = Image.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(canvas).polygon(points, fill=1)
    return np.array(canvas, dtype=bool)


def polyline(points: Points, width: float, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Draw an open curve of (x, y) pixels, `width` pixels wide."""
    canvas = Image.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(canvas).line(points, fill=1, width=max(1, round(width)), joint="curve")
    return np.array(canvas, dtype=bool)


def curve(points: Points, steps: int = 12, closed: bool = False) -> Points:
    """A smooth (Catmull-Rom) curve through `points`."""
    nodes = np.asarray(points, dtype=np.float64)
    ends = (nodes[-1:], nodes[:2]) if closed else (nodes[:1], nodes[-1:])
    padded = np.concatenate([ends[0], nodes, ends[1]])
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[:, None]
    pieces = []
    for before, start, stop, after in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        bend = 2 * before - 5 * start + 4 * stop - after
        pieces.append(
            0.5
            * (
                2 * start
                + (stop - before) * t
                + bend * t**2
                + (3 * (start - stop) + after - before) * t**3
            )
        )
    smooth = np.concatenate([*pieces, padded[-2:-1]])
    return [(float(x), float(y)) for x, y in smooth]


def wires(rng: np.random.Generator, shape: tuple[int, int], count: int) -> NDArray[np.float32]:
    """Tubes, lines and electrodes as extra attenuation (H, W), 0 to about 1."""
    height, width = shape
    extra = np.zeros(shape, np.float32)
    for _ in range(count):
        start = rng.uniform((0.1, -0.1), (0.9, 0.3)) * (width, height)
        walk = np.cumsum(rng.normal((0.0, 0.10), (0.08, 0.06), size=(6, 2)), axis=0)
        path = curve([(float(x), float(y)) for x, y in start + walk * (width, height)])
        extra += rng.uniform(0.15, 0.8) * polyline(path, rng.uniform(0.002, 0.010) * width, shape)
        if rng.uniform() < 0.5:
            extra += rng.uniform(0.3, 1.0) * _disc(
                path[-1], rng.uniform(0.006, 0.014) * width, shape
            )
    return ndimage.gaussian_filter(extra, 0.6)


def _disc(centre: tuple[float, float], radius: float, shape: tuple[int, int]) -> NDArray[np.bool_]:
    x, y = centre
    canvas = Image.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(canvas).ellipse((x - radius, y - radius, x + radius, y + radius), fill=1)
    return np.array(canvas, dtype=bool)


def mark(
    pixels: NDArray[np.float32], rng: np.random.Generator, text: str = "R"
) -> NDArray[np.float32]:
    """Burn a side marker into the upper corner of the patient's right (left edge of the film)."""
    side = max(12, round(pixels.shape[1] * rng.uniform(0.03, 0.05)))
    canvas = Image.new("L", (8, 12))
    ImageDraw.Draw(canvas).text((1, 0), text, fill=255)
    letter = resize(np.asarray(canvas, np.float32) / 255.0, (round(side * 1.5), side))
    top = round(pixels.shape[0] * rng.uniform(0.03, 0.12))
    left = round(pixels.shape[1] * rng.uniform(0.02, 0.06))
    marked = pixels.copy()
    patch = marked[top : top + letter.shape[0], left : left + letter.shape[1]]
    patch[:] = np.maximum(patch, letter[: patch.shape[0], : patch.shape[1]])
    return marked


def collimate(pixels: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Blacken a border where the beam was stopped (at most 4 % of each side)."""
    height, width = pixels.shape
    top, bottom = rng.integers(0, max(1, height // 25), 2)
    left, right = rng.integers(0, max(1, width // 25), 2)
    open_beam = np.zeros_like(pixels)
    open_beam[top : height - bottom, left : width - right] = 1.0
    return pixels * open_beam


def soften(image: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    """Gaussian blur."""
    return ndimage.gaussian_filter(image, sigma_px)
