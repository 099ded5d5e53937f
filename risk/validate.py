"""Judging a finished model, as it is served, on rows that it was not fitted on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from risk import data, plots, report
from risk.additive import Table
from risk.evaluate import SAMPLES, THRESHOLDS, Judged, card_text, comparators, figures
from risk.features import BadValue
from risk.sheet import write_left_out
from risk.train import Name, load, settings_for

DIGESTS = ("rows_sha256", "recalibration_rows_sha256")


def validate(name: Name, table: Table, path: Path, out: Path, *, quick: bool = False) -> Table:
    """Measure `table` on a hospital's own rows; card, plots and report go to `out`.

    Nothing is fitted but the level of the published scores beside it, and that out of fold.

    Parameters
    ----------
    path : one CSV or Parquet table with outcomes.

    Returns
    -------
    The table with the figures in its card, each with a 95 % interval from a bootstrap by patient.

    Raises
    ------
    BadValue : the rows cannot be used, or are those that the model was fitted on.
    """
    cohort = load(name, path)
    known = {table.card["parameters"].get(key) for key in DIGESTS}
    if data.fingerprint(cohort) in known:
        raise BadValue(
            f"{path.name}: expected rows that {table.label} was not fitted on, found those very "
            "rows; give later ones, or measure a training out of fold with --run DIR"
        )
    columns = {t.variable: cohort.rows[t.variable].tolist() for t in table.terms}
    judged = [Judged(name, table.log_odds(columns))]
    judged += comparators(name, settings_for(name, quick), cohort)
    metrics = figures(name, cohort, judged, 40 if quick else SAMPLES)
    card: dict[str, Any] = {
        **table.card,
        "metrics": metrics,
        "measured_on": f"local table {cohort.name}",
        "split": "none: the model as it is; true only where no row was in its fit",
        "command": f"carina evaluate {name} --data {path.name}",
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    (out / "card.md").write_text(card_text(card), encoding="utf-8")
    if cohort.left_out is not None:
        write_left_out(cohort.left_out, out)
    plots.draw(out, cohort.label, judged, THRESHOLDS[name])
    plots.contributions(out, table, columns)
    report.write(out, card, table.label)
    return Table(
        table.name, table.version, table.baseline, table.baseline_variance, table.terms, card
    )
