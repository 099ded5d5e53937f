"""What networks say of films whose patients they never saw: the ground of every figure."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.frame import clip_percentiles
from models.severity.data import FRAME, Films, folds
from models.severity.export import is_finished, read_checkpoint, read_frames, served
from models.severity.interval import KNOTS, UNKNOWN, Calibration, fit_change, fit_half_widths
from models.severity.net import CELLS
from models.severity.zones import EXTENT_MAX, ZONE_MAX

UNCLIPPED = (-10.0, 10.0)  # a range of heat that no activation leaves
FEWEST = 30  # films below which an interval is the whole scale


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Predictions in readers' units for scored and normal films; NaN where there is none
    (a fold whose training has not reached its end gives none).

    Parameters
    ----------
    extent : (N,) 0-8. zones : (N, 6) 0-3. copy_extent : (N,) 0-8, of a re-processed copy
        (scored films only).
    heat : (N, 9, 9) activation maps, any monotonous scale. fold : (N,).
    """

    extent: NDArray[np.float64]
    zones: NDArray[np.float64]
    copy_extent: NDArray[np.float64]
    heat: NDArray[np.float64]
    fold: NDArray[np.int64]

    @property
    def brixia(self) -> NDArray[np.float64]:
        """(N,) 0-18."""
        return np.asarray(self.zones.sum(axis=1), np.float64)


def predict_held_out(films: Films, count: int, seed: int, embedding: int, run: Path) -> HeldOut:
    """Predict each film with the network of its fold; cached beside the checkpoints.

    Parameters
    ----------
    count, seed : of the folds, as trained.
    run : folder of a training with `fold0.pt`, ...
    """
    fold = folds(films, count, seed)
    result = nothing(fold)
    for k in range(count):
        checkpoint = run / f"fold{k}.pt"
        if is_finished(checkpoint):
            chosen = np.flatnonzero((fold == k) & (films.scored | films.normal))
            said = fold_predictions(films, chosen, checkpoint, embedding)
            for name, values in said.items():
                getattr(result, name)[chosen] = values
    return result


def nothing(fold: NDArray[np.int64]) -> HeldOut:
    """No predictions yet."""
    size = len(fold)
    return HeldOut(
        extent=np.full(size, np.nan),
        zones=np.full((size, 6), np.nan),
        copy_extent=np.full(size, np.nan),
        heat=np.full((size, CELLS, CELLS), np.nan),
        fold=fold,
    )


def fold_predictions(
    films: Films, chosen: NDArray[np.int64], checkpoint: Path, embedding: int
) -> dict[str, NDArray[np.float64]]:
    """The arrays of `HeldOut`, by name, for the chosen films."""
    cache = checkpoint.with_suffix(".predictions.npz")
    if cache.is_file() and cache.stat().st_mtime >= checkpoint.stat().st_mtime:
        with np.load(cache, allow_pickle=False) as stored:
            if np.array_equal(stored["chosen"], chosen):
                return {name: stored[name] for name in stored.files if name != "chosen"}
    net = served(read_checkpoint(checkpoint, embedding), UNCLIPPED)
    seen = read_frames(net, films.frames[chosen])
    scored = films.scored[chosen]
    copies = reprocessed(films.frames[chosen[scored]])
    again = np.full(len(chosen), np.nan)
    again[scored] = read_frames(net, copies)["extent"]
    said = {
        "extent": np.clip(seen["extent"].astype(np.float64), 0, 1) * EXTENT_MAX,
        "zones": np.clip(seen["zones"].astype(np.float64), 0, 1) * ZONE_MAX,
        "copy_extent": np.clip(again, 0, 1) * EXTENT_MAX,
        "heat": seen["heat"].astype(np.float64),
    }
    savez: Any = np.savez_compressed  # its stub takes no mapping of arrays
    savez(cache, chosen=chosen, **said)
    return said


def reprocessed(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A re-processed copy of each frame; the same copies in every call."""
    rng = np.random.default_rng(0)
    return np.stack([reprocess(frame, rng) for frame in frames])


def reprocess(frame: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The same lungs as another console would send them: one change of several, at random.

    JPEG at quality 75, half resolution, five degrees turned, 10 % cropped, black borders, another
    gamma.
    """
    image = Image.fromarray(frame)
    kind = int(rng.integers(6))
    if kind == 0:
        packed = io.BytesIO()
        image.save(packed, format="JPEG", quality=75)
        image = Image.open(packed)
    elif kind == 1:
        half = image.resize((FRAME // 2, FRAME // 2), Image.Resampling.BILINEAR)
        image = half.resize((FRAME, FRAME), Image.Resampling.BILINEAR)
    elif kind == 2:
        image = image.rotate(float(rng.choice([-5.0, 5.0])), Image.Resampling.BILINEAR)
    elif kind == 3:
        edge = FRAME // 20
        box = (edge, edge, FRAME - edge, FRAME - edge)
        image = image.resize((FRAME, FRAME), Image.Resampling.BILINEAR, box=box)
    elif kind == 4:
        inner, edge = FRAME * 9 // 10, FRAME // 20
        page = Image.new("L", (FRAME, FRAME))
        page.paste(image.resize((inner, inner), Image.Resampling.BILINEAR), (edge, edge))
        image = page
    else:
        bent = (np.asarray(image, np.float32) / 255) ** np.float32(rng.choice([0.8, 1.25]))
        return np.asarray(np.rint(bent * 255), np.uint8)
    stretched = clip_percentiles(np.asarray(image, np.float32) / np.float32(255))
    return np.asarray(np.rint(stretched * 255), np.uint8)


def patient_pairs(films: Films, known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(P, 2) films of one patient, earlier first where both days are known."""
    day = films.table.day.to_numpy(np.float64)
    pairs = []
    chosen = np.flatnonzero(known)
    for at, first in enumerate(chosen):
        for second in chosen[at + 1 :]:
            if films.patient[first] == films.patient[second]:
                later = day[first] > day[second]
                pairs.append((second, first) if later else (first, second))
    return np.asarray(pairs, np.int64).reshape(-1, 2)


def calibrate(films: Films, held: HeldOut, chosen: NDArray[np.bool_] | None = None) -> Calibration:
    """Interval widths and the noise of a change, from the held-out films in `chosen`.

    Parameters
    ----------
    chosen : (N,) bool; all films with a reader's extent where it is None.
    """
    read = ~films.nih & ~np.isnan(films.extent) & ~np.isnan(held.extent)
    if chosen is not None:
        read &= chosen
    truth = films.extent.astype(np.float64) * EXTENT_MAX
    if read.sum() < FEWEST:
        return UNKNOWN
    widths = fit_half_widths(held.extent[read], (truth - held.extent)[read])
    pairs = patient_pairs(films, read)
    error = (held.extent - truth)[pairs[:, 1]] - (held.extent - truth)[pairs[:, 0]]
    copies = (held.copy_extent - held.extent)[read]
    sigma, half = fit_change(error, copies)
    return Calibration(tuple(KNOTS.tolist()), tuple(widths.tolist()), sigma, half)
