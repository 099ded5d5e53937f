"""The severity table of the card beside its bars: what is reached and what is not.

Figures come from `carina evaluate severity`; without `--run` they are those that the shipped card
holds, with `--run` they are measured again from the checkpoints of a training.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.bars import Bar, figure_at, table, wording
from models import runtime
from models.severity.predict import WEIGHTS

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
    kept = [bar.is_kept(figures) for bar in BARS]
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
    return [*table(BARS, figures), *([last] if last else [])]


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


if __name__ == "__main__":
    raise SystemExit(main())
