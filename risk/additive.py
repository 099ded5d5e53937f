"""An additive logistic model as a table of numbers: how it is stored, checked and evaluated.

logit(p) = baseline + sum over terms of f(value). A curve is linear between its knots and flat
outside; a word has one number per level; a missing value has its own number. Nothing here knows
how the numbers were fitted.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risk.estimate import Value
from risk.features import is_missing

Z_90 = 1.6448536269514722  # half-width of a 90 % interval in standard errors


class TableError(ValueError):
    """A coefficient table that cannot be trusted."""


@dataclass(frozen=True, slots=True)
class Term:
    """One variable's share of the log-odds.

    Parameters
    ----------
    knots : rising values of a curve, empty for a word.
    levels : the words of a variable that has words, empty for a curve.
    log_odds, variance : one per knot or level; the variance is that of the fitted value.
    missing_log_odds, missing_variance : used where the value is not known.
    source : the data that it was fitted on.
    """

    variable: str
    unit: str
    source: str
    knots: tuple[float, ...]
    levels: tuple[str, ...]
    log_odds: tuple[float, ...]
    variance: tuple[float, ...]
    missing_log_odds: float
    missing_variance: float

    def at(self, value: Value) -> tuple[float, float]:
        """Log-odds and variance at one value (None: missing)."""
        if value is None:
            return self.missing_log_odds, self.missing_variance
        if isinstance(value, str):
            position = self.levels.index(value)
            return self.log_odds[position], self.variance[position]
        return (
            float(np.interp(value, self.knots, self.log_odds)),
            float(np.interp(value, self.knots, self.variance)),
        )

    def curve(self, values: Sequence[Any]) -> NDArray[np.float64]:
        """Log-odds of many values at once, (n,); the same numbers as `at`."""
        if self.levels:
            return np.array([self.at(None if is_missing(v) else str(v))[0] for v in values])
        numbers = np.asarray(values, dtype=float)
        known = np.interp(numbers, self.knots, self.log_odds)
        return np.where(np.isnan(numbers), self.missing_log_odds, known)

    def variances(self, values: Sequence[Any]) -> NDArray[np.float64]:
        """Variance of many values at once, (n,); the same numbers as `at`."""
        if self.levels:
            return np.array([self.at(None if is_missing(v) else str(v))[1] for v in values])
        numbers = np.asarray(values, dtype=float)
        known = np.interp(numbers, self.knots, self.variance)
        return np.where(np.isnan(numbers), self.missing_variance, known)


@dataclass(frozen=True, slots=True)
class Table:
    """A whole model.

    Parameters
    ----------
    baseline : log-odds where every contribution is zero.
    baseline_variance : variance of the baseline.
    card : the model card; its `sha256` is that of everything else in the table.
    """

    name: str
    version: str
    baseline: float
    baseline_variance: float
    terms: tuple[Term, ...]
    card: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Name, version and what identifies the numbers: `ventilation-0.1.0+1a2b3c4d`."""
        return f"{self.name}-{self.version}+{self.digest()[:8]}"

    def digest(self) -> str:
        """sha256 of the canonical JSON of the numbers (the card is not part of it)."""
        canonical = json.dumps(self._numbers(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def log_odds(self, values: Mapping[str, Sequence[Any]]) -> NDArray[np.float64]:
        """Log-odds of many rows, (n,); `values` has one column per term."""
        curves = [term.curve(values[term.variable]) for term in self.terms]
        return np.asarray(np.sum(curves, axis=0) + self.baseline, dtype=np.float64)

    def _numbers(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "baseline": self.baseline,
            "baseline_variance": self.baseline_variance,
            "terms": [asdict(term) for term in self.terms],
        }

    def write(self, path: Path) -> None:
        """Write the table with its card, and the digest into the card."""
        card = {**self.card, "sha256": self.digest()}
        text = json.dumps({**self._numbers(), "card": card}, indent=1, allow_nan=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")


def read(path: Path) -> Table:
    """Read a table and check its digest.

    Raises
    ------
    TableError : there is no file, it is not a table, or its numbers are not those of its card.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        table = Table(
            found["name"],
            found["version"],
            float(found["baseline"]),
            float(found["baseline_variance"]),
            tuple(_term(term) for term in found["terms"]),
            found["card"],
        )
        expected = str(found["card"]["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TableError(
            f"expected a coefficient table at {path.name}, found {type(error).__name__}: {error}; "
            "restore it or train it again with `carina train`"
        ) from error
    if table.digest() != expected:
        raise TableError(
            f"{path.name}: expected coefficients with sha256 {expected[:12]}, found "
            f"{table.digest()[:12]}; the file was changed, restore it or train it again"
        )
    return table


@cache
def shipped(name: str) -> Table:
    """The table that comes with this release, read once per process."""
    return read(Path(__file__).parent / "weights" / f"{name}.json")


def _term(found: Mapping[str, Any]) -> Term:
    return Term(
        str(found["variable"]),
        str(found["unit"]),
        str(found["source"]),
        tuple(float(v) for v in found["knots"]),
        tuple(str(v) for v in found["levels"]),
        tuple(float(v) for v in found["log_odds"]),
        tuple(float(v) for v in found["variance"]),
        float(found["missing_log_odds"]),
        float(found["missing_variance"]),
    )


def probability(log_odds: float) -> float:
    """The logistic function, without overflow."""
    if log_odds >= 0:
        return 1.0 / (1.0 + math.exp(-log_odds))
    return math.exp(log_odds) / (1.0 + math.exp(log_odds))
