"""The labelled films: table, cached squares around the lungs, folds by patient."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from models import runtime
from models.frame import Frame, resize, to_frame
from models.radiograph import Radiograph
from models.refusal import Refusal
from models.severity.lungs import lung_field, lung_view
from models.severity.zones import BRIXIA_LETTERS, BRIXIA_MAX, EXTENT_MAX, ZONE_MAX
from models.structures.predict import WEIGHTS, label

LOG = logging.getLogger(__name__)
IMPUTED_TRUST = 0.5  # a label imputed from the other score counts half
START_SHARE = 0.6  # of the normal collection; the rest is held out of all but the shipped network
PICTURE = 448  # side of a cached square in pixels: room for every view that training draws
PICTURE_SIDE = 1.9  # of the box around both lungs
PLACES = 112  # cells along a cached square in the maps of zones and opacities
UNKNOWN_PLACE = 255
OPACITIES = ("ground_glass_opacities", "consolidation")
LUNGS = ("right_lung", "left_lung")


@dataclass(frozen=True, slots=True)
class Films:
    """Films with what readers said of them; NaN where nobody did.

    Parameters
    ----------
    pictures : (N, 448, 448) uint8, squares around the lungs.
    places : (N, 6, 112, 112) uint8, 0-255: how much of a cell each zone fills.
    opaque : (N, 112, 112) uint8, 0-200: share of a cell inside the readers' opacities; 255 where
        nobody drew them.
    extent : (N,) 0-1, fraction of 8. brixia : (N,) 0-1, fraction of 18.
    zones : (N, 6) 0-1, fraction of 3, mean of two readers.
    patient : (N,) integer names. normal, abnormal : (N,) bool, for the contrastive loss.
    """

    pictures: NDArray[np.uint8]
    places: NDArray[np.uint8]
    opaque: NDArray[np.uint8]
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


@dataclass(frozen=True, slots=True)
class Squares:
    """What is cached of N films: see `Films`."""

    pictures: NDArray[np.uint8]
    places: NDArray[np.uint8]
    opaque: NDArray[np.uint8]


def read_films(data: Path, cache: Path, limit: int | None = None) -> Films:
    """Read `data/radiographs.csv` and its films; squares around the lungs are kept in `cache`.

    Films whose lungs cannot be found are left out, as serving refuses them; the log names them.

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
    seen, kept = squares(data, table, cache)
    return label_films(table.iloc[kept].reset_index(drop=True), seen)


def label_films(table: pd.DataFrame, seen: Squares) -> Films:
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
        pictures=seen.pictures,
        places=seen.places,
        opaque=np.where((nih & clear)[:, None, None], 0, seen.opaque).astype(np.uint8),
        extent=extent,
        brixia=brixia,
        zones=zones,
        patient=pd.factorize(table.patient)[0].astype(np.int64),
        nih=nih,
        normal=clear & (worst <= 0.0),
        abnormal=(worst >= 0.12) | (unscored & ~clear & table.finding.notna().to_numpy()),
        table=table,
    )


def squares(data: Path, table: pd.DataFrame, cache: Path) -> tuple[Squares, NDArray[np.int64]]:
    """The squares of the table's films and their rows; made once, then read from `cache`."""
    path = cache / f"squares_{stamp(table, PICTURE, PICTURE_SIDE, PLACES)}.npz"
    if not path.is_file():
        masks = readers_masks(data)
        made, kept = [], []
        for row, name in enumerate(table.file):
            try:
                made.append(square_of(data, str(name), masks))
                kept.append(row)
            except Refusal as refusal:
                LOG.warning("left out %s: %s", name, refusal.message)
        pictures, places, opaque = (np.stack(part) for part in zip(*made, strict=True))
        cache.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez(part, pictures=pictures, places=places, opaque=opaque, kept=np.array(kept))
        part.replace(path)
    with np.load(path) as stored:
        seen = Squares(stored["pictures"], stored["places"], stored["opaque"])
        return seen, stored["kept"].astype(np.int64)


def stamp(table: pd.DataFrame, *settings: float) -> str:
    """Eight digits that change with the films, the model that finds the lungs, and the settings."""
    told = [*table.file.astype(str), runtime.read_card(WEIGHTS).label, *map(str, settings)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:8]


def readers_masks(data: Path) -> pd.DataFrame:
    """Table of the radiologists' masks; empty where the data folder has none."""
    path = data / "radiologist_masks.csv"
    if not path.is_file():
        return pd.DataFrame({"radiograph": [], "structure": [], "mask": []})
    return pd.read_csv(path)


def square_of(
    data: Path, name: str, masks: pd.DataFrame
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Picture, zones and drawn opacities of one film, in the square around its lungs."""
    pixels = np.asarray(Image.open(data / name).convert("L"), np.float32) / np.float32(255)
    field = lung_field(label(Radiograph(pixels)))
    frame, picture = lung_view(pixels, field, PICTURE, PICTURE_SIDE)
    places = field.zones_in(frame, PLACES)
    drawn = union(data, masks[masks.radiograph == name], OPACITIES)
    return to_bytes(picture), to_bytes(places), opaque_places(drawn, frame)


def opaque_places(drawn: NDArray[np.bool_] | None, frame: Frame) -> NDArray[np.uint8]:
    """(112, 112) share of each cell that readers drew opaque, 0-200; 255 where none was drawn."""
    if drawn is None:
        return np.full((PLACES, PLACES), UNKNOWN_PLACE, np.uint8)
    film = drawn.astype(np.float32)
    if film.shape != frame.shape:
        film = resize(film, frame.shape)
    cells = resize(to_frame(film, frame), (PLACES, PLACES))
    return np.asarray(np.rint(np.clip(cells, 0, 1) * 200), np.uint8)


def union(data: Path, masks: pd.DataFrame, structures: tuple[str, ...]) -> NDArray[np.bool_] | None:
    """(H, W) union of the named masks of one film; None where none is drawn."""
    files = masks[masks.structure.isin(structures)]["mask"].tolist()
    if not files:
        return None
    drawn = [np.asarray(Image.open(data / file).convert("L")) > 127 for file in files]
    return np.asarray(np.logical_or.reduce(drawn), np.bool_)


def to_bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[0, 1] to 0-255."""
    return np.asarray(np.rint(values * 255), np.uint8)


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


def of_the_start(films: Films, seed: int) -> NDArray[np.bool_]:
    """(N,) bool: three fifths of the patients of the normal collection, for the common start."""
    rng = np.random.default_rng([seed, 5])
    chance = rng.random(int(films.patient.max()) + 1)
    return np.asarray(films.nih & (chance[films.patient] < START_SHARE), np.bool_)


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
