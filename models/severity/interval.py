"""Prediction intervals and the noise of a change, from residuals of films never trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.severity.zones import EXTENT_MAX, ZONE_MAX

LEVEL = 0.9
KNOTS = np.arange(0.0, EXTENT_MAX + 0.5, 1.0)
BANDWIDTH = 1.0  # extent units: about 60 of 240 films stand behind each knot


@dataclass(frozen=True, slots=True)
class Calibration:
    """What turns a bare extent into an interval and a difference into a probability.

    Parameters
    ----------
    knots, half_widths : half-width of the 90 % interval at each predicted extent (0-8).
    change_sigma : standard deviation of (predicted - read) change between two films of a patient.
    change_half_width : half-width of the 90 % interval of a change.
    zone_sigma, zone_half_width : the same two of a change of one zone (0-3), all zones together.
    """

    knots: tuple[float, ...]
    half_widths: tuple[float, ...]
    change_sigma: float
    change_half_width: float
    zone_sigma: float = ZONE_MAX
    zone_half_width: float = ZONE_MAX

    def interval(self, extent: float) -> tuple[float, float]:
        """90 % interval around an extent in [0, 8], clipped to the scale; it holds `extent`."""
        half = float(np.interp(extent, self.knots, self.half_widths))
        return max(0.0, extent - half), min(EXTENT_MAX, extent + half)

    def probability_real(self, difference: float) -> float:
        """1 minus the probability that two films of an unchanged lung differ by as much.

        Rises with |difference|; 0 where the scores are equal. Two-sided, normal noise of
        `change_sigma`. Not the probability that the change matters.
        """
        return _probability_real(difference, self.change_sigma)

    def zone_probability_real(self, difference: float) -> float:
        """The same for the change of one zone's score, -3 to 3. Of six zones of an unchanged lung
        each may seem changed: one zone alone says less than a change of extent.
        """
        return _probability_real(difference, self.zone_sigma)


def _probability_real(difference: float, sigma: float) -> float:
    return math.erf(abs(difference) / (sigma * math.sqrt(2.0)))


def fit_half_widths(
    predicted: NDArray[np.float64], residual: NDArray[np.float64], level: float = LEVEL
) -> NDArray[np.float64]:
    """Half-width at each of `KNOTS`: local mean absolute residual times one conformal factor.

    Parameters
    ----------
    predicted, residual : (N,) extents in [0, 8] and their errors on films not trained on.

    References
    ----------
    Lei et al., Distribution-free predictive inference for regression, JASA 113, 2018, 5.2.
    """
    near = np.exp(-0.5 * ((KNOTS[:, None] - predicted[None]) / BANDWIDTH) ** 2)
    size = np.abs(residual)
    # five films' worth of the overall error steadies the knots where few films lie
    local = (near @ size + 5.0 * size.mean()) / (near.sum(axis=1) + 5.0)
    ratio = size / np.interp(predicted, KNOTS, local)
    return np.asarray(local * conformal_quantile(ratio, level), np.float64)


def conformal_quantile(values: NDArray[np.float64], level: float) -> float:
    """The ceil((n + 1) level)-th smallest value: covers a new one with probability >= level."""
    rank = min(len(values), math.ceil((len(values) + 1) * level))
    return float(np.sort(values)[rank - 1])


def fit_change(
    pair_error: NDArray[np.float64], copy_error: NDArray[np.float64]
) -> tuple[float, float]:
    """Sigma and 90 % half-width of a change, of extent or of zones.

    Parameters
    ----------
    pair_error : predicted minus read change, pairs of films of one patient, not trained on.
    copy_error : change predicted between a film and a re-processed copy of itself.

    Returns
    -------
    The larger of the two noises (robust for pairs, plain for copies), and the half-width.
    """
    pairs = 1.4826 * float(np.median(np.abs(pair_error)))
    copies = float(np.sqrt(np.mean(copy_error**2)))
    return max(pairs, copies), conformal_quantile(np.abs(pair_error), LEVEL)


def calibration_to_parameters(calibration: Calibration) -> dict[str, Any]:
    """As the model card keeps it."""
    return {
        "interval_level": LEVEL,
        "interval_knots": list(calibration.knots),
        "interval_half_widths": [round(one, 4) for one in calibration.half_widths],
        "change_sigma": round(calibration.change_sigma, 4),
        "change_half_width": round(calibration.change_half_width, 4),
        "zone_change_sigma": round(calibration.zone_sigma, 4),
        "zone_change_half_width": round(calibration.zone_half_width, 4),
    }


def calibration_from_parameters(parameters: Mapping[str, Any]) -> Calibration:
    """Back from the model card."""

    def numbers(name: str) -> tuple[float, ...]:
        values: Sequence[float] = parameters[name]
        return tuple(float(value) for value in values)

    return Calibration(
        numbers("interval_knots"),
        numbers("interval_half_widths"),
        float(parameters["change_sigma"]),
        float(parameters["change_half_width"]),
        float(parameters.get("zone_change_sigma", ZONE_MAX)),  # cards before 0.3 have none
        float(parameters.get("zone_change_half_width", ZONE_MAX)),
    )


UNKNOWN = Calibration((0.0, EXTENT_MAX), (EXTENT_MAX, EXTENT_MAX), EXTENT_MAX, EXTENT_MAX)
"""Before any held-out film was scored: every interval is the whole scale."""
