"""How variables enter an additive model: settings, knots, and the columns of the design matrix.

Each curve is a sum of ramps between its knots, so that a monotone curve is one whose ramps all
have the same sign. A missing value has its own column.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import block_diag

Floats = NDArray[np.float64]
SETTINGS = Path(__file__).parent / "settings.toml"


@dataclass(frozen=True, slots=True)
class Spec:
    """How one variable enters: fixed knots, or knots at quantiles, or words.

    `missing` gives "not known" its own number; otherwise it counts as the average known value.
    `within` marks a variable that only exists with another (age with pneumonia): elsewhere it is
    exactly zero and certain.
    `pulled` multiplies the penalties by `Config.pull`: a variable that is not the first to tell.
    """

    variable: str
    quantiles: int = 0
    knots: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    trend: int = 0
    missing: bool = False
    pulled: bool = False
    within: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that a fit depends on besides its data.

    Parameters
    ----------
    ridge, smooth, missing : pull of a curve towards flat and towards a straight line, and of
        every "not known" towards zero.
    pull : multiplies the penalties of the terms that are `pulled`.
    borrow : how much a row of another set counts beside a row of this one (see `risk.prior`).
    choices : values among which `risk.choice` picks, by the name of the setting.
    """

    version: str
    ridge: float
    smooth: float
    missing: float
    folds: int
    bootstraps: int
    seed: int
    terms: tuple[Spec, ...]
    pull: float = 1.0
    borrow: float = 0.0
    choices: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

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
            bool(term.get("pulled", False)),
            bool(term.get("within", False)),
        )
        for variable, term in found.pop("terms").items()
    )
    choices = {key: tuple(map(float, values)) for key, values in found.pop("choices", {}).items()}
    return Config(**found, terms=specs, choices=choices)


_BOUNDS: dict[int, tuple[float, float]] = {
    0: (-np.inf, np.inf),
    1: (0.0, np.inf),
    -1: (-np.inf, 0.0),
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
        pull = settings.pull if self.spec.pulled else 1.0
        return pull * np.asarray(block_diag(inner, np.array([[settings.missing]])))

    def bounds(self) -> list[tuple[float, float]]:
        """Bounds of each weight: a monotone curve has ramps of one sign."""
        absent = _BOUNDS[0] if self.spec.missing else (0.0, 0.0)
        return [_BOUNDS[self.spec.trend]] * len(self.centre) + [absent]


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


def bases(specs: Sequence[Spec], rows: pd.DataFrame) -> tuple[Basis, ...]:
    """The basis of every variable, placed on the training rows."""
    return tuple(basis(spec, rows[spec.variable]) for spec in specs)


def blocks(found: Sequence[Basis]) -> list[slice]:
    """Which columns of the design belong to each basis."""
    ends = np.cumsum([one.width for one in found]).tolist()
    return [slice(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True)]


def design(found: Sequence[Basis], rows: pd.DataFrame) -> NDArray[np.float32]:
    """(n, P): the columns of every variable side by side."""
    return np.hstack([b.columns(rows[b.spec.variable]) for b in found])
