"""What the films with an outcome say about severity: its weight, and where pneumonia begins.

No public data has both films and ventilation times. The weight of the severity score is fitted
here, apart from the vital signs, on the few films whose patients' course is known, and shrunk
three times: for how the films were selected, towards zero for how few they are, and for what SpO2
and oxygen already say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize

from risk.additive import Term

SOURCE = "films with an outcome (Cohen et al. 2020), fitted apart from the vital signs"
SCORES = "severity_held_out.csv"
PRIOR_SD = 0.25  # log-odds per point of extent: what a careful reader would believe beforehand
# The share of severity's weight that SpO2 and oxygen need already carry. No data here has films
# and vital signs together, so this is a stated choice, not a fit.
OVERLAP = 0.5
# Without a film, the model speaks of an average patient of its set. This extent changes nothing.
NEUTRAL_EXTENT = 2.0


@dataclass(frozen=True, slots=True)
class Slope:
    """Log-odds of an outcome per point of extent (0-8), age and sex adjusted.

    Every patient counts once, whatever the number of films; the error is a bootstrap by patient.
    """

    value: float
    standard_error: float
    films: int
    patients: int
    events: int

    def as_dict(self) -> dict[str, float]:
        """Rounded, for a card."""
        return {
            "value": round(self.value, 4),
            "low": round(self.value - 1.96 * self.standard_error, 4),
            "high": round(self.value + 1.96 * self.standard_error, 4),
            "films": self.films,
            "patients": self.patients,
            "patients_with_outcome": self.events,
        }


@dataclass(frozen=True, slots=True)
class Weight:
    """Log-odds per point of extent (0-8) that the ventilation model adds.

    Parameters
    ----------
    slopes : by outcome and choice of films; "intubated" is where the weight starts.
    selection : the share that is left in each patient's earliest film when the projection is
        adjusted for. Later films and bedside films show a course that is already decided.
    shrunk : times `selection`, pulled to zero by the prior, less the overlap with SpO2.
    """

    slopes: Mapping[str, Slope]
    selection: float
    shrunk: float
    shrunk_error: float
    scored_by: str

    def for_the_card(self) -> dict[str, Any]:
        """What the card says of this term."""
        return {
            "severity_slopes": {name: one.as_dict() for name, one in self.slopes.items()},
            "severity_selection": round(self.selection, 4),
            "severity_prior_standard_deviation": PRIOR_SD,
            "severity_overlap_with_spo2": OVERLAP,
            "severity_weight_used": round(self.shrunk, 4),
            "severity_weight_used_standard_error": round(self.shrunk_error, 4),
            "severity_neutral_extent": NEUTRAL_EXTENT,
            "severity_scored_by": self.scored_by,
        }


START, STRICTEST = "intubated", "intubated: earliest film, projection adjusted"


def severity_weight(
    data: Path, scores: Path | None = None, samples: int = 200, seed: int = 7
) -> Weight:
    """Estimate the weight of severity for intubation.

    Parameters
    ----------
    data : folder with `radiographs.csv`.
    scores : CSV with `file` and `extent`, held-out predictions of the severity model; without
        it, the readers' mean geographic extent is used.
    samples : bootstrap samples of the patients, for the standard errors.
    """
    films, scored_by = scored_films(data, scores)
    films = films[films["extent"].notna() & (films["source"] != "nih")]
    early = films.sort_values(["patient", "day", "file"]).groupby("patient").head(1)
    slopes = {}
    for outcome in (START, "went_icu"):
        slopes[outcome] = _slope_of(films, outcome, False, samples, seed)
        slopes[f"{outcome}: earliest film, projection adjusted"] = _slope_of(
            early, outcome, True, samples, seed
        )
    whole, strict = slopes[START], slopes[STRICTEST]
    selection = float(np.clip(strict.value / whole.value, 0.0, 1.0)) if whole.value > 0 else 0.0
    error = strict.standard_error
    trust = PRIOR_SD**2 / (PRIOR_SD**2 + error**2)
    return Weight(
        slopes,
        selection,
        max(whole.value, 0.0) * selection * trust * (1 - OVERLAP),
        float(np.sqrt(trust) * error * (1 - OVERLAP)),
        scored_by,
    )


def _slope_of(
    films: pd.DataFrame, outcome: str, projection: bool, samples: int, seed: int
) -> Slope:
    """The slope among the films whose outcome is known."""
    films = films[films[outcome].isin(["Y", "N"])].sort_values(["patient", "file"])
    label = np.asarray(films[outcome] == "Y", dtype=np.float64)
    adjusted = [
        (films["age"].fillna(films["age"].median()).to_numpy(float) - 55) / 15,
        (films["sex"] == "M").to_numpy(float) - 0.5,
    ]
    if projection:
        adjusted.append((films["view"] != "PA").to_numpy(float) - 0.5)
    design = np.column_stack([films["extent"].to_numpy(float), *adjusted])
    patients, index, counts = np.unique(
        films["patient"].to_numpy(str), return_inverse=True, return_counts=True
    )
    per_film = 1.0 / counts[index]
    generator = np.random.default_rng(seed)
    share = np.full(len(patients), 1 / len(patients))
    draws = [
        _slope(design, label, per_film * generator.multinomial(len(patients), share)[index])
        for _ in range(samples)
    ]
    return Slope(
        _slope(design, label, per_film),
        float(np.std(draws)),
        len(films),
        len(patients),
        int(films[films[outcome] == "Y"]["patient"].nunique()),
    )


def scores_beside(data: Path) -> Path | None:
    """The held-out predictions that lie in a data folder, None where there are none."""
    path = data / SCORES
    return path if path.is_file() else None


def scored_films(data: Path, scores: Path | None) -> tuple[pd.DataFrame, str]:
    """The films of `radiographs.csv` with a column `extent`, and who scored them."""
    films = pd.read_csv(data / "radiographs.csv", low_memory=False)
    if scores is None:
        return films.assign(extent=films["geographic_0_8"]), "three readers (geographic extent)"
    predicted = pd.read_csv(scores)[["file", "extent"]]
    return films.merge(predicted, on="file", how="left"), "severity model, held-out predictions"


def _slope(
    design: NDArray[np.float64], label: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    """Weight of the first column in a logistic regression with a slight ridge."""

    def loss(b: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        eta = b[0] + design @ b[1:]
        residual = weights * (1 / (1 + np.exp(-eta)) - label)
        value = weights @ (np.logaddexp(0, eta) - label * eta) + 0.05 * b[1:] @ b[1:]
        return float(value), np.concatenate([[residual.sum()], design.T @ residual + 0.1 * b[1:]])

    start = np.zeros(1 + design.shape[1])
    return float(minimize(loss, start, jac=True, method="L-BFGS-B").x[1])


def severity_term(weight: Weight) -> Term:
    """The separate, labelled term. Missing is exactly zero and widens the interval."""
    knots = np.array([0.0, NEUTRAL_EXTENT, 8.0])
    offsets = knots - NEUTRAL_EXTENT
    variance = (weight.shrunk_error * offsets) ** 2
    spread = (2.0 * weight.shrunk) ** 2  # 2 points: standard deviation of extent between patients
    return Term(
        "severity_extent",
        "0-8",
        SOURCE,
        tuple(knots.tolist()),
        (),
        tuple(np.round(weight.shrunk * offsets, 6).tolist()),
        tuple(np.round(variance, 6).tolist()),
        0.0,
        round(float(spread + variance[0]), 6),
    )


def pneumonia_threshold(data: Path, scores: Path | None = None) -> float:
    """The extent (0-8) that best separates films with Brixia 0-2 from films with more.

    Youden's index over both readers' mean; where several thresholds are equal, the middle one.
    Films without a geographic extent take the severity model's, if `scores` is given.
    """
    films, _ = scored_films(data, scores)
    brixia = films[["brixia_S_Global", "brixia_J_Global"]].mean(axis=1)
    films = films[films["extent"].notna() & brixia.notna()]
    more = brixia.loc[films.index].to_numpy(float) > 2
    extent = films["extent"].to_numpy(float)
    candidates = np.unique(extent)[1:]
    youden = [(extent[more] >= c).mean() - (extent[~more] >= c).mean() for c in candidates]
    best = candidates[np.isclose(youden, np.max(youden))]
    return float(np.median(best))
