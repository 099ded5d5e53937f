"""Pictures to learn from: frontal films as they vary, and everything else that may be sent.

Real negatives are few (one hip, one leg, one CT), so most are made: turned, negated and cropped
films, lateral projections and slices of the CT, drawn limbs, textures, text and photographs.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from models.frame import clip_percentiles, resize

Film = NDArray[np.float32]
Maker = Callable[[Film, np.random.Generator], Film]


@dataclass(frozen=True, slots=True)
class Example:
    """One picture (H, W) in [0, 1] with its truth.

    Parameters
    ----------
    kind : one of `KINDS`.
    made : how it was made, for the confusion table ("hip", "turned by 180 degrees", ...).
    fold : the part of cross-validation that holds it out.
    """

    pixels: Film
    kind: str
    made: str
    fold: int


def as_sent(film: Film, rng: np.random.Generator, turn_deg: float = 8.0) -> Film:
    """The film as another hospital would have sent it: pose, exposure, edges, marks, noise."""
    turned = _turn(film, rng.normal(0.0, turn_deg / 2))
    cropped = crop(turned, rng, least=0.86)
    return _mark(_degrade(_border(_expose(cropped, rng), rng), rng), rng)


def crop(film: Film, rng: np.random.Generator, least: float, most: float = 1.0) -> Film:
    """A random part, `least` to `most` of each side."""
    height, width = film.shape
    h, w = (max(8, round(side * rng.uniform(least, most))) for side in (height, width))
    top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    return film[top : top + h, left : left + w]


def _turn(film: Film, degrees: float) -> Film:
    edge = float(np.median(film[:3]))
    rotated = ndimage.rotate(film, degrees, reshape=False, order=1, cval=edge)
    return np.asarray(rotated, np.float32)


def _expose(film: Film, rng: np.random.Generator) -> Film:
    grey = clip_percentiles(film) if rng.random() < 0.5 else film
    grey = np.clip(grey, 0.0, 1.0) ** np.float32(np.exp(rng.normal(0.0, 0.3)))
    low, gain = rng.uniform(-0.1, 0.15), rng.uniform(0.75, 1.2)
    return np.asarray(np.clip(low + gain * grey, 0.0, 1.0), np.float32)


def _border(film: Film, rng: np.random.Generator) -> Film:
    """Black or white shutters, or a margin around the film."""
    if rng.random() < 0.6:
        return film
    top, bottom, left, right = (
        rng.integers(0, max(1, round(0.14 * side))) if rng.random() < 0.7 else 0
        for side in (film.shape[0], film.shape[0], film.shape[1], film.shape[1])
    )
    shade = 1.0 if rng.random() < 0.15 else 0.0
    if rng.random() < 0.5:
        padded = np.pad(film, ((top, bottom), (left, right)), constant_values=shade)
        return np.asarray(padded, np.float32)
    shut: Film = np.full(film.shape, shade, np.float32)
    inside = (
        slice(top // 2, film.shape[0] - bottom // 2),
        slice(left // 2, film.shape[1] - right // 2),
    )
    shut[inside] = film[inside]
    return shut


def _degrade(film: Film, rng: np.random.Generator) -> Film:
    if rng.random() < 0.3:
        film = np.asarray(ndimage.gaussian_filter(film, rng.uniform(0.3, 1.2)), np.float32)
    if rng.random() < 0.3:
        film = film + rng.normal(0.0, rng.uniform(0.005, 0.04), film.shape).astype(np.float32)
    if rng.random() < 0.3:
        film = _as_jpeg(film, int(rng.integers(30, 90)))
    return np.clip(film, 0.0, 1.0).astype(np.float32)


def _as_jpeg(film: Film, quality: int) -> Film:
    buffer = io.BytesIO()
    eight = np.rint(np.clip(film, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(eight).save(buffer, "JPEG", quality=quality)
    return np.asarray(np.asarray(Image.open(buffer), np.float32) / 255, np.float32)


def _mark(film: Film, rng: np.random.Generator) -> Film:
    """Letters and arrows, as on films from papers."""
    if rng.random() < 0.5:
        return film
    page = Image.fromarray(np.ascontiguousarray(film, np.float32))
    draw = ImageDraw.Draw(page)
    for _ in range(int(rng.integers(1, 4))):
        size = max(8, round(min(film.shape) * rng.uniform(0.03, 0.09)))
        place = (rng.uniform(0, 0.9) * film.shape[1], rng.uniform(0, 0.9) * film.shape[0])
        words = rng.choice(["R", "L", "AP", "A", "B", "PORTABLE", "12:40", "→", "SUPINE"])
        draw.text(place, str(words), fill=rng.uniform(0.8, 1.0), font=ImageFont.load_default(size))
    return np.asarray(page, np.float32)


# Ways to spoil a frontal film: how -> (kind, maker).


def _negated(film: Film, rng: np.random.Generator) -> Film:
    return (1.0 - as_sent(film, rng)).astype(np.float32)


def _a_part(film: Film, rng: np.random.Generator) -> Film:
    return as_sent(crop(film, rng, 0.18, 0.42), rng)


def _two_films(film: Film, rng: np.random.Generator) -> Film:
    one, two = (resize(as_sent(film, rng), (200, 170)) for _ in range(2))
    gap = np.full((200, int(rng.integers(0, 12))), rng.choice([0.0, 1.0]), np.float32)
    return np.hstack([one, gap, two])


def _page(film: Film, rng: np.random.Generator) -> Film:
    """A small film on a page or a screen."""
    height, width = 320, int(rng.integers(260, 420))
    page = np.full((height, width), rng.choice([0.0, 0.9, 1.0]), np.float32)
    small = resize(film, (int(rng.integers(70, 130)), int(rng.integers(70, 130))))
    top = rng.integers(0, height - small.shape[0])
    left = rng.integers(0, width - small.shape[1])
    page[top : top + small.shape[0], left : left + small.shape[1]] = small
    return _text(page, rng)


def _turned_by(quarters: int) -> Maker:
    return lambda film, rng: np.ascontiguousarray(np.rot90(as_sent(film, rng), quarters))


SPOILED: dict[str, tuple[str, float, Maker]] = {
    "turned by 180 degrees": ("unlike_training", 0.45, _turned_by(2)),
    "turned by 90 degrees": ("unlike_training", 0.25, _turned_by(1)),
    "turned by 270 degrees": ("unlike_training", 0.25, _turned_by(3)),
    "upside down": ("unlike_training", 0.2, lambda film, rng: as_sent(film[::-1], rng)),
    "negated": ("unlike_training", 0.5, _negated),
    "two films side by side": ("unlike_training", 0.1, _two_films),
    "a film on a page": ("unlike_training", 0.15, _page),
    "a part of a film": ("not_chest", 0.6, _a_part),
}
"""How a frontal film is spoiled -> (kind, share of films, maker)."""


def other_part(film: Film, rng: np.random.Generator) -> Film:
    """A film of a hip or a leg, seen in many crops, turns and exposures."""
    flipped = film[:, ::-1] if rng.random() < 0.5 else film
    turned = _turn(flipped, rng.uniform(-40, 40) + 90 * rng.integers(0, 4))
    return as_sent(crop(turned, rng, 0.35), rng)


def slice_of(hu: Film, rng: np.random.Generator) -> Film:
    """A CT slice in a lung or a soft-tissue window."""
    centre, width = (-600, 1500) if rng.random() < 0.5 else (40, 400)
    return as_sent(np.clip((hu - centre) / width + 0.5, 0, 1).astype(np.float32), rng)


def photograph(grey: Film, rng: np.random.Generator) -> Film:
    """A part of a photograph."""
    part = crop(grey[:, ::-1] if rng.random() < 0.5 else grey, rng, 0.2)
    return as_sent(part, rng, turn_deg=40.0)


def limb(rng: np.random.Generator) -> Film:
    """Bones in soft tissue on black or white, drawn: no body part in particular."""
    height, width = int(rng.integers(220, 340)), int(rng.integers(160, 340))
    soft, bone = (Image.new("F", (width, height)) for _ in range(2))
    for _ in range(int(rng.integers(1, 6))):
        ends = [(rng.uniform(-0.1, 1.1) * width, rng.uniform(-0.1, 1.1) * height) for _ in "ab"]
        thick = rng.uniform(0.03, 0.16) * width
        ImageDraw.Draw(soft).line(ends, fill=0.45, width=round(thick * rng.uniform(2, 4)))
        ImageDraw.Draw(bone).line(ends, fill=rng.uniform(0.3, 0.6), width=max(2, round(thick)))
    blur = rng.uniform(1.0, 5.0)
    tissue = ndimage.gaussian_filter(np.asarray(soft), 3 * blur)
    shape = np.asarray(bone)
    shell = ndimage.gaussian_filter(shape, blur) - 0.5 * ndimage.gaussian_filter(shape, 4 * blur)
    return as_sent(np.clip(tissue + shell, 0, 1).astype(np.float32), rng)


def texture(rng: np.random.Generator) -> Film:
    """Noise of any grain, stripes, tiles, shapes or text."""
    shape = int(rng.integers(200, 340)), int(rng.integers(200, 340))
    style = rng.integers(0, 5)
    if style == 0:
        grain = rng.normal(size=shape).astype(np.float32)
        sigma = float(np.exp(rng.uniform(np.log(0.3), np.log(40))))
        return as_sent(_unit(ndimage.gaussian_filter(grain, sigma)), rng)
    if style == 1:
        rows, columns = np.mgrid[: shape[0], : shape[1]]
        waves = np.sin(rows * rng.uniform(0, 0.4)) + np.sin(columns * rng.uniform(0, 0.4))
        return as_sent(_unit(waves if rng.random() < 0.5 else np.sign(waves)), rng)
    if style == 2:
        tiles = rng.random((int(rng.integers(2, 12)), int(rng.integers(2, 12))))
        return as_sent(resize(tiles.astype(np.float32), shape), rng)
    if style == 3:
        return as_sent(_shapes(shape, rng), rng)
    page = np.full(shape, rng.choice([0.0, 1.0]), np.float32)
    return _text(page, rng)


def _shapes(shape: tuple[int, int], rng: np.random.Generator) -> Film:
    page = Image.new("F", (shape[1], shape[0]), float(rng.random()))
    draw = ImageDraw.Draw(page)
    for _ in range(int(rng.integers(1, 10))):
        x, y = sorted(rng.uniform(0, shape[1], 2)), sorted(rng.uniform(0, shape[0], 2))
        form = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        form((x[0], y[0], x[1], y[1]), fill=float(rng.random()))
    return np.asarray(ndimage.gaussian_filter(np.asarray(page), rng.uniform(0, 6)), np.float32)


def _text(page: Film, rng: np.random.Generator) -> Film:
    ink = 0.0 if page.mean() > 0.5 else 1.0
    image = Image.fromarray(page)
    draw, size = ImageDraw.Draw(image), int(rng.integers(8, 26))
    for top in range(4, page.shape[0], size + int(rng.integers(2, 12))):
        letters = "".join(rng.choice(list("abcdefghij klmnop qrst uvw 0123456789"), 60))
        draw.text((4, top), letters, fill=ink, font=ImageFont.load_default(size))
    return np.asarray(image, np.float32)


def _unit(values: NDArray[np.floating]) -> Film:
    return np.asarray((values - values.min()) / max(float(np.ptp(values)), 1e-6), np.float32)
