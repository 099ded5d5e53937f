"""Two made-up films and what torch said of them: the test of an exported network anywhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAMPLE_NAME = "sample.npz"


def sample_film(size: int = 320) -> NDArray[np.float32]:
    """(2, 1, size, size) in [0, 1], by formula: waves, and two dark ovals of a chest."""
    rows, columns = np.meshgrid(*[np.linspace(0.0, 1.0, size)] * 2, indexing="ij")
    waves = 0.5 + 0.5 * np.sin(12 * rows + 5 * columns) * np.cos(9 * columns)
    ovals = np.clip(8 * (np.abs(columns - 0.5) - 0.22) ** 2 * 4 + (rows - 0.5) ** 2 * 3, 0.0, 1.0)
    return np.stack([waves, ovals])[:, None].astype(np.float32)


def sample_zones(cells: int = 40) -> NDArray[np.float32]:
    """(2, 6, cells, cells) in [0, 1]: zones as boxes, those of the second film shifted."""
    zones = np.zeros((2, 6, cells, cells), np.float32)
    for film, shift in enumerate((0, cells // 20)):
        for zone in range(6):
            row, column = (zone % 3) * cells // 4, (zone // 3) * cells // 2
            top, left = cells // 8 + row + shift, cells // 10 + column
            zones[film, zone, top : top + cells // 4, left : left + cells // 3] = 1.0
    return zones
