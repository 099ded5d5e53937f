"""What networks say of films whose patients they never saw: the ground of every figure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.severity.data import Films, folds, of_the_start
from models.severity.export import finished, read_network, read_views, served
from models.severity.interval import KNOTS, UNKNOWN, Calibration, fit_change, fit_half_widths
from models.severity.serving import Served
from models.severity.view import INPUT_CELLS
from models.severity.zones import EXTENT_MAX, ZONE_MAX

FEWEST = 30  # films below which an interval is the whole scale


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Predictions in readers' units for scored and normal films; NaN where there is none
    (a fold whose training has not reached its end, and normal films that all networks learn from).

    Parameters
    ----------
    extent : (N,) 0-8. zones : (N, 6) 0-3. copy_extent, copy_zones : of a re-processed
        copy.
    heat : (N, 40, 40) in [0, 1] over the view. fold : (N,).
    """

    extent: NDArray[np.float64]
    zones: NDArray[np.float64]
    copy_extent: NDArray[np.float64]
    copy_zones: NDArray[np.float64]
    heat: NDArray[np.float64]
    fold: NDArray[np.int64]

    @property
    def brixia(self) -> NDArray[np.float64]:
        """(N,) 0-18."""
        return np.asarray(self.zones.sum(axis=1), np.float64)


def predict_held_out(
    films: Films, views: tuple[Served, Served], recipe: dict[str, Any], run: Path
) -> HeldOut:
    """Predict each film with the network of its fold; cached beside the checkpoints.

    Parameters
    ----------
    views : of the films and of their re-processed copies.
    recipe : folds, members, seed and embedding, as trained.
    run : folder of a training with `fold0-0.pt`, ...
    """
    fold = folds(films, int(recipe["folds"]), int(recipe["seed"]))
    learned = of_the_start(films, int(recipe["seed"]))
    result = nothing(fold)
    for k in range(int(recipe["folds"])):
        checkpoints = finished(run, f"fold{k}", int(recipe["members"]))
        if checkpoints:
            chosen = np.flatnonzero((fold == k) & (films.scored | films.normal) & ~learned)
            said = fold_predictions(views, chosen, checkpoints, int(recipe["embedding"]))
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
        copy_zones=np.full((size, 6), np.nan),
        heat=np.full((size, INPUT_CELLS, INPUT_CELLS), np.nan),
        fold=fold,
    )


def fold_predictions(
    views: tuple[Served, Served],
    chosen: NDArray[np.int64],
    checkpoints: list[Path],
    embedding: int,
) -> dict[str, NDArray[np.float64]]:
    """The arrays of `HeldOut`, by name, for the chosen films."""
    cache = checkpoints[-1].with_suffix(".predictions.npz")
    digest = " ".join(one.digest(chosen) for one in views)
    newest = max(path.stat().st_mtime for path in checkpoints)
    if cache.is_file() and cache.stat().st_mtime >= newest:
        with np.load(cache, allow_pickle=False) as stored:
            kept = {name: stored[name] for name in stored.files}
        if str(kept.pop("views", "")) == digest and "copy_zones" in kept:
            return kept
    net = served(read_network(checkpoints, embedding))
    seen, again = (read_views(net, one, chosen) for one in views)
    said = {
        "extent": seen["extent"].astype(np.float64) * EXTENT_MAX,
        "zones": seen["zones"].astype(np.float64) * ZONE_MAX,
        "copy_extent": again["extent"].astype(np.float64) * EXTENT_MAX,
        "copy_zones": again["zones"].astype(np.float64) * ZONE_MAX,
        "heat": seen["heat"].astype(np.float64),
    }
    savez: Any = np.savez_compressed  # its stub takes no mapping of arrays
    savez(cache, views=digest, **said)
    return said


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
    return Calibration(
        tuple(KNOTS.tolist()),
        tuple(widths.tolist()),
        sigma,
        half,
        *zone_noise(films, held, chosen),
    )


def zone_noise(
    films: Films, held: HeldOut, chosen: NDArray[np.bool_] | None = None
) -> tuple[float, float]:
    """Sigma and 90 % half-width of the change of one zone; the whole scale where few were read."""
    truth = films.zones.astype(np.float64) * ZONE_MAX
    read = ~films.nih & ~np.isnan(truth).any(axis=1) & ~np.isnan(held.extent)
    if chosen is not None:
        read &= chosen
    pairs = patient_pairs(films, read)
    if len(pairs) < FEWEST:
        return ZONE_MAX, ZONE_MAX
    wrong = held.zones - truth
    copies = (held.copy_zones - held.zones)[read]
    return fit_change((wrong[pairs[:, 1]] - wrong[pairs[:, 0]]).ravel(), copies.ravel())
