"""The outpatient model beside its bars and its peers, states held out.

Everything is fitted anew without the states that judge it; the peers, a plain logistic regression
and gradient boosting (scikit-learn), get the same rows, columns and folds. `--card` prints the
shipped card's figures; the peers are not in it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmarks.bars import Bar, figure_at, table, wording
from risk.additive import shipped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from risk.data import Cohort

GROUP = "per_group"
BARS = (
    Bar("AUROC", "auroc", low=0.90),
    Bar("average precision", "average_precision", low=0.37),
    Bar("calibration slope", "calibration_slope", low=0.9, high=1.1),
    Bar(
        "expected over observed, median of the states (beside: all)",
        f"{GROUP}/expected_over_observed_median",
        low=0.9,
        high=1.1,
        beside="expected_over_observed",
    ),
)
PEERS = ("logistic regression", "gradient boosting")
PEER_BARS = (
    Bar(
        "AUROC above gradient boosting, paired (beside: boosting)",
        "peers/gradient boosting/auroc_below_model",
        low=-0.005,
        beside="peers/gradient boosting/auroc",
    ),
)
FIGURES = (
    ("AUROC, median of the states", f"{GROUP}/auroc_median"),
    ("AUROC of a plain logistic regression", "peers/logistic regression/auroc"),
    ("AUROC above it, paired", "peers/logistic regression/auroc_below_model"),
    ("average precision of gradient boosting", "peers/gradient boosting/average_precision"),
    ("calibration slope of gradient boosting", "peers/gradient boosting/calibration_slope"),
    (
        "thresholds from 2 to 50 %, share where best",
        "decision_curve/share_of_thresholds_where_best",
    ),
)


def main() -> int:
    """Print the table; 1 where a bar is missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=Path("../shared/data"))
    options.add_argument("--card", action="store_true", help="print the shipped card's figures")
    options.add_argument("--quick", action="store_true", help="few bootstraps")
    chosen = options.parse_args()
    card = shipped("outpatient").card["metrics"]
    metrics = card if chosen.card else measured(chosen.data, chosen.quick)
    bars = BARS if chosen.card else (*BARS, *PEER_BARS)
    print("\n".join(lines(bars, metrics)))
    return 0 if all(bar.is_kept(metrics) for bar in bars) else 1


def measured(data: Path, quick: bool) -> Mapping[str, Any]:
    """The figures, measured now, and those of the peers."""
    from risk import statistics  # noqa: PLC0415  # needs the extra [train], as all below
    from risk.evaluate import measure, tenths  # noqa: PLC0415
    from risk.train import load  # noqa: PLC0415

    cohort = load("outpatient", data)
    metrics, (model, *_) = measure("outpatient", data, cohort, quick=quick)
    draws = statistics.resample(cohort.patient, 20 if quick else 200, seed=1)
    mine = statistics.rank(cohort.label, model.log_odds)
    peers = {}
    for name, p in zip(PEERS, held_out_peers(cohort), strict=True):
        theirs = statistics.rank(cohort.label, p)
        slope = statistics.calibration(cohort.label, np.log(p / (1 - p)))[1]
        peers[name] = {
            "auroc": statistics.interval(theirs.auroc, draws).as_dict(),
            "auroc_below_model": statistics.interval(
                lambda w, theirs=theirs: mine.auroc(w) - theirs.auroc(w),  # type: ignore[misc]
                draws,
            ).as_dict(),
            "average_precision": statistics.interval(theirs.average_precision, draws).as_dict(),
            "calibration_slope": slope,
            "calibration_by_tenth": tenths(cohort.label, p),
        }
    return {**metrics, "peers": peers}


def held_out_peers(cohort: Cohort) -> list[NDArray[np.float64]]:
    """Probabilities of each peer, (n,), from fits that never saw the row's state."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415
    from sklearn.impute import SimpleImputer  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    from risk.basis import config  # noqa: PLC0415
    from risk.folds import folds  # noqa: PLC0415

    plain = make_pipeline(
        SimpleImputer(add_indicator=True), StandardScaler(), LogisticRegression(max_iter=500)
    )
    boosting = HistGradientBoostingClassifier(
        learning_rate=0.06, max_iter=200, max_leaf_nodes=15, min_samples_leaf=100, random_state=0
    )
    fold = folds(cohort.group, config("outpatient").folds)
    columns = peer_columns(cohort.rows)
    found = [np.zeros(len(cohort)) for _ in PEERS]
    for one in np.unique(fold):
        for p, peer in zip(found, (plain, boosting), strict=True):
            peer.fit(columns[fold != one], cohort.label[fold != one])
            p[fold == one] = peer.predict_proba(columns[fold == one])[:, 1]
    return found


def peer_columns(rows: pd.DataFrame) -> NDArray[np.float64]:
    """(n, C): numbers as they are, words as 0 and 1 with NaN where not known."""
    columns = []
    for _, values in rows.items():
        if values.notna().sum() == 0:
            continue
        if pd.api.types.is_numeric_dtype(values):
            columns.append(values.to_numpy(float))
            continue
        for level in sorted(values.dropna().unique())[1:]:
            columns.append((values == level).astype(float).where(values.notna()).to_numpy())
    return np.column_stack(columns)


def lines(bars: tuple[Bar, ...], metrics: Mapping[str, Any]) -> list[str]:
    """The bars, the figures that have none, and calibration in tenths of the rows."""
    others = [f"| {title} | {wording(figure_at(metrics, path))} | | | |" for title, path in FIGURES]
    found = metrics.get("calibration_by_tenth", {"predicted": [], "observed": []})
    pairs = zip(found["predicted"], found["observed"], strict=True)
    tenths = ["", "| tenth | predicted | observed |", "|---|---|---|"]
    tenths += [f"| {n} | {p:.4f} | {o:.4f} |" for n, (p, o) in enumerate(pairs, 1)]
    return [*table(bars, metrics), *others, *tenths]


if __name__ == "__main__":
    raise SystemExit(main())
