"""One page that says how well a risk model does: figures, plots, limits, in one HTML file."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

NOTICE = "Research use only. Not a medical device."
PLOTS: Mapping[str, str] = {
    "roc": "Discrimination: how often a patient with the outcome stands above one without",
    "precision_recall": "Precision: how many of those called at risk have the outcome",
    "calibration": "Calibration: what was predicted against what came; the line is perfect",
    "decision_curve": "Benefit of acting from a threshold on, against acting on everyone or no one",
    "contributions": "What moves the risk of these rows",
}
FIGURES: Mapping[str, tuple[str, str]] = {
    "auroc": ("AUROC", "1 is perfect, 0.5 is chance"),
    "average_precision": ("Average precision", "chance is the share of rows with the outcome"),
    "calibration_slope": ("Calibration slope", "1 is perfect; below 1, risks are too extreme"),
    "expected_over_observed": ("Expected / observed", "1 is perfect; above 1, risks are too high"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: its name, value, 95 % interval, and how to read it."""

    name: str
    value: str
    interval: str
    reading: str


def write(folder: Path, card: Mapping[str, Any], label: str) -> Path:
    """Write report.html to `folder` from a card with figures and the plots that lie there.

    Parameters
    ----------
    card : the model card, with `metrics` as `risk.evaluate` makes them.
    label : name, version and checksum of the model that was measured.

    Returns
    -------
    The file; it needs nothing else, the plots are inside.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    metrics = card["metrics"]
    page = environment.get_template("report.html").render(
        notice=NOTICE,
        card=card,
        label=label,
        counts=_counts(metrics, card),
        lines=_lines(metrics),
        beside=_beside(metrics),
        plots=_plots(folder),
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _counts(metrics: Mapping[str, Any], card: Mapping[str, Any]) -> list[tuple[str, str]]:
    named = {
        "rows": "rows",
        "patients": "patients",
        "patients_with_outcome": "patients with the outcome",
        "groups": "hospitals or groups",
    }
    found = [(word, f"{metrics[key]:,}") for key, word in named.items() if key in metrics]
    left_out = card.get("parameters", {}).get("rows_left_out", 0)
    return [*found, ("rows left out", f"{left_out:,}")] if left_out else found


def _lines(metrics: Mapping[str, Any]) -> list[Line]:
    return [_line(metrics[key], *words) for key, words in FIGURES.items() if key in metrics]


def _line(figure: Mapping[str, float], name: str, reading: str) -> Line:
    interval = f"{figure['low']:.3f} to {figure['high']:.3f}"
    return Line(name, f"{figure['value']:.3f}", interval, reading)


def _beside(metrics: Mapping[str, Any]) -> list[Line]:
    """The published scores on the same rows; how far the model's AUROC lies above each."""
    lines = []
    for name, found in metrics.get("comparators", {}).items():
        gain = found["auroc_below_model"]
        reading = f"{gain['value']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})"
        lines.append(_line(found["auroc"], name, reading))
    return lines


def _plots(folder: Path) -> list[tuple[str, str]]:
    """Title and data URL of each plot in the folder."""
    found = []
    for name, title in PLOTS.items():
        path = folder / f"{name}.png"
        if path.is_file():
            text = base64.b64encode(path.read_bytes()).decode("ascii")
            found.append((title, f"data:image/png;base64,{text}"))
    return found
