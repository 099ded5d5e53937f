"""Does the heat lie where two radiologists drew opacities? Pixel AUROC inside the lungs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from models.frame import fit, from_frame, resize
from models.severity.data import FRAME
from models.severity.figures import rank_auroc

OPACITIES = ("ground_glass_opacities", "consolidation")
LUNGS = ("right_lung", "left_lung")
WIDTH = 160  # pixels along the longer side: finer than the heat map, coarser than the drawing
FEWEST_PIXELS = 30  # of each kind, for a film to be judged


def film_aurocs(data: Path, names: list[str], heat: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) pixel AUROC of each film's heat, inside the drawn lungs; NaN where nothing is drawn.

    Parameters
    ----------
    data : folder with radiologist_masks.csv.
    names : (N,) as in the column `radiograph`. heat : (N, s, s) over the network's frame.
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
        placed = from_frame(heat[at].astype(np.float32), fit(small, FRAME))
        inside = shrunk(lungs, small)
        truth = shrunk(opaque, small)[inside]
        if min(truth.sum(), (~truth).sum()) >= FEWEST_PIXELS:
            found[at] = rank_auroc(placed[inside].astype(np.float64), truth)
    return found


def union(data: Path, masks: pd.DataFrame, structures: tuple[str, ...]) -> NDArray[np.bool_] | None:
    """(H, W) union of the named masks; None where none is drawn."""
    files = masks[masks.structure.isin(structures)]["mask"].tolist()
    if not files:
        return None
    drawn = [np.asarray(Image.open(data / file).convert("L")) > 127 for file in files]
    return np.asarray(np.logical_or.reduce(drawn), np.bool_)


def shape_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """The film's shape at `WIDTH` pixels along its longer side."""
    longest = max(shape)
    return max(1, round(shape[0] * WIDTH / longest)), max(1, round(shape[1] * WIDTH / longest))


def shrunk(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask at another size: a pixel is set where half of it is."""
    return resize(mask.astype(np.float32), shape) >= 0.5
