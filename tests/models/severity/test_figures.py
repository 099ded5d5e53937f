from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from models.severity.figures import (
    bootstrap,
    direction,
    pearson,
    spearman,
    straight_line,
    weighted_kappa,
)

RNG = np.random.default_rng(7)
ONE = RNG.normal(size=60)
OTHER = 0.7 * ONE + RNG.normal(size=60)


def test_correlations_equal_those_of_scipy() -> None:
    assert pearson(ONE, OTHER) == pytest.approx(stats.pearsonr(ONE, OTHER).statistic)
    tied = np.rint(OTHER)
    assert spearman(ONE, tied) == pytest.approx(stats.spearmanr(ONE, tied).statistic)


def test_weighted_kappa_equals_that_of_scikit_learn() -> None:
    one, other = RNG.integers(0, 19, 80), RNG.integers(0, 19, 80)
    wanted = cohen_kappa_score(one, other, weights="quadratic", labels=list(range(19)))
    assert weighted_kappa(one.astype(float), other.astype(float)) == pytest.approx(wanted)


def test_direction_counts_clear_changes_only() -> None:
    read = np.array([1.0, -1.0, 0.4, 2.0])
    said = np.array([0.1, -2.0, -1.0, -0.5])
    assert direction(said, read, 0.5) == pytest.approx(2 / 3)


def test_a_straight_line_recovers_its_own_scale() -> None:
    np.testing.assert_allclose(straight_line(ONE, 3 * ONE - 2), 3 * ONE - 2)


def test_the_interval_of_a_mean_is_that_of_patients_not_of_films() -> None:
    values = np.repeat(RNG.normal(size=30), 10)
    patient = np.repeat(np.arange(30), 10)
    rows = np.arange(300)
    whole = bootstrap(lambda at: float(values[at].mean()), rows, patient)
    naive = bootstrap(lambda at: float(values[at].mean()), rows, rows)
    assert whole["high"] - whole["low"] > 2 * (naive["high"] - naive["low"])
    assert whole["low"] <= whole["value"] <= whole["high"]
    assert (whole["n"], whole["patients"]) == (300, 30)


def test_too_few_films_give_no_figure() -> None:
    assert bootstrap(lambda at: 1.0, np.arange(3), np.arange(3))["value"] is None
