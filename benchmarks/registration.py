"""The registration tables beside their bars: what is reached and what is not.

Without `--run` the shipped network is measured now, with `--card` the figures of the shipped card
are printed as they are. Known fields move a film by an affine (standard deviations: 2 degrees, 4 %
of scale, 2 % of the width) and a smooth bend of 2.4 to 4.7 % of the width; the identity's row says
what that amounts to.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.severity import figure_at
from models import runtime
from registration.card import METHODS, table_lines, wording
from registration.predict import WEIGHTS

OURS = "carina"
RIVALS = ("simpleitk_bspline", "simpleitk_demons")


@dataclass(frozen=True, slots=True)
class Bar:
    """One claim.

    Parameters
    ----------
    path : of the figure within the card's metrics.
    low, high : bounds that its value shall keep; None where there is none.
    """

    title: str
    path: str
    low: float | None = None
    high: float | None = None

    def is_kept(self, metrics: Mapping[str, Any]) -> bool:
        """Whether the value is known and within the bounds."""
        value = value_at(metrics, self.path)
        if value is None:
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def bounds(self) -> str:
        """The bounds in words."""
        if self.low is not None and self.high is not None:
            return f"{self.low:g} to {self.high:g}"
        return f">= {self.low:g}" if self.low is not None else f"<= {self.high:g}"


KNOWN, DATED, KEPT = (
    f"{table}/{OURS}" for table in ("known_deformations", "same_patient_pairs", "disease_kept")
)
BARS = (
    Bar("known fields, median error, % of width", f"{KNOWN}/median_percent_of_width", high=0.8),
    Bar("same, 95th percentile", f"{KNOWN}/p95_percent_of_width", high=2.5),
    Bar("folded pixels, known fields", f"{KNOWN}/folded_pixels", high=0),
    Bar("folded pixels, dated films", f"{DATED}/folded_pixels", high=0),
    Bar("inverse consistency, 95th percentile, px", f"{KNOWN}/inverse_p95_px", high=0.5),
    Bar("dated films, Dice better than affine, share", f"{DATED}/better_than_affine", low=0.95),
    *(
        Bar(f"dated films, gain in Dice over {METHODS[rival]}", f"{DATED}/gain_over_{rival}", low=0)
        for rival in RIVALS
    ),
    Bar("false change removed", f"{KEPT}/false_change_removed_against_affine", low=0.6),
    Bar("opacity's mass, median ratio", f"{KEPT}/mass_ratio", low=0.9, high=1.1),
    Bar("opacity's area, median ratio", f"{KEPT}/area_ratio", low=0.85, high=1.15),
)


def main() -> int:
    """Print the tables and the bars; 1 where a bar is missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=Path("../shared/data"))
    options.add_argument("--run", type=Path, help="folder of a finished training")
    options.add_argument("--card", action="store_true", help="print the shipped card's figures")
    options.add_argument("--share", type=float, default=1.0, help="of the films and pairs")
    chosen = options.parse_args()
    weights = chosen.run or WEIGHTS
    metrics = (
        runtime.read_card(weights).metrics
        if chosen.card
        else measured(chosen.data, weights, chosen.share)
    )
    print("\n".join(lines(metrics)))
    return 0 if all(bar.is_kept(metrics) for bar in BARS) else 1


def measured(data: Path, weights: Path, share: float) -> dict[str, Any]:
    """The figures, measured now."""
    from registration.evaluate import measure  # noqa: PLC0415  # needs the extra [train]

    return measure(data, weights, share)


def lines(metrics: Mapping[str, Any]) -> list[str]:
    """All tables and the bars in markdown."""
    found: list[str] = []
    for title, table in metrics.items():
        found += [f"{title.replace('_', ' ').capitalize()}", "", *table_lines(table), ""]
    found += ["| figure | value (95 % interval) | bar | |", "|---|---|---|---|"]
    return found + [line(bar, metrics) for bar in BARS]


def line(bar: Bar, metrics: Mapping[str, Any]) -> str:
    """One bar."""
    table, method, column = bar.path.split("/")
    figure = figure_at(metrics, f"{table}/{method}").get(column)
    kept = "reached" if bar.is_kept(metrics) else "missed"
    return f"| {bar.title} | {wording(figure)} | {bar.bounds()} | {kept} |"


def value_at(metrics: Mapping[str, Any], path: str) -> float | None:
    """The figure's value; None where the card has none."""
    table, method, column = path.split("/")
    figure = figure_at(metrics, f"{table}/{method}").get(column)
    found = figure.get("value") if isinstance(figure, Mapping) else figure
    return None if found is None else float(found)


if __name__ == "__main__":
    raise SystemExit(main())
