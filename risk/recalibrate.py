"""Fitting a model's level and spread to local outcomes, without touching what it looks at."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pandas as pd

from risk import outpatient, ventilation
from risk.additive import Table
from risk.features import BadValue
from risk.statistics import calibration

MODELS: dict[str, ModuleType] = {"ventilation": ventilation, "outpatient": outpatient}
FEWEST_OUTCOMES = 20  # below, a slope is noise


def recalibrate(table: Table, local: pd.DataFrame) -> Table:
    """A new table whose log-odds are intercept + slope times those of `table`.

    Parameters
    ----------
    local : the model's columns and `label` (1 where the outcome came).

    Returns
    -------
    Table
        Every contribution is multiplied by the slope, so that they still add up. The old table
        is unchanged; figures are dropped, since they were measured for that one.

    Raises
    ------
    BadValue : there is no label, or too few outcomes of either kind among the answered rows.
    """
    if "label" not in local:
        raise BadValue("expected a column 'label' with the outcome, found none; add it")
    rows = local.drop(columns=[c for c in ("label", "patient", "hospital") if c in local])
    answers = MODELS[table.name].predict_table(rows, table)
    answered = (answers["status"] == "ok").to_numpy()
    label = local["label"].to_numpy(dtype=bool)[answered]
    p = answers["probability"].to_numpy(float)[answered]
    if min(label.sum(), (~label).sum()) < FEWEST_OUTCOMES:
        raise BadValue(
            f"expected {FEWEST_OUTCOMES} answered rows or more with and without the outcome, found "
            f"{int(label.sum())} and {int((~label).sum())}; give more data"
        )
    intercept, slope = calibration(label, np.log(p / (1 - p)))
    if slope <= 0:
        raise BadValue(
            f"expected risks that rise with the outcome, found a slope of {slope:.2f}; check the "
            "label and the units"
        )
    terms = tuple(
        replace(
            term,
            log_odds=tuple(slope * v for v in term.log_odds),
            variance=tuple(slope**2 * v for v in term.variance),
            missing_log_odds=slope * term.missing_log_odds,
            missing_variance=slope**2 * term.missing_variance,
        )
        for term in table.terms
    )
    parameters = {
        **table.card["parameters"],
        "recalibrated_from": table.label,
        "recalibration_intercept": round(intercept, 6),
        "recalibration_slope": round(slope, 6),
        "recalibration_rows": int(answered.sum()),
    }
    return replace(
        table,
        version=f"{table.version}.local",
        baseline=intercept + slope * table.baseline,
        baseline_variance=slope**2 * table.baseline_variance,
        terms=terms,
        card={
            **table.card,
            "version": f"{table.version}.local",
            "metrics": {},
            "parameters": parameters,
        },
    )
