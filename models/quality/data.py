"""The examples of one training: frontal films by patient, and what is made from the rest."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from models import ct, phantom, projection
from models.frame import fit, resize
from models.quality import examples
from models.quality.examples import Example, Film
from models.radiograph import read_file
from models.refusal import Refusal

FOLDS = 5
REAL = "frontal film"
"""How real films that nothing was done to are named."""
_LONGEST = 288  # pixels; ample for a frame of 160
_OTHER_PARTS = {"hip": "hip_cr_rle.dcm", "leg": "leg_cr_jpeg_lossless.dcm"}


def fold_of(name: str) -> int:
    """Fold of a patient (or of any source): the same on every machine."""
    return zlib.crc32(name.encode()) % FOLDS


def read_films(data: Path, limit: int | None = None) -> tuple[list[Film], list[int]]:
    """Frontal films, small, with their patients' folds; films below the size limit are left out."""
    table = pd.read_csv(data / "radiographs.csv", low_memory=False)
    if limit is not None:
        table = table.sample(min(limit, len(table)), random_state=0)
    films, folds = [], []
    for file, patient in zip(table["file"], table["patient"].astype(str), strict=True):
        try:
            films.append(_small(read_file(data / file).pixels))
        except Refusal:
            continue
        folds.append(fold_of(patient))
    return films, folds


def _small(pixels: Film) -> Film:
    return resize(pixels, fit((pixels.shape[0], pixels.shape[1]), _LONGEST).inner)


def make(
    data: Path, films: list[Film], folds: list[int], share: float, seed: int
) -> Iterator[Example]:
    """Every example, in a fixed order.

    Parameters
    ----------
    share : how many of the made examples to make, 1 for the shipped recipe.
    """
    rng = np.random.default_rng(seed)
    yield from _frontal(films, folds, rng)
    yield from _spoiled(films, folds, share, rng)
    yield from _other_parts(data, share, rng)
    yield from _from_ct(data, share, seed, rng)
    yield from _drawn(share, rng)


def _frontal(films: list[Film], folds: list[int], rng: np.random.Generator) -> Iterator[Example]:
    for film, fold in zip(films, folds, strict=True):
        yield Example(film, "frontal", REAL, fold)
        yield Example(examples.as_sent(film, rng), "frontal", "frontal film, varied", fold)
        yield Example(examples.as_sent(film, rng), "frontal", "frontal film, varied", fold)


def _spoiled(
    films: list[Film], folds: list[int], share: float, rng: np.random.Generator
) -> Iterator[Example]:
    for made, (kind, part, maker) in examples.SPOILED.items():
        for film, fold in zip(films, folds, strict=True):
            if rng.random() < part * share:
                yield Example(maker(film, rng), kind, made, fold)


def _other_parts(data: Path, share: float, rng: np.random.Generator) -> Iterator[Example]:
    for fold, (made, file) in enumerate(_OTHER_PARTS.items()):
        film = _small(read_file(data / "dicom" / file).pixels)
        yield Example(film, "not_chest", made, fold)
        for _ in range(round(500 * share)):
            yield Example(examples.other_part(film, rng), "not_chest", made, fold)


def _from_ct(data: Path, share: float, seed: int, rng: np.random.Generator) -> Iterator[Example]:
    chest = ct.read_chest(data / "ct")
    projector = projection.Projector(chest)
    for number in range(round(60 * share)):
        shown = projection.render(projector, seed + number, size=224, extent=rng.uniform(0, 8))
        yield Example(shown.pixels, "frontal", "projection of the CT", number % FOLDS)
    for number in range(round(160 * share)):
        fold = number % FOLDS
        film = _lateral(projector, seed + number, rng)
        yield Example(film, "not_frontal", "lateral projection of the CT", fold)
        for _ in range(2):
            varied = examples.as_sent(film[:, ::-1] if rng.random() < 0.5 else film, rng)
            yield Example(varied, "not_frontal", "lateral projection of the CT", fold)
    volume = chest.hu
    for number in range(round(300 * share)):
        axis = number % 3
        place = int(rng.integers(round(0.1 * volume.shape[axis]), round(0.9 * volume.shape[axis])))
        plane = np.asarray(np.take(volume, place, axis), np.float32)[::-1]  # head up
        slice_ = examples.slice_of(resize(plane, (256, 256)), rng)
        yield Example(slice_, "unlike_training", "CT slice", number % FOLDS)


def _lateral(projector: projection.Projector, seed: int, rng: np.random.Generator) -> Film:
    stance = projection.random_stance(rng)
    side = rng.choice([-90.0, 90.0]) + rng.normal(0.0, 10.0)
    turned = replace(stance, turn_deg=(side, *stance.turn_deg[1:]))
    return projection.render(projector, seed, size=224, stance=turned).pixels


def _drawn(share: float, rng: np.random.Generator) -> Iterator[Example]:
    for number in range(round(120 * share)):
        drawn = phantom.draw(number, extent=rng.uniform(0, 8), size=288)
        yield Example(drawn.pixels, "frontal", "drawn phantom", number % FOLDS)
    for number in range(round(300 * share)):
        yield Example(examples.limb(rng), "not_chest", "drawn limb", number % FOLDS)
    for number in range(round(500 * share)):
        yield Example(
            examples.texture(rng), "unlike_training", "texture, shapes or text", number % FOLDS
        )
    for fold, picture in enumerate(_photographs()):
        for _ in range(round(200 * share)):
            yield Example(
                examples.photograph(picture, rng), "unlike_training", "photograph", fold % FOLDS
            )


def _photographs() -> list[NDArray[np.float32]]:
    """The photographs that scikit-learn ships, as grey."""
    return [
        np.asarray(np.asarray(Image.fromarray(picture).convert("L")) / 255, np.float32)
        for picture in load_sample_images().images
    ]
