"""4C Deterioration as data: points per value, points to probability, and terms made from them.

Gupta RK, Harrison EM, Ho A, et al. Development and validation of the ISARIC 4C Deterioration
model for adults hospitalised with COVID-19. Lancet Respir Med 2021; 9: 349-359.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from risk.additive import Term

CITATION = "Gupta et al., Lancet Respir Med 2021; 9: 349-359 (ISARIC 4C Deterioration)"
WEIGHTS = Path(__file__).parent / "weights" / "four_c_deterioration.json"

_CURVES: Mapping[str, str] = {
    "Lymphocytes (x10^9/L)": "lymphocytes",
    "C-reactive protein (mg/L)": "crp",
    "Urea (mmol/L)": "urea",
    "SpO2 (%)": "spo2",
    "Respiratory rate (per min)": "respiratory_rate",
    "Age (years)": "age_years",
}
MALE, HOSPITAL_ACQUIRED, INFILTRATES, OXYGEN, REDUCED_GCS = 35, 39, 47, 108, 87

# Where each term adds nothing: a healthy adult on room air.
NORMAL: Mapping[str, float] = {
    "respiratory_rate": 16.0,
    "spo2": 97.0,
    "urea": 5.0,
    "crp": 5.0,
    "lymphocytes": 1.8,
}
_UNITS = {
    "respiratory_rate": "/min",
    "spo2": "%",
    "urea": "mmol/L",
    "crp": "mg/L",
    "lymphocytes": "10*9/L",
}


@dataclass(frozen=True, slots=True)
class Points:
    """Points of each curve at the values where they change, and the probability of a total."""

    curves: Mapping[str, tuple[tuple[float, int], ...]]
    totals: tuple[int, ...]
    probabilities: tuple[float, ...]

    def points(self, variable: str, value: float) -> int:
        """Points of one value; beyond the published table, those of its last entry."""
        values, points = zip(*self.curves[variable], strict=True)
        return int(points[max(int(np.searchsorted(values, value + 1e-9)) - 1, 0)])

    def probability(self, total: int) -> float:
        """Published probability of deterioration for a total."""
        position = int(np.searchsorted(self.totals, total, side="right")) - 1
        return self.probabilities[max(position, 0)]

    def log_odds_per_point(self) -> float:
        """Slope of the published probability, in log-odds, over the totals 100 to 900."""
        totals = np.array(self.totals, dtype=float)
        p = np.array(self.probabilities)
        inside = (totals >= 100) & (totals <= 900)
        return float(np.polyfit(totals[inside], np.log(p / (1 - p))[inside], 1)[0])


def from_publication(folder: Path) -> Points:
    """Read the two published tables; `folder` holds `4c_deterioration_*.csv`."""
    points = pd.read_csv(folder / "4c_deterioration_points.csv", dtype={"value": str})
    curves = {}
    for predictor, ours in _CURVES.items():
        rows = points[points["predictor"] == predictor]
        pairs = sorted(
            (float(v), int(s)) for v, s in rows[["value", "score"]].itertuples(index=False)
        )
        changes = [pairs[0]]
        changes += [b for a, b in pairwise(pairs) if a[1] != b[1]]
        curves[ours] = tuple(changes)
    totals = pd.read_csv(folder / "4c_deterioration_probability.csv")
    return Points(
        curves,
        tuple(int(v) for v in totals["interval_min"]),
        tuple(float(v) for v in totals["probability"]),
    )


def write(points: Points, path: Path) -> None:
    """Write the table that ships."""
    content = {
        "citation": CITATION,
        "curves": points.curves,
        "totals": points.totals,
        "probabilities": points.probabilities,
    }
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")


@cache
def published() -> Points:
    """The table that ships with this release."""
    found = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    curves = {k: tuple((float(v), int(s)) for v, s in rows) for k, rows in found["curves"].items()}
    return Points(curves, tuple(found["totals"]), tuple(found["probabilities"]))


def terms(points: Points) -> tuple[Term, ...]:
    """The vital-sign and laboratory terms of the outpatient model, zero at a normal value."""
    slope = points.log_odds_per_point()
    curves = [_curve(points, variable, slope) for variable in NORMAL]
    words = [
        _word("oxygen", ("room_air", "oxygen"), OXYGEN * slope),
        _word("confusion", ("no", "yes"), REDUCED_GCS * slope),
    ]
    return (*curves, *words)


def _curve(points: Points, variable: str, slope: float) -> Term:
    values = _knots([value for value, _ in points.curves[variable]])
    scored = np.array([points.points(variable, v) for v in values], dtype=float)
    log_odds = slope * (scored - points.points(variable, NORMAL[variable]))
    if variable == "spo2":
        log_odds = np.maximum.accumulate(log_odds[::-1])[::-1]  # 97-100 %: flat, not rising
    variance = (0.15 * log_odds) ** 2
    return Term(
        variable,
        _UNITS[variable],
        f"published points: {CITATION}",
        tuple(values),
        (),
        tuple(float(v) for v in np.round(log_odds, 6)),
        tuple(float(v) for v in np.round(variance, 6)),
        0.0,
        round(float(max(slope * 20, variance.min())) ** 2, 6),
    )


def _word(variable: str, levels: tuple[str, str], log_odds: float) -> Term:
    return Term(
        variable,
        "",
        f"published points: {CITATION}",
        (),
        levels,
        (0.0, round(log_odds, 6)),
        (0.0, round((0.15 * log_odds) ** 2, 6)),
        0.0,
        round((0.3 * log_odds) ** 2, 6),
    )


def _knots(values: Sequence[float]) -> list[float]:
    """At most 40 of the values, the first and last among them."""
    step = max(1, len(values) // 40)
    return sorted({*values[::step], values[0], values[-1]})
