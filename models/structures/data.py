"""The films that the labelling network learns from, real ones (truth in part) and projections."""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from models.frame import clip_percentiles, resize
from models.silhouette import hemidiaphragm
from models.structures.anatomy import STRUCTURES
from models.structures.projections import pack

RADIOLOGIST_NAMES = {
    "right_lung": "right_lung",
    "left_lung": "left_lung",
    "cardiomediastinum": "mediastinum",
    "airways": "trachea",
}
"""What the radiologists' masks are called, and which structure they outline."""


@dataclass(frozen=True, slots=True)
class LabelledFilm:
    """A film and the part of its truth that is known.

    Parameters
    ----------
    name : path below the data folder, or the seed of a projection.
    patient : splits are made by it.
    source : "radiologist", "v7", "unlabelled" or "projection".
    film : (h, w) uint8, stretched between its 1st and 99th percentile as in serving.
    words : (h, w) uint32, packed masks.
    known : (20,) weight of each structure's truth, 0 where unknown.
    extent : geographic extent 0-8 as read, or None.
    """

    name: str
    patient: str
    source: str
    film: NDArray[np.uint8]
    words: NDArray[np.uint32]
    known: NDArray[np.float32]
    extent: float | None


AGREEING = 0.85
"""Dice of the radiologists' and V7's lungs below which one of the two lies beside the film.

A few of the radiologists' masks are scaled or shifted against their film."""


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Overlap 2 |A and B| / (|A| + |B|); 1 where both are empty."""
    total = int(one.sum()) + int(other.sum())
    return 2.0 * float((one & other).sum()) / total if total else 1.0


def real_films(data: Path, longest_px: int) -> list[LabelledFilm]:
    """Every film under `data` with a lung mask or radiologists' masks; twice where both exist.

    Radiologists' masks that lie beside their film are left out, where V7's tell.
    """
    rows = _rows(data / "radiographs.csv")
    drawn: dict[str, dict[str, Path]] = {}
    for row in _rows(data / "radiologist_masks.csv"):
        if row["structure"] in RADIOLOGIST_NAMES:
            structure = RADIOLOGIST_NAMES[row["structure"]]
            drawn.setdefault(row["radiograph"], {})[structure] = data / row["mask"]
    films = []
    for row in rows:
        parts = drawn.get(row["file"], {})
        union = data / "masks" / "v7_lungs" / f"{Path(row['file']).stem}.png"
        if not parts and not union.is_file():
            continue
        film, shape = _read_film(data / row["file"], longest_px)
        extent = float(row["geographic_0_8"]) if row["geographic_0_8"] else None
        both = _read_mask(union, shape) if union.is_file() else None
        if parts:
            masks = {name: _read_mask(path, shape) for name, path in parts.items()}
            if both is None or _agree(masks, both):
                films.append(_labelled(row, "radiologist", film, masks, extent))
        sides = split_lungs(both) if both is not None else None
        if sides is not None:
            films.append(_labelled(row, "v7", film, sides, extent))
    return films


def _agree(masks: dict[str, NDArray[np.bool_]], both: NDArray[np.bool_]) -> bool:
    drawn = [masks[name] for name in ("right_lung", "left_lung") if name in masks]
    return len(drawn) < 2 or dice(drawn[0] | drawn[1], both) >= AGREEING


def unlabelled_films(data: Path, longest_px: int) -> list[LabelledFilm]:
    """The NIH films: another source, of which no outline is known."""
    films = []
    nothing = np.zeros(len(STRUCTURES), np.float32)
    for row in _rows(data / "radiographs.csv"):
        if row["source"] == "nih":
            film, shape = _read_film(data / row["file"], longest_px)
            words = np.broadcast_to(np.uint32(0), shape)
            films.append(
                LabelledFilm(row["file"], row["patient"], "unlabelled", film, words, nothing, None)
            )
    return films


def fold_of(patient: str, folds: int) -> int:
    """The fold of a patient: by hash, so that it never depends on who else is there."""
    return int(hashlib.sha256(patient.encode()).hexdigest()[:8], 16) % folds


def split_lungs(union: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]] | None:
    """A mask of both lungs to one each, where they are two separate pieces; else None."""
    pieces, count = ndimage.label(union)
    if count < 2:
        return None
    sizes = np.bincount(pieces.ravel())[1:]
    first, second = np.argsort(sizes)[::-1][:2] + 1
    if sizes[second - 1] < 0.2 * sizes[first - 1]:
        return None
    lungs = sorted(
        (pieces == first, pieces == second), key=lambda m: float(np.nonzero(m)[1].mean())
    )
    return dict(zip(("right_lung", "left_lung"), lungs, strict=True))


def diaphragms(masks: dict[str, NDArray[np.bool_]]) -> dict[str, NDArray[np.bool_]]:
    """The hemidiaphragms that follow from both lungs' lower borders, where both are known.

    Films state no usable pixel spacing: the two lungs together are taken to be 265 mm wide.
    """
    if "right_lung" not in masks or "left_lung" not in masks:
        return {}
    columns = np.flatnonzero((masks["right_lung"] | masks["left_lung"]).any(axis=0))
    if columns.size < 16:
        return {}
    spacing_mm = 265.0 / (columns[-1] + 1 - columns[0])
    return {
        f"{side}_hemidiaphragm": hemidiaphragm(masks[f"{side}_lung"], spacing_mm)
        for side in ("right", "left")
    }


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def _labelled(
    row: dict[str, str],
    source: str,
    film: NDArray[np.uint8],
    masks: dict[str, NDArray[np.bool_]],
    extent: float | None,
) -> LabelledFilm:
    masks = masks | diaphragms(masks)
    empty = np.zeros(film.shape, bool)
    known = np.array([name in masks for name in STRUCTURES], np.float32)
    words = pack(np.stack([masks.get(name, empty) for name in STRUCTURES]))
    return LabelledFilm(row["file"], row["patient"], source, film, words, known, extent)


def _read_film(path: Path, longest_px: int) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"), np.float32) / 255.0
    scale = longest_px / max(pixels.shape)
    shape = (round(pixels.shape[0] * scale), round(pixels.shape[1] * scale))
    return np.round(resize(clip_percentiles(pixels), shape) * 255).astype(np.uint8), shape


def _read_mask(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    with Image.open(path) as image:
        mask = np.asarray(image.convert("L"), np.float32) > 0
    return resize(mask.astype(np.float32), shape) >= 0.5


def placed(
    one: LabelledFilm, rng: np.random.Generator, size: int
) -> tuple[NDArray[np.float32], NDArray[np.uint32], NDArray[np.bool_]]:
    """Crop, turn, stretch and shift a film into the frame.

    Returns
    -------
    frame (S, S) in [0, 1], packed masks (S, S), and where the film lies (S, S).
    """
    film, words = _cropped(one, rng)
    height, width = film.shape
    scale = size / max(height, width)
    if rng.uniform() < 0.4:
        scale *= rng.uniform(0.82, 1.12)
    stretch = math.exp(rng.normal(0.0, 0.06))
    angle, lean = math.radians(rng.normal(0.0, 4.5)), rng.normal(0.0, 0.03)
    forward = np.array(
        [[math.cos(angle), -math.sin(angle) + lean], [math.sin(angle), math.cos(angle)]]
    ) @ np.diag([scale * stretch, scale / stretch])
    back = np.linalg.inv(forward)
    centre = size / 2 + rng.normal(0.0, 0.03 * size, 2)
    shift = np.array([width / 2, height / 2]) - back @ centre
    matrix = (back[0, 0], back[0, 1], shift[0], back[1, 0], back[1, 1], shift[1])
    as_film = Image.fromarray(film)
    frame = _transform(as_film, matrix, size, Image.Resampling.BILINEAR)
    inside = _transform(Image.new("L", as_film.size, 255), matrix, size, Image.Resampling.NEAREST)
    as_words = Image.fromarray(words.astype(np.int32))
    moved = _transform(as_words, matrix, size, Image.Resampling.NEAREST)
    return frame / 255.0, moved.astype(np.uint32), inside > 0


def _transform(
    image: Image.Image, matrix: tuple[float, ...], size: int, how: Image.Resampling
) -> NDArray[np.float32]:
    moved = image.transform((size, size), Image.Transform.AFFINE, matrix, how)
    return np.asarray(moved).astype(np.float32)  # 20 bits of packed masks fit in its mantissa


def _cropped(
    one: LabelledFilm, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """Cut random margins: projections come square, real films come in every shape."""
    height, width = one.film.shape
    most = 0.20 if one.source == "projection" else 0.08
    top, bottom, left, right = rng.uniform(0.0, most, 4) * (rng.uniform(size=4) < 0.6)
    rows = slice(int(top * height), height - int(bottom * height))
    columns = slice(int(left * width), width - int(right * width))
    return one.film[rows, columns], one.words[rows, columns]


def shuffled(films: list[LabelledFilm], rng: np.random.Generator) -> Iterator[LabelledFilm]:
    """Films without end, each once per round, in a new order every round."""
    while True:
        for index in rng.permutation(len(films)):
            yield films[index]


def without_fold(films: Iterable[LabelledFilm], fold: int, folds: int) -> list[LabelledFilm]:
    """The films of the patients outside `fold`."""
    return [film for film in films if fold_of(film.patient, folds) != fold]
