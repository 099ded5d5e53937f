"""ROC, precision-recall, calibration and decision curves as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from risk.statistics import Flags, Floats, net_benefit, treat_all


class Scored(Protocol):
    """A name and a probability per row."""

    @property
    def name(self) -> str:
        """What the legend says."""
        ...

    @property
    def probability(self) -> Floats:
        """(n,), in [0, 1]."""
        ...


def draw(out: Path, label: Flags, judged: Sequence[Scored], thresholds: Floats) -> None:
    """Write roc.png, precision_recall.png, calibration.png and decision_curve.png to `out`."""
    roc, precision = Figure(figsize=(5, 5)), Figure(figsize=(5, 5))
    roc_axes, precision_axes = roc.subplots(), precision.subplots()
    for one in judged:
        hits, misses = _sweep(label, one.probability)
        cases, controls = hits[-1], misses[-1]
        roc_axes.plot(misses / controls, hits / cases, label=one.name)
        found = hits + misses
        precision_axes.plot(hits[1:] / cases, hits[1:] / found[1:], label=one.name)
    roc_axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    _finish(roc, roc_axes, "1 - specificity", "sensitivity", out / "roc.png")
    _finish(precision, precision_axes, "sensitivity", "precision", out / "precision_recall.png")
    _calibration(out / "calibration.png", label, judged[0])
    _decision(out / "decision_curve.png", label, judged, thresholds)


def _sweep(label: Flags, p: Floats) -> tuple[Floats, Floats]:
    """Cases and controls at or above each distinct probability, zero first."""
    order = np.argsort(-p, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(p[order])), len(p) - 1)
    hits = np.concatenate([[0.0], np.cumsum(label[order])[ends]])
    misses = np.concatenate([[0.0], np.cumsum(~label[order])[ends]])
    return hits, misses


def _calibration(path: Path, label: Flags, model: Scored) -> None:
    figure = Figure(figsize=(5, 5))
    axes = figure.subplots()
    p = model.probability
    edges = np.unique(np.quantile(p, np.linspace(0, 1, 11)))
    group = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, max(len(edges) - 2, 0))
    groups = np.unique(group)
    predicted = [p[group == g].mean() for g in groups]
    observed = [label[group == g].mean() for g in groups]
    top = float(max(*predicted, *observed)) * 1.05
    axes.plot([0, top], [0, top], color="0.7", linewidth=1)
    axes.plot(predicted, observed, marker="o", label=f"{model.name}, tenths of the rows")
    _finish(figure, axes, "predicted probability", "observed share", path)


def _decision(path: Path, label: Flags, judged: Sequence[Scored], thresholds: Floats) -> None:
    figure = Figure(figsize=(6, 4.5))
    axes = figure.subplots()
    for one in judged:
        benefit = 1000 * net_benefit(label, one.probability, thresholds)
        axes.plot(thresholds, benefit, label=one.name)
    everyone = 1000 * treat_all(label, thresholds)
    axes.plot(thresholds, everyone, color="0.5", linestyle=":", label="everyone")
    axes.axhline(0, color="0.5", linewidth=1, label="no one")
    axes.set_ylim(bottom=max(-2.0, float(everyone.min())))
    _finish(figure, axes, "threshold", "net benefit per 1000 rows", path)


def _finish(figure: Figure, axes: Axes, x: str, y: str, path: Path) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
