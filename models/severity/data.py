"""The labelled films: table, cached frames, folds by patient, augmentation."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor
from torch.nn import functional

from models.frame import clip_percentiles, fit, to_frame
from models.severity.zones import BRIXIA_LETTERS, BRIXIA_MAX, EXTENT_MAX, MIRRORED, ZONE_MAX

IMPUTED_TRUST = 0.5  # a label imputed from the other score counts half
FRAME = 320


@dataclass(frozen=True, slots=True)
class Films:
    """Films with what readers said of them; NaN where nobody did.

    Parameters
    ----------
    frames : (N, 320, 320) uint8, letterboxed.
    extent : (N,) 0-1, fraction of 8. brixia : (N,) 0-1, fraction of 18.
    zones : (N, 6) 0-1, fraction of 3, mean of two readers.
    patient : (N,) integer names. normal, abnormal : (N,) bool, for the contrastive stage.
    """

    frames: NDArray[np.uint8]
    extent: NDArray[np.float32]
    brixia: NDArray[np.float32]
    zones: NDArray[np.float32]
    patient: NDArray[np.int64]
    nih: NDArray[np.bool_]
    normal: NDArray[np.bool_]
    abnormal: NDArray[np.bool_]
    table: pd.DataFrame

    @property
    def scored(self) -> NDArray[np.bool_]:
        """(N,) films that readers scored."""
        return ~(np.isnan(self.extent) & np.isnan(self.brixia)) & ~self.nih


def read_films(data: Path, cache: Path, limit: int | None = None) -> Films:
    """Read `data/radiographs.csv` and its films; frames are cached in `cache`.

    Parameters
    ----------
    limit : keep this many scored films, and as many normals (a quick run).
    """
    path = data / "radiographs.csv"
    if not path.is_file():
        raise FileNotFoundError(
            f"expected {path.name} and a folder radiographs/ in the data folder, found none: "
            "name a folder laid out like shared/data"
        )
    table = pd.read_csv(path)
    if limit is not None:
        scored = table.geographic_0_8.notna() & table.brixia_S_Global.notna()
        normal = (table.source == "nih") & (table.finding == "No Finding")
        table = pd.concat([table[scored].head(limit), table[normal].head(limit)])
        table = table.reset_index(drop=True)
    return label_films(table, frames(data, table, cache))


def label_films(table: pd.DataFrame, pictures: NDArray[np.uint8]) -> Films:
    """The table's columns as arrays scaled to 0-1; NIH 'No Finding' is extent 0, zones 0."""
    nih = (table.source == "nih").to_numpy()
    clear = (table.finding == "No Finding").to_numpy()
    senior = table[[f"brixia_S_{letter}" for letter in BRIXIA_LETTERS]].to_numpy(np.float32)
    junior = table[[f"brixia_J_{letter}" for letter in BRIXIA_LETTERS]].to_numpy(np.float32)
    zones = (senior + junior) / (2 * ZONE_MAX)
    extent = np.asarray(table.geographic_0_8 / EXTENT_MAX, np.float32)
    zones[nih & clear] = 0.0
    extent[nih & clear] = 0.0
    brixia = zones.sum(axis=1) * np.float32(ZONE_MAX / BRIXIA_MAX)
    worst = np.fmax(np.nan_to_num(extent, nan=-1.0), np.nan_to_num(brixia, nan=-1.0))
    unscored = worst < 0.0
    return Films(
        frames=pictures,
        extent=extent,
        brixia=brixia,
        zones=zones,
        patient=pd.factorize(table.patient)[0].astype(np.int64),
        nih=nih,
        normal=clear & (worst <= 0.0),
        abnormal=(worst >= 0.12) | (unscored & ~clear & table.finding.notna().to_numpy()),
        table=table,
    )


def frames(data: Path, table: pd.DataFrame, cache: Path) -> NDArray[np.uint8]:
    """(N, 320, 320) uint8 frames of the table's films; read once, then from `cache`."""
    path = cache / f"frames_{len(table)}.npy"
    if path.is_file():
        return np.asarray(np.load(path))
    pictures = np.stack([frame_of(data / name) for name in table.file])
    cache.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npy")
    np.save(part, pictures)
    part.replace(path)
    return pictures


def frame_of(path: Path) -> NDArray[np.uint8]:
    """One film file to its (320, 320) frame, as serving does, in 8 bits."""
    pixels = np.asarray(Image.open(path).convert("L"), np.float32) / np.float32(255)
    framed = to_frame(clip_percentiles(pixels), fit((pixels.shape[0], pixels.shape[1]), FRAME))
    return np.asarray(np.rint(framed * 255), np.uint8)


