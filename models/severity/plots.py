"""Pictures of the severity card; of scores, never of films."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.severity.interval import Calibration
from models.severity.zones import EXTENT_MAX

matplotlib.use("Agg")
INK, ACCENT = "#1f2933", "#c2410c"


def draw(
    out: Path,
    *,
    read: NDArray[np.float64],
    said: NDArray[np.float64],
    scored: NDArray[np.bool_],
    normal: NDArray[np.bool_],
    calibration: Calibration,
) -> None:
    """Write agreement.png, error.png and normals.png into `out`.

    Parameters
    ----------
    read, said : (N,) extent by readers and by the network, 0-8.
    scored, normal : (N,) bool, films of readers, and normals of the other collection.
    """
    known = scored & ~np.isnan(said)
    agreement(read[known], said[known], calibration).savefig(out / "agreement.png", dpi=120)
    errors(read[known], said[known]).savefig(out / "error.png", dpi=120)
    floor(said[normal & ~np.isnan(said)]).savefig(out / "normals.png", dpi=120)


def agreement(
    read: NDArray[np.float64], said: NDArray[np.float64], calibration: Calibration
) -> Figure:
    """Network against readers, with the 90 % interval as a band."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    grid = np.linspace(0.0, EXTENT_MAX, 81)
    low, high = np.array([calibration.interval(float(one)) for one in grid]).T
    axes.fill_between(grid, low, high, color=ACCENT, alpha=0.12, lw=0, label="90 % interval")
    axes.plot([0, EXTENT_MAX], [0, EXTENT_MAX], color=INK, lw=0.8)
    axes.scatter(said, read, s=14, color=INK, alpha=0.6, lw=0, label=f"{len(read)} films")
    axes.set(xlabel="extent, network (0-8)", ylabel="extent, mean of three readers (0-8)")
    axes.legend(frameon=False, loc="upper left")
    return figure


def errors(read: NDArray[np.float64], said: NDArray[np.float64]) -> Figure:
    """Difference against mean (Bland and Altman, Lancet 1986)."""
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    axes = figure.subplots()
    difference = said - read
    axes.scatter((said + read) / 2, difference, s=14, color=INK, alpha=0.6, lw=0)
    if len(difference):
        middle, spread = float(difference.mean()), float(difference.std())
        for level in (middle - 1.96 * spread, middle, middle + 1.96 * spread):
            axes.axhline(level, color=ACCENT, lw=0.8)
    axes.set(xlabel="mean of network and readers (0-8)", ylabel="network minus readers")
    return figure


def floor(said: NDArray[np.float64]) -> Figure:
    """Extent on normal films."""
    figure = Figure(figsize=(5.5, 3), layout="constrained")
    axes = figure.subplots()
    axes.hist(said, bins=np.linspace(0, EXTENT_MAX, 41).tolist(), color=INK)
    axes.set(xlabel="extent (0-8)", ylabel="NIH films without finding", yscale="log")
    return figure
