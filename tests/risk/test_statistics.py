"""Every figure beside a slow, obvious twin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from risk.statistics import (
    calibration,
    expected_over_observed,
    interval,
    logistic,
    net_benefit,
    rank,
    resample,
    treat_all,
)

SCORED = st.lists(
    st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 3)), min_size=4, max_size=40
).filter(
    lambda rows: (
        sum(one and w > 0 for one, _, w in rows) > 0
        and sum((not one) and w > 0 for one, _, w in rows) > 0
    )
)


@settings(deadline=None, max_examples=50)
@given(SCORED)
def test_auroc_and_precision_agree_with_the_textbook_and_with_weights_as_copies(
    rows: list[tuple[bool, int, int]],
) -> None:
    label = np.array([one for one, _, _ in rows])
    score = np.array([float(s) for _, s, _ in rows])
    weights = np.array([float(w) for _, _, w in rows])
    ranked = rank(label, score)
    assert ranked.auroc() == pytest.approx(roc_auc_score(label, score))
    assert ranked.average_precision() == pytest.approx(average_precision_score(label, score))
    copies = np.repeat(np.arange(len(rows)), weights.astype(int))
    assert ranked.auroc(weights) == pytest.approx(roc_auc_score(label[copies], score[copies]))
    assert ranked.average_precision(weights) == pytest.approx(
        average_precision_score(label[copies], score[copies])
    )


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    rng = np.random.default_rng(0)
    label, score = rng.random(60) < 0.4, rng.integers(0, 9, 60).astype(float)
    cases, controls = score[label], score[~label]
    pairs = [(a > b) + 0.5 * (a == b) for a in cases for b in controls]
    assert rank(label, score).auroc() == pytest.approx(np.mean(pairs))


def test_a_calibrated_model_has_slope_one_and_a_doubled_one_a_half() -> None:
    rng = np.random.default_rng(1)
    log_odds = rng.normal(-1, 1.5, 40000)
    label = rng.random(40000) < 1 / (1 + np.exp(-log_odds))
    assert calibration(label, log_odds) == pytest.approx((0, 1), abs=0.06)
    assert calibration(label, 2 * log_odds)[1] == pytest.approx(0.5, abs=0.03)
    p = 1 / (1 + np.exp(-log_odds))
    assert expected_over_observed(label, p) == pytest.approx(1, abs=0.03)


def test_net_benefit_is_true_minus_weighted_false() -> None:
    label = np.array([True, False, False, True])
    p = np.array([0.9, 0.8, 0.1, 0.2])
    assert net_benefit(label, p, np.array([0.5]))[0] == pytest.approx(0.25 - 0.25 * 1.0)
    assert treat_all(label, np.array([0.5]))[0] == pytest.approx(0.0)
    assert net_benefit(label, p, np.array([0.05])) == pytest.approx(
        treat_all(label, np.array([0.05]))
    )


def test_a_bootstrap_sample_draws_whole_patients() -> None:
    patient = np.array([7, 7, 7, 9, 9, 4])
    for weights in resample(patient, 20, seed=3):
        assert len(set(weights[:3])) == 1
        assert weights[3] == weights[4]
        assert weights[0] + weights[3] + weights[5] == 3
    assert all(
        np.array_equal(a, b)
        for a, b in zip(resample(patient, 5, 1), resample(patient, 5, 1), strict=True)
    )


def test_an_interval_holds_the_figure() -> None:
    values = np.random.default_rng(2).normal(5, 1, 200)
    samples = resample(np.arange(200), 200, seed=0)
    found = interval(lambda w: float(np.average(values, weights=w)), samples)
    assert found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 / np.sqrt(200), rel=0.25)
    assert set(found.as_dict()) == {"value", "low", "high"}


def test_net_benefit_of_weights_is_that_of_copies_and_as_counted_one_by_one() -> None:
    rng = np.random.default_rng(5)
    label, p = rng.random(60) < 0.3, rng.random(60)
    copies = rng.integers(0, 3, 60)
    thresholds = np.array([0.1, 0.3, 0.6])
    weighted = net_benefit(label, p, thresholds, copies.astype(float))
    again, q = np.repeat(label, copies), np.repeat(p, copies)
    assert weighted == pytest.approx(net_benefit(again, q, thresholds))
    for threshold, found in zip(thresholds, weighted, strict=True):
        acted = q >= threshold
        harm = (acted & ~again).sum() * threshold / (1 - threshold)
        assert found == pytest.approx(((acted & again).sum() - harm) / len(q))


def test_a_logistic_regression_finds_the_weights_that_made_the_data() -> None:
    rng = np.random.default_rng(6)
    columns = rng.normal(size=(20000, 2))
    label = rng.random(20000) < 1 / (1 + np.exp(1 - columns @ [1.0, -0.5]))
    found = logistic(columns, label, np.ones(20000))
    assert found == pytest.approx([-1.0, 1.0, -0.5], abs=0.08)
