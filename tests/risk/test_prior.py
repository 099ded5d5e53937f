from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from risk.basis import Config, Spec, bases
from risk.borrowed import Borrowed, _prior, gcs_term, kept
from risk.data import Cohort
from risk.fit import Fit, Problem, fit
from risk.prior import profiled

KNOTS = (-2.0, 0.0, 2.0)
SETTINGS = Config(
    "9.9.9",
    0.1,
    0.1,
    1000.0,
    3,
    2,
    5,
    (Spec("x", knots=KNOTS, pulled=True), Spec("own", knots=KNOTS)),
)
THEIRS = replace(
    SETTINGS,
    terms=(Spec("gcs", knots=(3.0, 9.0, 15.0), trend=-1), Spec("x", knots=KNOTS, pulled=True)),
)


def cohort(seed: int, n: int, effect: float) -> Cohort:
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {"x": rng.normal(size=n), "own": rng.normal(size=n), "gcs": rng.uniform(3, 15, n)}
    )
    log_odds = -1 + effect * rows["x"] + 0.5 * rows["own"] - 0.1 * (rows["gcs"] - 9)
    label = rng.random(n) < 1 / (1 + np.exp(-log_odds.to_numpy()))
    whole = np.arange(n)
    return Cohort("test", rows, label, whole // 2, whole // 40, np.zeros(n), np.full(n, np.inf))


def lent(other: Cohort) -> Borrowed:
    fitted = fit(THEIRS, other, 3)
    return Borrowed(THEIRS, fitted, ("x",), _prior(fitted, other, ("x",)))


def rise(fitted: Fit, position: int = 0) -> float:
    """From the first knot of a curve to its last, in log-odds."""
    block = fitted.blocks()[position]
    curve, _ = fitted.bases[position].at_knots(fitted.weights[1:][block])
    return float(curve[-1] - curve[0])


def test_what_counts_for_nothing_changes_nothing() -> None:
    data, prior = cohort(0, 400, 0.0), lent(cohort(1, 4000, 1.0)).prior
    settings = replace(SETTINGS, borrow=0.0)
    assert np.array_equal(fit(settings, data, prior=prior).weights, fit(settings, data).weights)


def test_the_more_it_counts_the_nearer_the_curve_is_to_the_other_sets() -> None:
    data, other = cohort(0, 400, 0.0), lent(cohort(1, 4000, 1.0))
    rises = [
        rise(fit(replace(SETTINGS, borrow=one), data, prior=other.prior))
        for one in (0.0, 0.02, 0.2, 50.0)
    ]
    assert rises == sorted(rises)
    assert rises[-1] == pytest.approx(rise(other.fitted, 1), abs=0.05)


def test_a_row_of_the_other_set_counts_as_a_row_of_this_one_where_it_is_lent_whole() -> None:
    here, there = cohort(0, 1500, 0.7), cohort(1, 1500, 0.7)
    both = replace(
        here,
        rows=pd.concat([here.rows, there.rows], ignore_index=True),
        label=np.concatenate([here.label, there.label]),
        patient=np.arange(3000),
    )
    joint = fit(replace(SETTINGS, terms=(*THEIRS.terms, SETTINGS.terms[1])), both)
    pulled = fit(replace(SETTINGS, borrow=1.0), here, prior=lent(there).prior)
    assert rise(pulled) == pytest.approx(rise(joint, 1), abs=0.25)


def test_other_knots_are_refused() -> None:
    prior = lent(cohort(1, 400, 1.0)).prior
    other = (Spec("x", knots=(-1.0, 1.0)),)
    with pytest.raises(ValueError, match="x: expected the knots"):
        prior.within(bases(other, cohort(0, 50, 0.0).rows), 1.0)


def test_a_replicate_has_the_weights_of_its_sample() -> None:
    prior = lent(cohort(1, 400, 1.0)).prior
    assert np.array_equal(prior.replicate(4).mean, prior.replicates[1])


def test_a_profiled_curvature_is_the_inverse_of_the_covariance() -> None:
    rng = np.random.default_rng(2)
    half = rng.normal(size=(9, 5))
    curvature, at = half.T @ half, np.array([1, 3])
    covariance = np.linalg.inv(curvature)[np.ix_(at, at)]
    assert profiled(curvature, at) == pytest.approx(np.linalg.inv(covariance), rel=1e-4)


def test_no_free_weight_could_do_better_and_no_bound_is_crossed() -> None:
    data = cohort(0, 800, -1.0)
    settings = replace(SETTINGS, terms=(Spec("x", knots=KNOTS, trend=1), SETTINGS.terms[1]))
    problem = Problem(bases(settings.terms, data.rows), data)
    weights = problem.solve(settings, np.ones(len(data)))
    assert (weights >= problem.low - 1e-12).all()
    assert weights[1:3] == pytest.approx([0.0, 0.0])
    pull = problem._pull(settings, None)
    everyone = np.ones(len(data))
    best = problem._loss(weights, everyone, pull)
    rng = np.random.default_rng(1)
    for _ in range(50):
        near = np.clip(weights + 0.02 * rng.normal(size=len(weights)), problem.low, problem.high)
        assert problem._loss(near, everyone, pull) >= best - 1e-3


@pytest.mark.parametrize(("effect", "low", "high"), [(1.0, 0.7, 1.0), (0.0, 0.0, 0.25)])
def test_as_much_of_the_curves_is_kept_as_holds_here(
    effect: float, low: float, high: float
) -> None:
    other = lent(cohort(1, 4000, 1.0))
    held = kept(SETTINGS, cohort(0, 3000, effect), other, 10)
    assert low <= held.share <= high
    term = gcs_term(other, held)
    assert term.log_odds[-1] == 0.0
    assert (np.diff(term.log_odds) <= 1e-9).all()
    assert (term.missing_log_odds, "fitted apart" in term.source) == (0.0, True)
    assert term.missing_variance >= max(term.variance)
