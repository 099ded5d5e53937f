"""The ventilation model beside its bars, hospitals held out: what is reached and what is not.

Everything is fitted and chosen anew without the hospitals that judge it (some minutes); `--card`
prints the figures that the shipped card holds.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.bars import Bar, figure_at, table, wording
from risk.additive import shipped

ALARMS = "at_80_percent_of_onsets"
BELOW = "auroc_below_model"
BARS = (
    Bar("AUROC (beside: ROX)", "auroc", low=0.77, beside="comparators/ROX/auroc"),
    Bar("same, above ROX, paired", f"comparators/ROX/{BELOW}", low=0.06),
    Bar(
        "same, above NEWS2, paired (beside: NEWS2)",
        f"comparators/NEWS2/{BELOW}",
        low=0.08,
        beside="comparators/NEWS2/auroc",
    ),
    Bar("calibration slope", "calibration_slope", low=0.8, high=1.2),
    Bar("expected over observed", "expected_over_observed", low=0.9, high=1.1),
    Bar(
        "net benefit per 1000 hours above everyone and every score, least from 1 to 20 %",
        "decision_curve/least_margin_per_1000",
        low=0.0,
    ),
    Bar(
        "thresholds from 1 to 20 % where it is best, share (beside: better than nobody)",
        "decision_curve/share_of_thresholds_where_best",
        low=1.0,
        beside="decision_curve/share_of_thresholds_above_no_one",
    ),
)
FIGURES = (
    ("average precision", "average_precision"),
    ("AUROC above qCSI, paired", f"comparators/qCSI/{BELOW}"),
    ("precision of hours at 80 % of onsets caught", f"{ALARMS}/precision_of_rows"),
    ("precision of alarms, silent for 12 h after each", f"{ALARMS}/precision_of_alarms"),
    ("alarms per patient-day", f"{ALARMS}/alarms_per_patient_day"),
    ("lead time, median hours", f"{ALARMS}/lead_h"),
    ("AUROC without the last 2 h before the onset", "auroc_without_last_2_h"),
    ("AUROC, hours 1 to 24", "auroc_first_day"),
    ("AUROC, later hours", "auroc_after_first_day"),
    ("AUROC without CinC 2012, packaged penalties", "without_cinc2012/auroc"),
    ("AUROC that CinC 2012 adds to it, paired", "without_cinc2012/auroc_gained_with_it"),
    *(
        (f"CinC 2012 set {held}, {words}", f"cinc2012/set_{held}/{fitted}/{figure}")
        for held, other in (("a", "b"), ("b", "a"))
        for fitted, who in (("alone", f"fitted on {other}"), ("model", f"eICU with {other}"))
        for figure, words in (
            ("auroc", f"{who}: AUROC"),
            ("calibration_slope", f"{who}: slope"),
            ("expected_over_observed", f"{who}: expected over observed"),
        )
    ),
)


def main() -> int:
    """Print the table; 1 where a bar is missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=Path("../shared/data"))
    options.add_argument("--card", action="store_true", help="print the shipped card's figures")
    options.add_argument("--quick", action="store_true", help="few bootstraps, nothing chosen")
    chosen = options.parse_args()
    card = shipped("ventilation").card["metrics"]
    metrics = card if chosen.card else measured(chosen.data, chosen.quick)
    print("\n".join(lines(metrics)))
    return 0 if all(bar.is_kept(metrics) for bar in BARS) else 1


def measured(data: Path, quick: bool) -> Mapping[str, Any]:
    """The figures, measured now."""
    from risk.evaluate import measure  # noqa: PLC0415  # needs the extra [train]
    from risk.train import load  # noqa: PLC0415  # the same

    return measure("ventilation", data, load("ventilation", data), quick=quick)[0]


def lines(metrics: Mapping[str, Any]) -> list[str]:
    """The bars, then the figures that have none."""
    others = [f"| {title} | {wording(figure_at(metrics, path))} | | | |" for title, path in FIGURES]
    partitions = metrics.get("auroc_of_other_partitions", [])
    found = ", ".join(f"{one:.3g}" for one in partitions)
    last = f"| AUROC, hospitals dealt out in other ways | {found} | | | |"
    return [*table(BARS, metrics), *others, last]


if __name__ == "__main__":
    raise SystemExit(main())
