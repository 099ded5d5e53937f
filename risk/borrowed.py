"""What PhysioNet/CinC 2012 lends the ventilation model: laboratory, circulation, coma scale.

That set has 841 onsets, but no SpO2, and its breathing rates and inspired oxygen follow
ventilation: neither they nor their absence is looked at. So it cannot make the model; it says how
blood gases, laboratory values and circulation go with ventilation, and the fit on the eICU demo is
pulled towards that (`risk.prior`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from risk import statistics
from risk.additive import Term
from risk.basis import Config, Floats, blocks, config
from risk.choice import choose
from risk.data import Cohort
from risk.export import to_table
from risk.fit import Fit, Problem, fit
from risk.folds import folds
from risk.prior import Prior, profiled

SOURCE = "PhysioNet/CinC 2012 (ODC-BY 1.0), fitted apart, scaled to what its curves keep here"


@dataclass(frozen=True, slots=True)
class Borrowed:
    """The fit on the other set.

    Parameters
    ----------
    shared : its variables that the ventilation model has too and is pulled in.
    """

    settings: Config
    fitted: Fit
    shared: tuple[str, ...]
    prior: Prior

    def shared_log_odds(self, rows: pd.DataFrame) -> Floats:
        """(n,) what the shared curves add up to; a missing value adds nothing."""
        total = np.zeros(len(rows))
        for one, block in zip(self.fitted.bases, self.fitted.blocks(), strict=True):
            if one.spec.variable in self.shared:
                weights = self.fitted.weights[1:][block]
                total += one.columns(rows[one.spec.variable]) @ weights
        return total


def borrow(settings: Config, cohort: Cohort, bootstraps: int) -> Borrowed:
    """Fit CinC 2012 with the knots of `settings`, penalties chosen among its own patients.

    Parameters
    ----------
    settings : of the ventilation model.
    cohort : of CinC 2012.
    """
    theirs = cinc_settings(settings, cohort)
    theirs = choose(theirs, replace(cohort, group=cohort.patient))
    fitted = fit(theirs, cohort, bootstraps)
    shared = tuple(s.variable for s in theirs.terms if s.pulled)
    return Borrowed(theirs, fitted, shared, _prior(fitted, cohort, shared))


def cinc_settings(settings: Config, cohort: Cohort) -> Config:
    """The pulled terms of the ventilation model that CinC 2012 knows, and those of its own."""
    own = config("cinc2012")
    shared = tuple(
        replace(spec, missing=False)
        for spec in settings.terms
        if spec.pulled and cohort.rows[spec.variable].notna().any()
    )
    return replace(own, terms=(*own.terms, *shared))


def _prior(fitted: Fit, cohort: Cohort, shared: tuple[str, ...]) -> Prior:
    """The shared ramps of the fit, all its other weights profiled out."""
    problem = Problem(fitted.bases, cohort)
    curvature = problem.curvature(fitted.weights, np.ones(len(cohort)))
    edges, places = {}, []
    for one, block in zip(fitted.bases, blocks(fitted.bases), strict=True):
        if one.spec.variable in shared:
            edges[one.spec.variable] = one.edges
            places.append(1 + np.arange(block.start, block.stop - 1))
    at = np.concatenate(places)
    return Prior(edges, fitted.weights[at], profiled(curvature, at), fitted.replicates[:, at])


@dataclass(frozen=True, slots=True)
class Kept:
    """The share of the borrowed curves that holds in the other set, beside breathing and oxygen."""

    share: float
    standard_error: float


def kept(settings: Config, cohort: Cohort, lent: Borrowed, samples: int) -> Kept:
    """Weight of the borrowed curves beside a model without their variables, held out by group.

    It is 1 where they say as much here as where they come from, 0 where they say nothing.
    """
    rest = tuple(spec for spec in settings.terms if spec.variable not in lent.shared)
    without = replace(settings, terms=rest, choices={})
    log_odds = np.zeros(len(cohort))
    fold = folds(cohort.group, settings.folds)
    for one in np.unique(fold):
        fitted = fit(without, cohort.take(fold != one))
        log_odds[fold == one] = fitted.log_odds(cohort.rows[fold == one])
    beside = np.column_stack([log_odds, lent.shared_log_odds(cohort.rows)])
    draws = statistics.resample(cohort.patient, samples, seed=settings.seed)
    found = [statistics.logistic(beside, cohort.label, weights)[2] for weights in draws]
    share = statistics.logistic(beside, cohort.label, np.ones(len(cohort)))[2]
    return Kept(float(np.clip(share, 0.0, 1.0)), float(np.std(found)))


def gcs_term(lent: Borrowed, held: Kept) -> Term:
    """The coma scale's curve, scaled by what is kept, zero at 15 and exactly zero when missing."""
    whole = to_table("gcs", lent.settings, lent.fitted, {"gcs": "points"}, SOURCE)
    term = next(term for term in whole.terms if term.variable == "gcs")
    curve = np.array(term.log_odds) - term.log_odds[-1]
    fitted = np.array(term.variance) + term.variance[-1]
    variance = held.share**2 * fitted + (held.standard_error * curve) ** 2
    scaled = held.share * curve
    spread = float(np.var(scaled)) + float(variance.max())
    return replace(
        term,
        log_odds=tuple(float(v) for v in np.round(scaled, 6)),
        variance=tuple(float(v) for v in np.round(variance, 6)),
        missing_log_odds=0.0,
        missing_variance=round(spread, 6),
    )
