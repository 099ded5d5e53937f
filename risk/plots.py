"""ROC, precision-recall, calibration and decision curves, and contributions, as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from risk.additive import Table
from risk.features import base_name
from risk.statistics import Flags, Floats, net_benefit, treat_all

MOST_VARIABLES = 14  # shown in the plot of contributions
RAISES, LOWERS = "#c2410c", "#2563a8"  # told apart by colour-blind readers too


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


def contributions(out: Path, table: Table, columns: Mapping[str, Any]) -> None:
    """Write contributions.png: how far each variable moves the risk of these rows.

    The terms of one measured variable count together. A line reaches from the 5th to the 95th
    percentile of the rows' log-odds, the dot is the mean distance from their own mean.
    """
    sums: dict[str, Floats] = {}
    for term in table.terms:
        name = base_name(term.variable)
        moved = term.curve(columns[term.variable])
        sums[name] = sums[name] + moved if name in sums else moved
    spread = {name: float(np.abs(v - v.mean()).mean()) for name, v in sums.items()}
    moving = [name for name in sums if spread[name] > 0] or list(sums)
    shown = sorted(moving, key=lambda name: spread[name])[-MOST_VARIABLES:]
    figure = Figure(figsize=(7, 0.8 + 0.3 * len(shown)))
    axes = figure.subplots()
    for height, name in enumerate(shown):
        low, high = np.percentile(sums[name] - sums[name].mean(), [5, 95])
        axes.plot([low, 0], [height, height], color=LOWERS, linewidth=5, solid_capstyle="butt")
        axes.plot([0, high], [height, height], color=RAISES, linewidth=5, solid_capstyle="butt")
        axes.plot(spread[name], height, "o", color="black", markersize=4)
    axes.set_yticks(range(len(shown)), [name.replace("_", " ") for name in shown])
    axes.axvline(0, color="0.5", linewidth=1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("moves the log-odds: blue lowers, orange raises; dot: mean distance")
    figure.tight_layout()
    figure.savefig(out / "contributions.png", dpi=120)


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
    counts = np.array([int((group == g).sum()) for g in groups])
    error = 1.96 * np.sqrt(np.array(observed) * (1 - np.array(observed)) / counts)
    top = float(max(*predicted, *(np.array(observed) + error))) * 1.05
    axes.plot([0, top], [0, top], color="0.7", linewidth=1)
    axes.errorbar(
        predicted, observed, yerr=error, marker="o", capsize=2,
        label=f"{model.name}, tenths of the rows (95 %)",
    )  # fmt: skip
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
