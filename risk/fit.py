"""Fitting an additive logistic model: penalty, constraints, bootstrap.

The penalties pull towards "no effect", towards straight lines, and towards what another set says.
scipy is needed here and nowhere in serving.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.linalg import block_diag

from risk.basis import Basis, Config, Floats, bases, blocks, design
from risk.data import Cohort
from risk.prior import Prior

STEPS = 60  # Newton steps; ten are usual
TOLERANCE = 1e-5  # log-likelihood that another step would still gain


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted model.

    Parameters
    ----------
    weights : (1 + P,), intercept first.
    replicates : (B, 1 + P), the same fit on patients drawn with replacement.
    means : (P,), mean of each design column over the training rows.
    """

    bases: tuple[Basis, ...]
    weights: Floats
    replicates: Floats
    means: Floats

    def log_odds(self, rows: pd.DataFrame) -> Floats:
        """(n,) log-odds of rows that have a column per basis."""
        columns = design(self.bases, rows)
        return np.asarray(self.weights[0] + columns @ self.weights[1:], dtype=np.float64)

    def blocks(self) -> list[slice]:
        """Which of the P columns belong to each basis."""
        return blocks(self.bases)


def fit(settings: Config, cohort: Cohort, bootstraps: int = 0, prior: Prior | None = None) -> Fit:
    """Fit the model of `settings`, and again on `bootstraps` samples of the patients.

    Parameters
    ----------
    prior : what another set says of some curves; it counts as much as `settings.borrow` says, and
        each bootstrap takes a sample of that set too.
    """
    problem = Problem(bases(settings.terms, cohort.rows), cohort)
    weights = problem.solve(settings, np.ones(len(cohort)), prior)
    generator = np.random.default_rng(settings.seed)
    patients, index = np.unique(cohort.patient, return_inverse=True)
    replicates = []
    for number in range(bootstraps):
        drawn = _draw(generator, len(patients))[index]
        theirs = None if prior is None else prior.replicate(number)
        replicates.append(problem.solve(settings, drawn, theirs, weights))
    stacked = np.array(replicates) if replicates else weights[None]
    means = problem.columns[:, 1:].mean(axis=0, dtype=np.float64)
    return Fit(problem.bases, weights, stacked, means)


def _draw(generator: np.random.Generator, patients: int) -> Floats:
    """How often each patient is in a bootstrap sample."""
    return generator.multinomial(patients, np.full(patients, 1 / patients)).astype(float)


@dataclass(frozen=True, slots=True)
class _Pull:
    """The penalties on (1 + P,) weights w: w' quadratic w / 2 - linear' w."""

    quadratic: Floats
    linear: Floats


class Problem:
    """Penalised maximum likelihood under bounds, on one set of rows.

    The columns are made once; penalties and case weights may differ from solve to solve.

    Parameters
    ----------
    columns : (n, 1 + P), ones first.
    """

    def __init__(self, found: tuple[Basis, ...], cohort: Cohort) -> None:
        self.bases = found
        ones = np.ones((len(cohort), 1), np.float32)
        self.columns = np.hstack([ones, design(found, cohort.rows)])
        self.label = cohort.label.astype(np.float64)
        bounds = np.array([(-np.inf, np.inf), *(bound for b in found for bound in b.bounds())])
        self.low, self.high = bounds[:, 0], bounds[:, 1]

    def solve(
        self,
        settings: Config,
        case_weights: Floats,
        prior: Prior | None = None,
        start: Floats | None = None,
    ) -> Floats:
        """(1 + P,) weights, intercept first.

        References
        ----------
        Bertsekas, Projected Newton methods, SIAM J. Control Optim. 20(2), 221-246, 1982.
        """
        pull = self._pull(settings, prior)
        weights = self._start(case_weights) if start is None else start
        loss = self._loss(weights, case_weights, pull)
        for _ in range(STEPS):
            step = self._newton(weights, case_weights, pull)
            for length in (1.0, 0.5, 0.25, 0.1, 0.03, 0.01):
                moved = np.clip(weights + length * step, self.low, self.high)
                found = self._loss(moved, case_weights, pull)
                if found < loss:
                    break
            if loss - found < TOLERANCE:
                break
            weights, loss = moved, found
        return weights

    def curvature(self, weights: Floats, case_weights: Floats) -> Floats:
        """(1 + P, 1 + P): second derivative of the negative log-likelihood."""
        p = self._risk(weights)
        scaled = self.columns * np.sqrt(case_weights * p * (1 - p)).astype(np.float32)[:, None]
        return np.asarray(scaled.T @ scaled, dtype=np.float64)

    def _newton(self, weights: Floats, case_weights: Floats, pull: _Pull) -> Floats:
        """The step of the weights that no bound holds back."""
        residual = case_weights * (self._risk(weights) - self.label)
        gradient = np.asarray(self.columns.T @ residual.astype(np.float32), dtype=np.float64)
        gradient = gradient + pull.quadratic @ weights - pull.linear
        held = (weights <= self.low) & (gradient >= 0) | (weights >= self.high) & (gradient <= 0)
        free = ~held & (self.low < self.high)
        curvature = self.curvature(weights, case_weights) + pull.quadratic
        inner = curvature[np.ix_(free, free)] + 1e-6 * np.eye(int(free.sum()))
        step = np.zeros_like(weights)
        step[free] = -np.linalg.solve(inner, gradient[free])
        return step

    def _risk(self, weights: Floats) -> Floats:
        eta = self.columns @ weights.astype(np.float32)
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(eta, -30.0, 30.0))), dtype=np.float64)

    def _loss(self, weights: Floats, case_weights: Floats, pull: _Pull) -> float:
        eta = np.asarray(self.columns @ weights.astype(np.float32), dtype=np.float64)
        misfit = case_weights @ (np.logaddexp(0.0, eta) - self.label * eta)
        return float(misfit + weights @ (pull.quadratic @ weights / 2 - pull.linear))

    def _pull(self, settings: Config, prior: Prior | None) -> _Pull:
        quadratic = np.asarray(
            block_diag(np.zeros((1, 1)), *[b.penalty(settings) for b in self.bases])
        )
        linear = np.zeros(len(quadratic))
        if prior is not None and settings.borrow > 0:
            precision, pulled = prior.within(self.bases, settings.borrow)
            quadratic[1:, 1:] += precision
            linear[1:] += pulled
        return _Pull(quadratic, linear)

    def _start(self, case_weights: Floats) -> Floats:
        share = float(case_weights @ self.label / case_weights.sum())
        start = np.zeros(self.columns.shape[1])
        start[0] = np.log(share / (1 - share))
        return start
