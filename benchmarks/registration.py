"""The registration tables beside their bars: what is reached and what is not.

Without `--run` the shipped network is measured now, with `--card` the figures of the shipped card
are printed as they are. Known fields move a film by an affine (standard deviations: 2 degrees, 4 %
of scale, 2 % of the width) and a smooth bend of 2.4 to 4.7 % of the width; the identity's row says
what that amounts to.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.bars import Bar, table
from models import runtime
from registration.card import METHODS, table_lines
from registration.predict import WEIGHTS

OURS = "carina"
RIVALS = ("simpleitk_bspline", "simpleitk_demons")


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
    Bar(
        "opacity's mass, median ratio (beside: films within 10 %, share)",
        f"{KEPT}/mass_ratio",
        low=0.9,
        high=1.1,
        beside=f"{KEPT}/mass_within_10_percent",
    ),
    Bar(
        "opacity's area, median ratio (beside: films within 15 %, share)",
        f"{KEPT}/area_ratio",
        low=0.85,
        high=1.15,
        beside=f"{KEPT}/area_within_15_percent",
    ),
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
    for title, rows in metrics.items():
        found += [f"{title.replace('_', ' ').capitalize()}", "", *table_lines(rows), ""]
    return [*found, *table(BARS, metrics)]


if __name__ == "__main__":
    raise SystemExit(main())
