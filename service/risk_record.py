"""A risk as it is kept and shown: the number, what it was computed from, and the words for both.

Times are timezone-aware UTC; log-odds add up, positive raises the risk.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal

SEVERITY_TERM = "severity_extent"
CORE_INPUTS = ("respiratory_rate", "spo2", "heart_rate")
"""Without these a ventilation risk rests on typical values: the pages grey it."""

STATISTICS = ("min", "max", "mean", "slope", "change")
_WINDOW = re.compile(rf"_({'|'.join(STATISTICS)})_(\d+)h$")


@lru_cache(maxsize=1024)
def window_of(name: str) -> tuple[str, str, int] | None:
    """Measured variable, statistic and hours of a windowed input; None for a plain one."""
    found = _WINDOW.search(name)
    return (name[: found.start()], found[1], int(found[2])) if found else None


def base_variable(name: str) -> str:
    """The measured variable behind a statistic of it."""
    found = window_of(name)
    return found[0] if found else name


@dataclass(frozen=True, slots=True)
class RiskInput:
    """One contribution to a risk: what the value was, when, from where, and what it did."""

    variable: str
    label: str
    value: float | str | None
    unit: str
    log_odds: float
    observed_at: datetime | None
    stale: bool
    source: str  # what the term was fitted on; says so when it was fitted apart


def strongest(inputs: Sequence[RiskInput]) -> str | None:
    """The variable that moved a risk most, all terms of it together; None where none did."""
    sums: dict[str, float] = {}
    for one in inputs:
        name = base_variable(one.variable)
        sums[name] = sums.get(name, 0.0) + one.log_odds
    return max(sums, key=lambda name: abs(sums[name])) if any(sums.values()) else None


def lacks_core(missing: Iterable[str]) -> bool:
    """Whether an input is missing without which a risk rests on typical values."""
    return any(name in CORE_INPUTS for name in missing)


@dataclass(frozen=True, slots=True)
class Companion:
    """A published score shown beside the model."""

    name: str
    value: float | None
    band: str
    citation: str
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RiskRecord:
    """Ventilation risk of one patient at one moment; the log-odds add up exactly.

    `at` is the moment the risk speaks of, `computed_at` when it was computed. `stale` names the
    inputs that are too old: the pages grey the number then.
    """

    risk_id: str
    patient_id: str
    at: datetime
    computed_at: datetime
    status: Literal["ok", "refused"]
    reason: str
    probability: float | None
    low: float | None
    high: float | None
    baseline_log_odds: float | None
    inputs: tuple[RiskInput, ...]
    stale: tuple[str, ...]
    missing: tuple[str, ...]
    companions: tuple[Companion, ...]
    model: str

    @property
    def film(self) -> RiskInput | None:
        """The term of the newest film's severity, None where no film went in."""
        known = [i for i in self.inputs if i.variable == SEVERITY_TERM and i.value is not None]
        return known[0] if known else None

    @property
    def probability_without_film(self) -> float | None:
        """The probability with the film's term taken out of the log-odds; None without one."""
        if self.film is None or self.baseline_log_odds is None or self.status != "ok":
            return None
        rest = math.fsum(one.log_odds for one in self.inputs if one.variable != SEVERITY_TERM)
        return 1 / (1 + math.exp(-(self.baseline_log_odds + rest)))


RISK_BANDS: tuple[tuple[str, float], ...] = (("high", 0.10), ("medium", 0.03), ("low", 0.0))
"""Band and the least probability in it. Shown as colour with the word; "unknown" without a number.

A way of sorting the ward, not a threshold for treatment: the cut-offs are about three and ten times
the rate at which ventilation starts within 12 hours in the training data.
"""


def risk_band(probability: float | None) -> str:
    """The band of a probability of ventilation within 12 hours; "unknown" for None."""
    if probability is None:
        return "unknown"
    return next(name for name, least in RISK_BANDS if probability >= least)