def folds(films: Films, count: int, seed: int) -> NDArray[np.int64]:
    """(N,) fold of each film: whole patients, dealt so that folds are alike in severity."""
    rng = np.random.default_rng(seed)
    severity = np.where(np.isnan(films.extent), films.brixia, films.extent)
    keys = pd.DataFrame({"patient": films.patient, "nih": films.nih, "severity": severity})
    people = keys.groupby("patient").agg(nih=("nih", "max"), severity=("severity", "mean"))
    people["stratum"] = (people.severity * 4).round().fillna(-1.0)
    people["chance"] = rng.random(len(people))
    people = people.sort_values(["nih", "stratum", "chance"])
    people["fold"] = np.arange(len(people)) % count
    return np.asarray(people.fold.sort_index(), np.int64)[films.patient]


@dataclass(frozen=True, slots=True)
class Targets:
    """What is learned, gaps filled from the other score where a film has only one of the two."""

    extent: NDArray[np.float32]
    extent_trust: NDArray[np.float32]
    brixia: NDArray[np.float32]
    brixia_trust: NDArray[np.float32]


def targets(films: Films, train: NDArray[np.int64]) -> Targets:
    """Fit extent on Brixia and back on the films of `train` that have both, and fill the gaps."""
    both = train[films.scored[train]]
    both = both[~np.isnan(films.extent[both]) & ~np.isnan(films.brixia[both])]
    extent, extent_trust = impute(films.extent, films.brixia, both)
    brixia, brixia_trust = impute(films.brixia, films.extent, both)
    return Targets(extent, extent_trust, brixia, brixia_trust)


def impute(
    wanted: NDArray[np.float32], known: NDArray[np.float32], both: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fill `wanted` with a quadratic in `known`, fitted on `both`; and how far to trust each."""
    filled, trust = wanted.copy(), np.ones_like(wanted)
    gaps = np.isnan(wanted)
    trust[gaps] = IMPUTED_TRUST
    if len(both) >= 3:
        curve = np.polyfit(known[both], wanted[both], 2)
        filled[gaps] = np.clip(np.polyval(curve, known[gaps]), 0.0, 1.0)
    return filled, trust


def batches(
    chosen: NDArray[np.int64], patient: NDArray[np.int64], size: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Shuffle patients, keep the films of one patient side by side, cut into full batches."""
    order = rng.permutation(np.unique(patient[chosen]))
    place = {name: at for at, name in enumerate(order)}
    ranked = sorted(rng.permutation(chosen), key=lambda film: place[patient[film]])
    whole = len(ranked) // size * size
    return [np.asarray(ranked[i : i + size], np.int64) for i in range(0, max(whole, 1), size)]


def augment(
    pictures: NDArray[np.uint8], size: int, rng: np.random.Generator
) -> tuple[Tensor, NDArray[np.bool_]]:
    """Distort frames (N, S, S) as other hospitals, scanners and editors would.

    Returns
    -------
    (N, 1, size, size) in [0, 1], and (N,) bool: which were mirrored (their zones swap sides).
    """
    marked = np.stack([disturb(one, rng) for one in pictures])
    films = torch.from_numpy(marked)[:, None].float() / 255.0
    flipped = rng.random(len(films)) < 0.5
    matrices = torch.from_numpy(np.stack([placement(flip, rng) for flip in flipped]))
    grid = functional.affine_grid(matrices, [len(films), 1, size, size], align_corners=False)
    moved = functional.grid_sample(films, grid, mode="bilinear", align_corners=False)
    return exposure(moved, rng), flipped


def placement(flip: bool, rng: np.random.Generator) -> NDArray[np.float32]:
    """A random (2, 3) affine: rotation of 12 degrees, scale, aspect, shift, mirror."""
    angle = math.radians(rng.uniform(-12, 12))
    scale = math.exp(rng.uniform(-0.18, 0.15))
    aspect = math.exp(rng.uniform(-0.08, 0.08))
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]]) * scale
    turn = turn @ np.diag([aspect, 1.0 / aspect])
    if flip:
        turn = turn @ np.diag([-1.0, 1.0])
    shift = rng.uniform(-0.12, 0.12, size=(2, 1))
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


def disturb(frame: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """What web pages, scanners and technicians do to a film, each at a low probability."""
    image = Image.fromarray(frame)
    if rng.random() < 0.15:
        small = int(FRAME * rng.uniform(0.35, 0.8))
        image = image.resize((small, small), Image.Resampling.BILINEAR)
        image = image.resize((FRAME, FRAME), Image.Resampling.BILINEAR)
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
        x, y = (float(v) for v in rng.uniform(0.03, 0.9, size=2) * FRAME)
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
    left, top, right, bottom = (int(v) for v in rng.uniform(0, 0.12, size=4) * FRAME)
    if left:
        pen.rectangle([0, 0, left, FRAME], fill=shade)
    if top:
        pen.rectangle([0, 0, FRAME, top], fill=shade)
    pen.rectangle([FRAME - right, 0, FRAME, FRAME], fill=shade)
    pen.rectangle([0, FRAME - bottom, FRAME, FRAME], fill=shade)


def mirror_zones(zones: NDArray[np.float32], flipped: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(N, 6) zones with sides swapped where the film was mirrored."""
    return np.where(flipped[:, None], zones[:, list(MIRRORED)], zones)
