"""Pairs to learn from: one film deformed by a known field, and two real films of two dates."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from monai.networks.blocks import DVF2DDF, Warp
from numpy.typing import NDArray
from torch.nn import functional as F  # noqa: N812  # torch's own name for it

from models import frame
from models.radiograph import read_file
from models.refusal import Refusal
from models.structures.predict import label
from registration import affine
from registration.pair import SIZE, Side, side
from registration.predict import affine_between

_integrate = DVF2DDF(num_steps=7, mode="bilinear", padding_mode="border")
warp_torch = Warp(mode="bilinear", padding_mode="zeros")


def held_out(patient: str, fraction: float) -> bool:
    """Whether a patient is kept from training, by a hash of the name: stable, no list needed."""
    digest = hashlib.sha256(patient.encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < fraction


@dataclass(frozen=True, slots=True)
class Films:
    """Every film on the registration frame.

    Parameters
    ----------
    table : rows of radiographs.csv that could be read, in the order of `channels`.
    channels : (N, 1 + guides, s, s) uint8, 255 = 1.
    """

    table: pd.DataFrame
    channels: NDArray[np.uint8]

    def tensor(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """(B, 1 + guides, s, s) float32 in [0, 1]."""
        return torch.from_numpy(self.channels[rows].astype(np.float32) / 255)


def load_films(data: Path, cache: Path) -> Films:
    """Read and label all films of `data/radiographs.csv` once; later calls read the cache."""
    table_file, array_file = cache / "films.csv", cache / "films.npy"
    if not (table_file.is_file() and array_file.is_file()):
        cache.mkdir(parents=True, exist_ok=True)
        table = pd.read_csv(data / "radiographs.csv", dtype={"patient": str})
        kept, stacks = [], []
        for row, file in enumerate(table["file"]):
            try:
                film = read_file(data / file)
                stacks.append(side(film, label(film)).channels())
                kept.append(row)
            except Refusal:
                continue
        np.save(array_file, (np.stack(stacks) * 255).round().astype(np.uint8))
        table.iloc[kept].to_csv(table_file, index=False)
    table = pd.read_csv(table_file, dtype={"patient": str})
    return Films(table, np.load(array_file, mmap_mode="r"))


def random_field(batch: int, deformation_px: float, generator: torch.Generator) -> torch.Tensor:
    """(B, 2, s, s) diffeomorphic fields: coarse noise on three scales, integrated."""
    velocity = torch.zeros(batch, 2, SIZE, SIZE)
    for cells, share in ((3, 1.0), (6, 0.6), (12, 0.25)):
        noise = torch.randn(batch, 2, cells + 3, cells + 3, generator=generator)
        smooth = F.interpolate(noise, size=(SIZE, SIZE), mode="bicubic", align_corners=True)
        strength = torch.rand(batch, 1, 1, 1, generator=generator) * deformation_px * share
        velocity += smooth * strength / 1.5
    field: torch.Tensor = _integrate(velocity)
    return field


def _opacity(guides: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """(B, 1, s, s) in [0, 1]: a patchy shadow within the lungs."""
    batch = guides.shape[0]
    noise = torch.randn(batch, 1, 10, 10, generator=generator)
    cloud = F.interpolate(noise, size=(SIZE, SIZE), mode="bicubic", align_corners=True)
    threshold = torch.randn(batch, 1, 1, 1, generator=generator) * 0.5 + 0.5
    strength = torch.rand(batch, 1, 1, 1, generator=generator)
    lungs = guides[:, :2].amax(1, keepdim=True)
    return torch.sigmoid(4 * (cloud - threshold)) * lungs * strength


def disturb(
    channels: torch.Tensor, probability: float, noise_px: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A film as another machine and another labelling would give it, and its new opacity.

    The film is painted and its contrast changed; the guides are moved a little against it.
    """
    film, guides = channels[:, :1], channels[:, 1:]
    chosen = (torch.rand(film.shape[0], 1, 1, 1, generator=generator) < probability).float()
    opacity = _opacity(guides, generator) * chosen
    film = film + 0.35 * opacity + 0.02 * torch.randn(film.shape, generator=generator)
    contrast = torch.rand(film.shape[0], 1, 1, 1, generator=generator) * 0.8 + 0.6
    film = (0.5 + (film - 0.5) * contrast).clamp(0, 1)
    guides = warp_torch(guides, random_field(film.shape[0], noise_px, generator))
    keep = (torch.rand(film.shape[0], guides.shape[1], 1, 1, generator=generator) > 0.08).float()
    return torch.cat([film, guides * keep], 1), opacity


@dataclass(frozen=True, slots=True)
class KnownPair:
    """moving(x + truth(x)) = fixed(x), before both were disturbed."""

    moving: torch.Tensor
    fixed: torch.Tensor
    truth: torch.Tensor
    clean_moving: torch.Tensor
    clean_fixed: torch.Tensor


def known_pair(
    channels: torch.Tensor,
    deformation_px: float,
    probability: float,
    noise_px: float,
    generator: torch.Generator,
) -> KnownPair:
    """Deform films (B, C, s, s) by known fields and disturb both copies apart."""
    truth = random_field(channels.shape[0], deformation_px, generator)
    fixed = warp_torch(channels, truth)
    moving, _ = disturb(channels, probability, noise_px, generator)
    seen, _ = disturb(fixed, probability, noise_px, generator)
    return KnownPair(moving, seen, truth, channels, fixed)


def pair_rows(table: pd.DataFrame, rng: np.random.Generator, others: int) -> NDArray[np.int64]:
    """(P, 2) rows (moving, fixed): a patient's ordered pairs (six films at most) and strangers."""
    rows: list[tuple[int, int]] = []
    for group in table.groupby("patient").indices.values():
        chosen = rng.permutation(group)[:6]
        rows += [(int(a), int(b)) for a in chosen for b in chosen if a != b]
    strangers = rng.integers(0, len(table), size=(others, 2))
    return np.concatenate([np.array(rows, np.int64).reshape(-1, 2), strangers.astype(np.int64)])


def affine_of(films: Films, moving: int, fixed: int) -> affine.Affine:
    """Affine from the cached guides of two films."""
    sides = []
    for row in (moving, fixed):
        channels = films.channels[row].astype(np.float32) / 255
        sides.append(Side(channels[0], channels[1:], whole_frame()))
    return affine_between(sides[0], sides[1])


def whole_frame() -> frame.Frame:
    """The cache holds frames, not films: each is its own."""
    return frame.fit((SIZE, SIZE), SIZE)


def affine_grid(matrices: NDArray[np.float64]) -> torch.Tensor:
    """(B, 2, 3) affines, fixed -> moving in pixels, to displacement fields (B, 2, s, s)."""
    axis = torch.arange(SIZE, dtype=torch.float32)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"))
    linear = torch.from_numpy(matrices[:, :, :2].astype(np.float32))
    shift = torch.from_numpy(matrices[:, :, 2].astype(np.float32))
    moved = torch.einsum("bij,jhw->bihw", linear, grid) + shift[:, :, None, None]
    return moved - grid
