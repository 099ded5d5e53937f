"""Discrimination, calibration and benefit of probabilities, with bootstrap intervals by patient.

Every figure takes case weights, so that a bootstrap sample is a vector of counts and the sort is
done once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """Rounded, for a card."""
        return {
            "value": round(self.value, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
        }


@dataclass(frozen=True, slots=True)
class Ranked:
    """Outcomes in falling order of the score, ties marked.

    Parameters
    ----------
    order : (n,), from the highest score down.
    ends : positions in `order` that end a run of equal scores.
    """

    order: NDArray[np.int64]
    ends: NDArray[np.int64]
    label: Floats

    def auroc(self, weights: Floats | None = None) -> float:
        """Probability that a case scores above a control; ties count half."""
        hits, misses = self._cumulated(weights)
        area = np.trapezoid(hits, misses)
        total = hits[-1] * misses[-1]
        return float(area / total) if total else float("nan")

    def average_precision(self, weights: Floats | None = None) -> float:
        """Mean precision over the cases, as scikit-learn defines it."""
        hits, misses = self._cumulated(weights)
        found = hits + misses
        precision = np.divide(hits, found, out=np.zeros_like(hits), where=found > 0)
        return float(np.sum(np.diff(hits) * precision[1:]) / hits[-1]) if hits[-1] else float("nan")

    def _cumulated(self, weights: Floats | None) -> tuple[Floats, Floats]:
        """Weight of cases and of controls at or above each distinct score, zero first."""
        case = self.label[self.order]
        w = np.ones(len(case)) if weights is None else weights[self.order]
        hits = np.concatenate([[0.0], np.cumsum(w * case)[self.ends]])
        misses = np.concatenate([[0.0], np.cumsum(w * (1 - case))[self.ends]])
        return hits, misses


def rank(label: Flags, score: Floats) -> Ranked:
    """Sort once for many weighted figures."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    return Ranked(order, ends, label.astype(np.float64))


def calibration(
    label: Flags, log_odds: Floats, weights: Floats | None = None
) -> tuple[float, float]:
    """Intercept and slope of a logistic regression of the outcome on the predicted log-odds.

    0 and 1 are perfect; a slope below 1 means predictions that are too extreme.
    """
    w = np.ones(len(label)) if weights is None else weights
    intercept, slope = logistic(log_odds[:, None], label, w)
    return float(intercept), float(slope)


def logistic(columns: Floats, label: Flags, weights: Floats) -> Floats:
    """(1 + P,) intercept and weights of a plain logistic regression of the outcome."""
    x = np.column_stack([np.ones(len(label)), columns])
    share = float((weights @ label) / weights.sum())
    b = np.zeros(x.shape[1])
    b[0] = np.log(share / (1 - share))
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ b, -30.0, 30.0)))
        gradient = x.T @ (weights * (label - p))
        hessian = (x * (weights * p * (1 - p))[:, None]).T @ x
        step = np.linalg.solve(hessian, gradient)
        b = b + step
        if np.abs(step).max() < 1e-9:
            break
    return np.asarray(b, dtype=np.float64)


def expected_over_observed(label: Flags, p: Floats, weights: Floats | None = None) -> float:
    """Sum of the probabilities over the number of outcomes; 1 is perfect."""
    w = np.ones(len(label)) if weights is None else weights
    return float((w @ p) / (w @ label))


def net_benefit(
    label: Flags, p: Floats, thresholds: Floats, weights: Floats | None = None
) -> Floats:
    """Benefit per row of acting where p reaches each threshold (Vickers and Elkin 2006)."""
    w = np.ones(len(label)) if weights is None else weights
    reached = np.searchsorted(thresholds, p, side="right")
    true = _at_or_above(reached, w * label, len(thresholds)) / w.sum()
    false = _at_or_above(reached, w * ~label, len(thresholds)) / w.sum()
    return np.asarray(true - false * thresholds / (1 - thresholds), dtype=np.float64)


def _at_or_above(reached: NDArray[np.int64], weights: Floats, count: int) -> Floats:
    """(count,) weight of the rows whose probability reaches each threshold."""
    held = np.bincount(reached, weights, minlength=count + 1)
    return np.asarray(np.cumsum(held[::-1])[::-1][1:], dtype=np.float64)


def treat_all(label: Flags, thresholds: Floats, weights: Floats | None = None) -> Floats:
    """Net benefit of acting on everyone."""
    share = float(np.average(label, weights=weights))
    return np.asarray(share - (1 - share) * thresholds / (1 - thresholds), dtype=np.float64)


def resample(patient: NDArray[np.int64], samples: int, seed: int) -> list[Floats]:
    """Case weights of bootstrap samples that draw whole patients, each (n,)."""
    generator = np.random.default_rng(seed)
    patients, index = np.unique(patient, return_inverse=True)
    share = np.full(len(patients), 1 / len(patients))
    return [
        generator.multinomial(len(patients), share)[index].astype(np.float64)
        for _ in range(samples)
    ]


def interval(figure: Callable[[Floats | None], float], samples: list[Floats]) -> Interval:
    """A figure on the data, with the 2.5th and 97.5th percentile over bootstrap samples."""
    drawn = np.array([figure(weights) for weights in samples])
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Interval(figure(None), float(low), float(high))
