"""The statistics of the severity card; intervals by bootstrap over patients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Rows = NDArray[np.int64]
Statistic = Callable[[Rows], float]
DRAWS = 1000
FEWEST = 8  # rows below which a figure says nothing


def pearson(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Pearson's r; NaN where one side is constant."""
    x, y = one - one.mean(), other - other.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale > 0 else float("nan")


def spearman(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Spearman's rank correlation, ties averaged."""
    return pearson(np.asarray(rankdata(one), np.float64), np.asarray(rankdata(other), np.float64))


def mean_absolute_error(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Mean of |one - other|."""
    return float(np.abs(one - other).mean())


def rank_auroc(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Area under the ROC curve by ranks (Mann and Whitney); both kinds must occur."""
    ranks = np.asarray(rankdata(scores), np.float64)
    many, few = int(truth.sum()), int((~truth).sum())
    return float((ranks[truth].sum() - many * (many + 1) / 2) / (many * few))


def weighted_kappa(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Quadratic weighted kappa of whole scores (Cohen 1968): 1 - observed / expected error."""
    x, y = np.rint(one), np.rint(other)
    expected = float(np.mean((x[:, None] - y[None]) ** 2))
    return 1.0 - float(np.mean((x - y) ** 2)) / expected if expected > 0 else float("nan")


def direction(predicted: NDArray[np.float64], read: NDArray[np.float64], least: float) -> float:
    """Share of changes larger than `least` whose sign is right; NaN where there is none."""
    clear = np.abs(read) > least
    return (
        float(np.mean(np.sign(predicted[clear]) == np.sign(read[clear])))
        if clear.any()
        else (float("nan"))
    )


def bootstrap(
    statistic: Statistic, rows: Rows, patient: NDArray[np.int64], seed: int = 0
) -> dict[str, Any]:
    """The statistic on `rows` with a 95 % interval from draws of whole patients.

    Parameters
    ----------
    statistic : from row numbers (with repeats) to a number.
    patient : (N,) patient of every row of the table.

    Returns
    -------
    value, low, high, n (rows), patients; value None where there are fewer than `FEWEST` rows.
    """
    names = np.unique(patient[rows])
    result: dict[str, Any] = {"value": None, "low": None, "high": None}
    result |= {"n": len(rows), "patients": len(names)}
    if len(rows) < FEWEST:
        return result
    groups = [rows[patient[rows] == name] for name in names]
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(DRAWS):
        pick = rng.integers(len(groups), size=len(groups))
        drawn.append(statistic(np.concatenate([groups[i] for i in pick])))
    finite = np.asarray(drawn)[np.isfinite(drawn)]
    value = statistic(rows)
    if np.isfinite(value) and len(finite):
        low, high = np.percentile(finite, (2.5, 97.5))
        result |= {"value": round(value, 4), "low": round(float(low), 4)}
        result["high"] = round(float(high), 4)
    return result


def straight_line(known: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """`known` put on the scale of `wanted` by least squares, fitted on these very rows."""
    slope, intercept = np.polyfit(known, wanted, 1)
    return np.asarray(slope * known + intercept, np.float64)
