"""Does the heat lie where two radiologists drew opacities? Pixel AUROC inside the lungs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.frame import from_frame, resize
from models.severity.data import LUNGS, OPACITIES, union
from models.severity.figures import rank_auroc
from models.severity.serving import Served

MARKED = 0.5  # heat above which a cell counts as drawn
WIDTH = 160  # pixels along the longer side: finer than the heat map, coarser than the drawing
FEWEST_PIXELS = 30  # of each kind, for a film to be judged


def film_aurocs(
    data: Path, names: list[str], heat: NDArray[np.float64], views: Served
) -> NDArray[np.float64]:
    """(N,) pixel AUROC of each film's heat, inside the drawn lungs; NaN where nothing is drawn.

    Parameters
    ----------
    data : folder with radiologist_masks.csv.
    names : (N,) as in the column `radiograph`. heat : (N, s, s) over the films' views.
    views : (N) where each film lies in its view.
    """
    table = pd.read_csv(data / "radiologist_masks.csv")
    found = np.full(len(names), np.nan)
    for at, name in enumerate(names):
        masks = table[table.radiograph == name]
        lungs = union(data, masks, LUNGS)
        opaque = union(data, masks, OPACITIES)
        if lungs is None or opaque is None or np.isnan(heat[at]).any():
            continue
        small = shape_of(lungs.shape)
        frame = replace(views.frame(at), shape=small)
        placed = from_frame(heat[at].astype(np.float32), frame)
        inside = shrunk(lungs, small)
        truth = shrunk(opaque, small)[inside]
        if min(truth.sum(), (~truth).sum()) >= FEWEST_PIXELS:
            found[at] = rank_auroc(placed[inside].astype(np.float64), truth)
    return found


def marked_share(views: Served, heat: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) share of each film's lungs that the heat (N, 40, 40) marks; NaN where there is none."""
    lungs = np.clip(views.zones.astype(np.float64).sum(axis=1) / 255.0, 0.0, 1.0)
    marked = np.where(np.isnan(heat), np.nan, heat > MARKED)
    return np.asarray((marked * lungs).sum(axis=(1, 2)) / np.maximum(lungs.sum(axis=(1, 2)), 1.0))


def shape_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """The film's shape at `WIDTH` pixels along its longer side."""
    longest = max(shape)
    return max(1, round(shape[0] * WIDTH / longest)), max(1, round(shape[1] * WIDTH / longest))


def shrunk(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask at another size: a pixel is set where half of it is."""
    return resize(mask.astype(np.float32), shape) >= 0.5
