"""Choosing penalties within the training rows: the rows that judge a model never see the choice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risk.basis import Config, Floats, bases, design
from risk.data import Cohort
from risk.fit import Problem
from risk.folds import random_folds
from risk.prior import Prior

INNER_FOLDS = 4
DEALS = 3  # ways to deal the groups out: with few outcomes, one way is mostly chance
FEWEST_OUTCOMES = 5  # patients with the outcome in a training part; with fewer, nothing is chosen
MOST_ROWS = 6_000  # of more, every second, third... is looked at: hours of a stay are much alike


def choose(settings: Config, cohort: Cohort, prior: Prior | None = None) -> Config:
    """The settings under which held-out groups of `cohort` are most likely.

    The values in `settings.choices` are tried one setting at a time; ties go to the first value.
    Without enough outcomes, `settings` stay as they are.
    """
    found = replace(settings, choices={})
    parts = _parts(found, cohort) if settings.choices else []
    if not parts:
        return found
    tried: dict[tuple[float, ...], float] = {}
    for name, values in settings.choices.items():
        if name == "borrow" and prior is None:
            continue
        candidates = [_with(found, name, value) for value in values]
        likely = [_likelihood(one, parts, prior, tried) for one in candidates]
        found = candidates[int(np.argmax(likely))]
    return found


def _with(settings: Config, name: str, value: float) -> Config:
    """The settings with one of them changed."""
    changed: dict[str, Any] = {name: value}
    return replace(settings, **changed)


class _Part:
    """One inner fold: the problem of its training rows, and the rows held out of it."""

    def __init__(self, settings: Config, cohort: Cohort, held: NDArray[np.bool_]) -> None:
        train, test = cohort.take(~held), cohort.take(held)
        step = -(-len(train) // MOST_ROWS)
        found = bases(settings.terms, train.rows)
        self.problem = Problem(found, train.take(np.arange(0, len(train), step)))
        self.case_weights = np.full(len(self.problem.label), float(step))
        self.columns = design(found, test.rows)
        self.label = test.label.astype(np.float64)
        self.weights: Floats | None = None

    def likelihood(self, settings: Config, prior: Prior | None) -> float:
        """Log-likelihood of the held-out rows; each solve starts from the one before."""
        self.weights = self.problem.solve(settings, self.case_weights, prior, self.weights)
        eta = self.weights[0] + self.columns @ self.weights[1:]
        return float(self.label @ eta - np.logaddexp(0.0, eta).sum())


def _parts(settings: Config, cohort: Cohort) -> list[_Part]:
    """The inner folds; none where a part would have too few outcomes of either kind."""
    held = []
    for deal in range(DEALS):
        fold = random_folds(cohort.group, INNER_FOLDS, deal)
        held += [fold == one for one in range(INNER_FOLDS)]
    for one in held:
        for kind in (cohort.label, ~cohort.label):
            if len(np.unique(cohort.patient[~one & kind])) < FEWEST_OUTCOMES or not one.any():
                return []
    return [_Part(settings, cohort, one) for one in held]


def _likelihood(
    settings: Config,
    parts: list[_Part],
    prior: Prior | None,
    tried: dict[tuple[float, ...], float],
) -> float:
    """Sum over the inner folds of all deals, each combination computed once."""
    key = (settings.ridge, settings.smooth, settings.missing, settings.pull, settings.borrow)
    if key not in tried:
        tried[key] = sum(part.likelihood(settings, prior) for part in parts)
    return tried[key]
