"""What the films with an outcome say about severity: its weight, and where pneumonia begins.

No public data has both films and ventilation times. The weight of the severity score is fitted
here, apart from the vital signs, on the few films whose patients' course is known, and shrunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize

from risk.additive import Term

SOURCE = "films with an outcome (Cohen et al. 2020), fitted apart from the vital signs"
PRIOR_SD = 0.25  # log-odds per point of extent: what a careful reader would believe beforehand
# The share of severity's weight that SpO2 and oxygen need already carry. No data here has films
# and vital signs together, so this is a stated choice, not a fit.
OVERLAP = 0.5
# Without a film, the model speaks of an average patient of its set. This extent changes nothing.
NEUTRAL_EXTENT = 2.0


@dataclass(frozen=True, slots=True)
class Weight:
    """Log-odds per point of extent (0-8).

    Parameters
    ----------
    raw, standard_error : as fitted, with age and sex; the error is a bootstrap by patient.
    shrunk : towards zero by the prior, then by the overlap with SpO2.
    """

    raw: float
    standard_error: float
    shrunk: float
    shrunk_error: float
    films: int
    patients: int
    events: int
    scored_by: str


def severity_weight(
    data: Path, scores: Path | None = None, samples: int = 200, seed: int = 7
) -> Weight:
    """Estimate the weight of severity for intubation.

    Parameters
    ----------
    data : folder with `radiographs.csv`.
    scores : CSV with `file` and `extent`, held-out predictions of the severity model; without
        it, the readers' mean geographic extent is used.
    samples : bootstrap samples of the patients, for the standard error.
    """
    films, scored_by = scored_films(data, scores)
    films = films[films["intubated"].isin(["Y", "N"]) & films["extent"].notna()]
    films = films.sort_values(["patient", "file"])
    label = np.asarray(films["intubated"] == "Y", dtype=np.float64)
    design = np.column_stack(
        [
            films["extent"].to_numpy(float),
            (films["age"].fillna(films["age"].median()).to_numpy(float) - 55) / 15,
            (films["sex"] == "M").to_numpy(float) - 0.5,
        ]
    )
    patients, index, counts = np.unique(
        films["patient"].to_numpy(str), return_inverse=True, return_counts=True
    )
    per_film = 1.0 / counts[index]
    raw = _slope(design, label, per_film)
    generator = np.random.default_rng(seed)
    share = np.full(len(patients), 1 / len(patients))
    draws = [
        _slope(design, label, per_film * generator.multinomial(len(patients), share)[index])
        for _ in range(samples)
    ]
    error = float(np.std(draws))
    trust = PRIOR_SD**2 / (PRIOR_SD**2 + error**2)
    return Weight(
        raw,
        error,
        max(raw, 0.0) * trust * (1 - OVERLAP),
        float(np.sqrt(trust) * error * (1 - OVERLAP)),
        len(films),
        len(patients),
        int(films[films["intubated"] == "Y"]["patient"].nunique()),
        scored_by,
    )


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
