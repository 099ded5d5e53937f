"""Fitting an additive logistic model: basis, penalty, constraints, bootstrap, table.

Each curve is a sum of ramps between its knots, so that a monotone curve is one whose ramps all
have the same sign. A missing value has its own column. The penalties pull towards "no effect"
and towards straight lines. scipy is needed here and nowhere in serving.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import block_diag
from scipy.optimize import minimize

from risk.data import Cohort

Floats = NDArray[np.float64]
SETTINGS = Path(__file__).parent / "settings.toml"


@dataclass(frozen=True, slots=True)
class Spec:
    """How one variable enters: fixed knots, or knots at quantiles, or words.

    `missing` gives "not known" its own number; otherwise it counts as the average known value.
    `within` marks a variable that only exists with another (age with pneumonia): elsewhere it is
    exactly zero and certain.
    `pull` multiplies the penalties: a large one is for a variable that is expected to say little.
    """

    variable: str
    quantiles: int = 0
    knots: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    trend: int = 0
    missing: bool = False
    pull: float = 1.0
    within: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that a fit depends on besides its data."""

    version: str
    ridge: float
    smooth: float
    missing: float
    folds: int
    bootstraps: int
    seed: int
    terms: tuple[Spec, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the model card."""
        return asdict(self)


def config(name: str) -> Config:
    """The settings that ship with this release."""
    found = tomllib.loads(SETTINGS.read_text(encoding="utf-8"))[name]
    specs = tuple(
        Spec(
            variable,
            int(term.get("quantiles", 0)),
            tuple(float(k) for k in term.get("knots", ())),
            tuple(term.get("levels", ())),
            int(term.get("trend", 0)),
            bool(term.get("missing", False)),
            float(term.get("pull", 1.0)),
            bool(term.get("within", False)),
        )
        for variable, term in found.pop("terms").items()
    )
    return Config(**found, terms=specs)


_BOUNDS: dict[int, tuple[float | None, float | None]] = {
    0: (None, None),
    1: (0.0, None),
    -1: (None, 0.0),
}


@dataclass(frozen=True, slots=True)
class Basis:
    """The columns of one variable in the design matrix.

    Parameters
    ----------
    edges : knots of a curve, or 0, 1, 2... for the words of `spec.levels`.
    centre : mean of each column over the known training values.
    """

    spec: Spec
    edges: Floats
    centre: Floats

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.centre) + 1

    def columns(self, values: pd.Series) -> NDArray[np.float32]:
        """(n, width): centred ramps or levels, then "missing"."""
        numbers = _numbers(self.spec, values)
        absent = np.isnan(numbers)
        ramps = _ramps(self.spec, self.edges, np.where(absent, self.edges[0], numbers))
        ramps = (ramps - self.centre) * ~absent[:, None]
        return np.column_stack([ramps, absent]).astype(np.float32)

    def at_knots(self, weights: Floats) -> tuple[Floats, float]:
        """The curve at its knots (or levels), and the number for a missing value."""
        ramps = _ramps(self.spec, self.edges, self.edges) - self.centre
        return ramps @ weights[:-1], float(weights[-1])

    def penalty(self, settings: Config) -> Floats:
        """(width, width): the quadratic penalty on this variable's weights."""
        n = len(self.centre)
        inner = settings.ridge * n * np.eye(n)
        if n > 1 and not self.spec.levels:
            bend = np.diff(np.eye(n), axis=0)
            inner = inner + settings.smooth * n * n * (bend.T @ bend)
        return self.spec.pull * block_diag(inner, np.array([[settings.missing]]))

    def bounds(self) -> list[tuple[float | None, float | None]]:
        """Bounds of each weight: a monotone curve has ramps of one sign."""
        one = _BOUNDS[self.spec.trend]
        absent = (None, None) if self.spec.missing else (0.0, 0.0)
        return [one] * len(self.centre) + [absent]


def _numbers(spec: Spec, values: pd.Series) -> Floats:
    if spec.levels:
        codes = {level: float(i) for i, level in enumerate(spec.levels)}
        values = values.map(codes)
    return np.asarray(values, dtype=np.float64)


def _ramps(spec: Spec, edges: Floats, numbers: Floats) -> Floats:
    if spec.levels:
        return np.asarray(numbers[:, None] == edges[1:], dtype=np.float64)
    ramps = (numbers[:, None] - edges[:-1]) / np.diff(edges)
    return np.asarray(np.clip(ramps, 0.0, 1.0), dtype=np.float64)


def basis(spec: Spec, values: pd.Series) -> Basis:
    """Place the knots and centre the columns on the training values."""
    numbers = _numbers(spec, values)
    known = numbers[~np.isnan(numbers)]
    if spec.levels:
        edges = np.arange(len(spec.levels), dtype=float)
    elif spec.knots:
        edges = np.array(spec.knots)
    elif len(known):
        edges = np.unique(np.quantile(known, np.linspace(0.01, 0.99, spec.quantiles)))
    else:
        edges = np.zeros(1)
    if len(edges) < 2:
        edges = np.array([edges[0], edges[0] + 1.0])
    width = len(edges) - 1
    centre = _ramps(spec, edges, known).mean(axis=0) if len(known) else np.zeros(width)
    return Basis(spec, edges, centre)


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
        ends = np.cumsum([one.width for one in self.bases]).tolist()
        starts = [0, *ends[:-1]]
        return [slice(a, b) for a, b in zip(starts, ends, strict=True)]


def fit(settings: Config, cohort: Cohort, bootstraps: int = 0) -> Fit:
    """Fit the model of `settings`, and again on `bootstraps` samples of the patients."""
    bases = tuple(basis(spec, cohort.rows[spec.variable]) for spec in settings.terms)
    columns = design(bases, cohort.rows)
    penalty = np.asarray(block_diag(*[b.penalty(settings) for b in bases]))
    bounds = [(None, None), *(bound for b in bases for bound in b.bounds())]
    label = cohort.label.astype(np.float64)
    problem = _Problem(columns, label, penalty, bounds, _units(columns, label, penalty))
    share = float(cohort.label.mean())
    start = np.zeros(1 + columns.shape[1])
    start[0] = np.log(share / (1 - share))
    weights = problem.solve(np.ones(len(cohort)), start, 200)
    generator = np.random.default_rng(settings.seed)
    patients, index = np.unique(cohort.patient, return_inverse=True)
    replicates = [
        problem.solve(_draw(generator, len(patients))[index], weights, 60)
        for _ in range(bootstraps)
    ]
    stacked = np.array(replicates) if replicates else weights[None]
    return Fit(bases, weights, stacked, columns.mean(axis=0).astype(np.float64))


def _draw(generator: np.random.Generator, patients: int) -> Floats:
    """How often each patient is in a bootstrap sample."""
    return generator.multinomial(patients, np.full(patients, 1 / patients)).astype(float)


def design(bases: Sequence[Basis], rows: pd.DataFrame) -> NDArray[np.float32]:
    """(n, P): the columns of every variable side by side."""
    return np.hstack([b.columns(rows[b.spec.variable]) for b in bases])


@dataclass(frozen=True, slots=True)
class _Problem:
    """Penalised maximum likelihood under bounds.

    The weights are searched in units in which every curvature is about one: bounds keep their
    sign there, and the search ends after tens of steps instead of hundreds.
    """

    columns: NDArray[np.float32]
    label: Floats
    penalty: Floats
    bounds: list[tuple[float | None, float | None]]
    unit: Floats

    def solve(self, case_weights: Floats, start: Floats, steps: int) -> Floats:
        solution = minimize(
            self._loss,
            start / self.unit,
            args=(case_weights,),
            jac=True,
            method="L-BFGS-B",
            bounds=self.bounds,
            options={"maxiter": steps},
        )
        return np.asarray(solution.x * self.unit)

    def _loss(self, scaled: Floats, case_weights: Floats) -> tuple[float, Floats]:
        weights = scaled * self.unit
        inner = weights[1:]
        eta = weights[0] + self.columns @ inner.astype(np.float32)
        pull = self.penalty @ inner
        loss = case_weights @ (np.logaddexp(0.0, eta) - self.label * eta) + 0.5 * inner @ pull
        residual = case_weights * (1.0 / (1.0 + np.exp(-eta)) - self.label)
        gradient = self.columns.T @ residual.astype(np.float32) + pull
        return float(loss), self.unit * np.concatenate([[residual.sum()], gradient])


def _units(columns: NDArray[np.float32], label: Floats, penalty: Floats) -> Floats:
    """(1 + P,): one over the square root of each weight's curvature at the mean risk."""
    share = float(label.mean())
    squares = np.einsum("np,np->p", columns, columns, dtype=np.float64)
    curvature = share * (1 - share) * np.concatenate([[len(label)], squares])
    curvature[1:] += np.diag(penalty)
    return np.asarray(1.0 / np.sqrt(np.maximum(curvature, 1e-6)), dtype=np.float64)
