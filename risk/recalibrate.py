"""Fitting a model's level and spread to local outcomes, without touching what it looks at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from risk import data, statistics
from risk.additive import Table
from risk.data import Cohort
from risk.features import BadValue
from risk.folds import folds, random_folds
from risk.statistics import Flags, Floats, calibration
from risk.train import Name, derived

FEWEST_OUTCOMES = 20  # patients with and without the outcome; below, a slope is noise
FEWEST_IN_FOLDS = 5  # rows with the outcome outside of each held-out fold
FOLDS = 5
SAMPLES = 200


@dataclass(frozen=True, slots=True)
class Answered:
    """The local rows that the old model answers: its log-odds (n,), and what came."""

    log_odds: Floats
    cohort: Cohort

    @property
    def label(self) -> Flags:
        """(n,), True where the outcome came."""
        return self.cohort.label


def recalibrate(table: Table, local: pd.DataFrame, called: str = "the table") -> Table:
    """A new table whose log-odds are intercept + slope times those of `table`.

    Parameters
    ----------
    local : the model's columns, `label` (1 where the outcome came) and `patient`.
    called : what messages and the card call these rows.

    Returns
    -------
    Table
        Every contribution is multiplied by the slope, so that they still add up. The old table
        is unchanged; its figures are dropped, since they were measured for that one, and replaced
        by `recalibration`: before and after on the same rows, each after from folds that never
        saw the row's hospital (or patient).

    Raises
    ------
    BadValue : there is no label or patient, or too few outcomes among the answered rows.
    """
    return refit(table, answered(table, local, called), called)


def refit(table: Table, rows: Answered, called: str) -> Table:
    """`recalibrate` where it is known already what the old model says of the rows."""
    _enough(rows)
    intercept, slope = calibration(rows.label, rows.log_odds)
    if slope <= 0:
        raise BadValue(
            f"expected risks that rise with the outcome, found a slope of {slope:.2f}; check the "
            "label and the units"
        )
    draws = statistics.resample(rows.cohort.patient, SAMPLES, seed=3)
    drawn = np.array([_fitted(rows, weights) for weights in draws])
    found = scaled(table, intercept, slope, _level_variance(rows, drawn))
    left_out = rows.cohort.left_out
    lines = {
        "recalibrated_from": table.label,
        "recalibration_intercept": _with_interval(intercept, drawn[:, 0]),
        "recalibration_slope": _with_interval(slope, drawn[:, 1]),
        "recalibration_rows": len(rows.label),
        "rows_left_out": 0 if left_out is None else len(left_out),
        "recalibration_patients_with_outcome": len(np.unique(rows.cohort.patient[rows.label])),
        "recalibration_rows_sha256": data.fingerprint(rows.cohort),
    }
    old = "intercept and slope were fitted again on local outcomes; what the model looks at, and "
    return replace(
        found,
        card={
            **table.card,
            "version": found.version,
            "metrics": {"recalibration": before_and_after(rows, draws)},
            "parameters": {**table.card["parameters"], **lines},
            "data": [*table.card["data"], f"intercept and slope: {called}"],
            "limits": [
                f"Recalibrated: {old}how it ranks patients, is that of {table.label}.",
                *table.card["limits"],
            ],
            "command": f"carina recalibrate {table.name} --data TABLE --out DIR",
        },
    )


def answered(table: Table, local: pd.DataFrame, called: str = "the table") -> Answered:
    """What `table` says of the local rows, and what came.

    Raises
    ------
    BadValue : a column is missing, a label is neither 0 nor 1, a patient is not named, or too many
        values are wrong.
    """
    name: Name = "outpatient" if table.name == "outpatient" else "ventilation"
    cohort = derived(name, data.local(name, local, called))
    columns = {term.variable: cohort.rows[term.variable].tolist() for term in table.terms}
    return Answered(table.log_odds(columns), cohort)


def _enough(rows: Answered) -> None:
    with_it = len(np.unique(rows.cohort.patient[rows.label]))
    without = len(np.unique(rows.cohort.patient[~rows.label]))
    if min(with_it, without) < FEWEST_OUTCOMES:
        raise BadValue(
            f"expected {FEWEST_OUTCOMES} answered patients or more with and without the outcome, "
            f"found {with_it} and {without}; give more data"
        )


def _fitted(rows: Answered, weights: Floats) -> tuple[float, float]:
    return calibration(rows.label, rows.log_odds, weights)


def _level_variance(rows: Answered, drawn: Floats) -> float:
    """Variance of the new log-odds at the mean of the rows: what the fit itself is unsure of."""
    return float((drawn[:, 0] + drawn[:, 1] * rows.log_odds.mean()).var())


def _with_interval(value: float, drawn: Floats) -> dict[str, float]:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return statistics.Interval(value, float(low), float(high)).as_dict()


def scaled(table: Table, intercept: float, slope: float, level_variance: float = 0.0) -> Table:
    """The table whose log-odds are intercept + slope times the old ones."""
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
    return replace(
        table,
        version=f"{table.version.removesuffix('.recalibrated')}.recalibrated",
        baseline=intercept + slope * table.baseline,
        baseline_variance=slope**2 * table.baseline_variance + level_variance,
        terms=terms,
    )


def before_and_after(rows: Answered, draws: list[Floats]) -> dict[str, Any]:
    """Calibration of the old log-odds and of new ones from the other folds, with intervals."""
    fold = _folds(rows)
    after = np.zeros(len(rows.label))
    for one in np.unique(fold):
        held = fold == one
        intercept, slope = calibration(rows.label[~held], rows.log_odds[~held])
        after[held] = intercept + slope * rows.log_odds[held]

    def gain(weights: Floats | None) -> float:
        old, new = (_surprise(rows.label, one, weights) for one in (rows.log_odds, after))
        return old - new

    return {
        "before": _figures(rows.label, rows.log_odds, draws),
        "after_out_of_sample": _figures(rows.label, after, draws),
        "surprise_saved": statistics.interval(gain, draws).as_dict(),
    }


def _folds(rows: Answered) -> NDArray[np.int64]:
    """(n,) fold of each row: hospitals kept whole, or patients where hospitals are too few."""
    for group in (rows.cohort.group, rows.cohort.patient):
        fold = folds(group, FOLDS)
        outside = [rows.label[fold != one] for one in np.unique(fold)]
        if len(outside) > 1 and min(min(o.sum(), (~o).sum()) for o in outside) >= FEWEST_IN_FOLDS:
            return fold
    return random_folds(rows.cohort.patient, FOLDS, seed=0)


def _figures(label: Flags, log_odds: Floats, draws: list[Floats]) -> dict[str, Any]:
    p = 1 / (1 + np.exp(-log_odds))
    named: dict[str, Callable[[Floats | None], float]] = {
        "calibration_slope": lambda w: calibration(label, log_odds, w)[1],
        "expected_over_observed": lambda w: statistics.expected_over_observed(label, p, w),
        "brier_score": lambda w: float(np.average((p - label) ** 2, weights=w)),
        "surprise": lambda w: _surprise(label, log_odds, w),
    }
    return {name: statistics.interval(one, draws).as_dict() for name, one in named.items()}


def _surprise(label: Flags, log_odds: Floats, weights: Floats | None) -> float:
    """Mean negative log-likelihood; lower is better."""
    lost = np.logaddexp(0.0, log_odds) - label * log_odds
    return float(np.average(lost, weights=weights))
