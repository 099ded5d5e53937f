"""Views of films as other hospitals, scanners and editors would send them."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor
from torch.nn import functional

from models.severity.data import PICTURE, PICTURE_SIDE, Films
from models.severity.lungs import VIEW_SIDE
from models.severity.paint import paint
from models.severity.view import CELLS, VIEW_SIZE
from models.severity.zones import MIRRORED


@dataclass(frozen=True, slots=True)
class Views:
    """One batch as the network sees it, and what is known of its places.

    Parameters
    ----------
    films : (N, 1, 256, 256) in [0, 1]. zones : (N, 6, 32, 32) in [0, 1].
    opacity : (N, 32, 32) share of each cell that is opaque, NaN where unknown.
    flipped : (N,) bool, which were mirrored: their zones swapped sides.
    painted : (N,) bool. painted_zones : (N, 6), painted_extent : (N,) in [0, 1], NaN elsewhere.
    """

    films: Tensor
    zones: Tensor
    opacity: Tensor
    flipped: NDArray[np.bool_]
    painted: NDArray[np.bool_]
    painted_zones: NDArray[np.float32]
    painted_extent: NDArray[np.float32]


def augment(
    films: Films,
    chosen: NDArray[np.int64],
    painted: NDArray[np.bool_],
    rng: np.random.Generator,
) -> Views:
    """Distorted views of the chosen films; opacities painted into those that `painted` marks."""
    flipped = rng.random(len(chosen)) < 0.5
    turns = torch.from_numpy(np.stack([placement(flip, rng) for flip in flipped]))
    marked = np.stack([disturb(one, rng) for one in films.pictures[chosen]])
    seen = sampled(torch.from_numpy(marked)[:, None].float() / 255.0, turns, VIEW_SIZE)
    places = torch.from_numpy(films.places[chosen]).float() / 255.0
    places[torch.from_numpy(flipped)] = places[torch.from_numpy(flipped)][:, list(MIRRORED)]
    zones = sampled(places, turns, CELLS)
    drawn = torch.from_numpy(films.opaque[chosen])[:, None]
    opacity = sampled(drawn.clamp(max=200).float() / 200.0, turns, CELLS)[:, 0]
    opacity[(drawn == 255).all(dim=3).all(dim=2)[:, 0]] = torch.nan
    shares = np.full((len(chosen), 6), np.nan, np.float32)
    extent = np.full(len(chosen), np.nan, np.float32)
    for at in np.flatnonzero(painted):
        large = functional.interpolate(zones[at : at + 1], size=(VIEW_SIZE,) * 2, mode="bilinear")
        made = paint(seen[at, 0].numpy(), large[0].numpy(), rng)
        seen[at, 0] = torch.from_numpy(made.view)
        opacity[at] = functional.avg_pool2d(torch.from_numpy(made.opacity)[None], 8)[0]
        shares[at], extent[at] = made.zones, made.extent
    return Views(exposure(seen, rng), zones, opacity, flipped, painted, shares, extent)


def sampled(maps: Tensor, turns: Tensor, size: int) -> Tensor:
    """Maps (N, C, S, S) seen through affines (N, 2, 3), at (size, size)."""
    grid = functional.affine_grid(turns, [len(maps), 1, size, size], align_corners=False)
    return functional.grid_sample(maps, grid, mode="bilinear", align_corners=False)


def placement(flip: bool, rng: np.random.Generator) -> NDArray[np.float32]:
    """A random (2, 3) affine around the near view: rotation, scale, aspect, shift, mirror."""
    angle = math.radians(rng.normal(0, 5))
    scale = VIEW_SIDE / PICTURE_SIDE * math.exp(rng.uniform(-0.2, 0.34))
    aspect = math.exp(rng.uniform(-0.08, 0.08))
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]]) * scale
    turn = turn @ np.diag([aspect, 1.0 / aspect])
    if flip:
        turn = turn @ np.diag([-1.0, 1.0])
    shift = rng.uniform(-0.06, 0.06, size=(2, 1))
    return np.hstack([turn, shift]).astype(np.float32)


def exposure(films: Tensor, rng: np.random.Generator) -> Tensor:
    """Random gamma, contrast, brightness and, at times, another display window."""
    count = len(films)

    def draw(low: float, high: float) -> Tensor:
        values = rng.uniform(low, high, size=(count, 1, 1, 1)).astype(np.float32)
        return torch.from_numpy(values)

    bent = films.clamp(0.0, 1.0) ** torch.exp(draw(-0.4, 0.4))
    middle = bent.mean(dim=(1, 2, 3), keepdim=True)
    out = (bent - middle) * draw(0.75, 1.3) + middle + draw(-0.08, 0.08)
    noisy = torch.from_numpy((rng.random((count, 1, 1, 1)) < 0.2).astype(np.float32))
    grain = torch.from_numpy(rng.standard_normal(out.shape).astype(np.float32))
    return (out + grain * noisy * draw(0.0, 0.06)).clamp(0.0, 1.0)


def disturb(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """What web pages, scanners and technicians do to a film, each at a low probability."""
    image = Image.fromarray(picture)
    if rng.random() < 0.15:
        small = int(PICTURE * rng.uniform(0.35, 0.8))
        image = image.resize((small, small), Image.Resampling.BILINEAR)
        image = image.resize((PICTURE, PICTURE), Image.Resampling.BILINEAR)
    elif rng.random() < 0.15:
        sharp = ImageFilter.UnsharpMask(radius=2, percent=int(rng.uniform(50, 200)), threshold=0)
        image = image.filter(sharp)
    if rng.random() < 0.15:
        packed = io.BytesIO()
        image.save(packed, format="JPEG", quality=int(rng.uniform(20, 80)))
        image = Image.open(packed)
    if rng.random() < 0.2:
        write_on(image, rng)
    if rng.random() < 0.15:
        add_border(image, rng)
    return np.asarray(image, np.uint8)


def write_on(image: Image.Image, rng: np.random.Generator) -> None:
    """Burn letters, a laterality marker, an arrow or a box into the film, in place."""
    pen = ImageDraw.Draw(image)
    shade = int(rng.choice([255, 255, 230, 0]))
    for _ in range(int(rng.integers(1, 4))):
        x, y = (float(v) for v in rng.uniform(0.03, 0.9, size=2) * PICTURE)
        kind = rng.integers(3)
        if kind == 0:
            letters = "".join(rng.choice(list("RLABDCPEMOKTab0123456789 "), rng.integers(1, 12)))
            pen.text((x, y), letters, fill=shade, font_size=float(rng.uniform(9, 26)))
        elif kind == 1:
            turn = rng.uniform(0, 2 * math.pi)
            tip = (x + 22 * math.cos(turn), y + 22 * math.sin(turn))
            pen.line([(x, y), tip], fill=shade, width=int(rng.integers(1, 4)))
            pen.ellipse([tip[0] - 3, tip[1] - 3, tip[0] + 3, tip[1] + 3], fill=shade)
        else:
            w, h = rng.uniform(6, 40, size=2)
            pen.rectangle([x, y, x + w, y + h], outline=shade, width=int(rng.integers(1, 3)))


def add_border(image: Image.Image, rng: np.random.Generator) -> None:
    """Cover margins (collimation, page, shield) with black, white or grey, in place."""
    pen = ImageDraw.Draw(image)
    shade = int(rng.choice([0, 0, 0, 255, 40]))
    left, top, right, bottom = (int(v) for v in rng.uniform(0, 0.12, size=4) * PICTURE)
    if left:
        pen.rectangle([0, 0, left, PICTURE], fill=shade)
    if top:
        pen.rectangle([0, 0, PICTURE, top], fill=shade)
    pen.rectangle([PICTURE - right, 0, PICTURE, PICTURE], fill=shade)
    pen.rectangle([0, PICTURE - bottom, PICTURE, PICTURE], fill=shade)


def mirror_zones(zones: NDArray[np.float32], flipped: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(N, 6) zones with sides swapped where the film was mirrored."""
    return np.where(flipped[:, None], zones[:, list(MIRRORED)], zones)
