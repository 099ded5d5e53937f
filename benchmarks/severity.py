"""The severity table of the card beside its bars: what is reached and what is not.

Figures come from `carina evaluate severity`; without `--run` they are those that the shipped card
holds, with `--run` they are measured again from the checkpoints of a training.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import runtime
from models.severity.predict import WEIGHTS


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of the table.

    Parameters
    ----------
    path : of the figure within the card's metrics.
    low, high : bounds that the figure shall keep; None where there is none.
    beside : path of a published or human figure, "" where there is none.
    """

    title: str
    path: str
    low: float | None = None
    high: float | None = None
    beside: str = ""

    def is_kept(self, figure: Mapping[str, Any]) -> bool:
        """Whether the value is known and within the bounds."""
        value = figure.get("value")
        if value is None:
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def wording(self) -> str:
        """The bounds in words."""
        if self.low is not None and self.high is not None:
            return f"{self.low} to {self.high}"
        return f">= {self.low}" if self.low is not None else f"<= {self.high}"


READERS = "brixia_187/senior_against_junior"
BARS = (
    Bar("93 public films, r (PXS)", "public_93/carina/r", low=0.88, beside="public_93/pxs/r"),
    Bar("same, r (BS-Net)", "public_93/carina/r", low=0.88, beside="public_93/bsnet/r"),
    Bar("same, r (COVIDNet-S)", "public_93/carina/r", low=0.88, beside="public_93/covidnet_s/r"),
    Bar("same, MAE (PXS)", "public_93/carina/mae", high=0.9, beside="public_93/pxs/mae_after_line"),
    Bar("240 films, r", "extent_240/r", low=0.86),
    Bar("240 films, MAE", "extent_240/mae", high=1.0),
    Bar("Brixia, r (readers)", "brixia_187/carina/r", low=0.87, beside=f"{READERS}/r"),
    Bar("Brixia, MAE (readers)", "brixia_187/carina/mae", high=1.9, beside=f"{READERS}/mae"),
    Bar("Brixia, kappa (readers)", "brixia_187/carina/kappa", low=0.85, beside=f"{READERS}/kappa"),
    Bar("zones 0-3, MAE", "brixia_187/zone_mae", high=0.5),
    Bar("change, Spearman", "change/spearman", low=0.78),
    Bar("change, direction", "change/direction", low=0.85),
    Bar("90 % interval, coverage", "interval_90/coverage", low=0.87, high=0.93),
    Bar("NIH normals, median", "nih_normals/median", high=0.3),
    Bar("NIH normals, 95th percentile", "nih_normals/p95", high=1.5),
    Bar("heat in the lungs, pixel AUROC", "heat/median_pixel_auroc", low=0.85),
)


def main() -> int:
    """Print the table; 1 where a bar is missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=Path("../shared/data"))
    options.add_argument("--run", type=Path, help="folder of a finished training")
    options.add_argument("-o", "--out", type=Path, default=Path("evaluation/severity"))
    chosen = options.parse_args()
    figures = measured(chosen.data, chosen.out, chosen.run) if chosen.run else shipped()
    print("\n".join(lines(figures)))
    kept = [bar.is_kept(figure_at(figures, bar.path)) for bar in BARS]
    return 0 if all(kept) and (gain(figures).get("low") or 0.0) > 0 else 1


def shipped() -> Mapping[str, Any]:
    """The figures that the shipped card holds."""
    return runtime.read_card(WEIGHTS).metrics


def measured(data: Path, out: Path, run: Path) -> Mapping[str, Any]:
    """The figures of a training, measured now."""
    from models.severity.evaluate import evaluate  # noqa: PLC0415  # needs the extra [train]

    return evaluate(data, out, run=run)


def lines(figures: Mapping[str, Any]) -> list[str]:
    """The table in markdown."""
    last = gain_line(figures)
    head = ["| figure | value (95 % interval) | beside | bar | |", "|---|---|---|---|---|"]
    return [*head, *(line(bar, figures) for bar in BARS), *([last] if last else [])]


def line(bar: Bar, figures: Mapping[str, Any]) -> str:
    """One row of the table."""
    figure = figure_at(figures, bar.path)
    beside = wording(figure_at(figures, bar.beside)) if bar.beside else ""
    kept = "reached" if bar.is_kept(figure) else "missed"
    return f"| {bar.title} | {wording(figure)} | {beside} | {bar.wording()} | {kept} |"


def gain(figures: Mapping[str, Any]) -> Mapping[str, Any]:
    """The paired gain over PXS."""
    return figure_at(figures, "public_93/gain_in_r_over_pxs")


def gain_line(figures: Mapping[str, Any]) -> str:
    """The paired gain over PXS, whose interval shall exclude zero; "" where it is not known."""
    found = gain(figures)
    if found.get("low") is None:
        return ""
    kept = "reached" if found["low"] > 0 else "missed"
    return f"| gain in r over PXS, paired | {wording(found)} | | excludes 0 | {kept} |"


def figure_at(figures: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """The figure at a path of names; empty where the card has none."""
    found: Any = figures
    for name in path.split("/"):
        found = found.get(name, {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


def wording(figure: Mapping[str, Any]) -> str:
    """Value and interval in words."""
    if figure.get("value") is None:
        return "not measured"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


if __name__ == "__main__":
    raise SystemExit(main())
