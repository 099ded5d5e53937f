from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from risk.basis import Config, Spec
from risk.choice import choose
from risk.data import Cohort
from risk.folds import folds, random_folds

SETTINGS = Config(
    "9.9.9",
    1.0,
    1.0,
    1.0,
    3,
    2,
    5,
    (Spec("x", knots=(-2.0, 0.0, 2.0)), Spec("y", knots=(-2.0, 0.0, 2.0), pulled=True)),
    choices={"ridge": (0.1, 1000.0)},
)


def cohort(effect: float, n: int = 800) -> Cohort:
    rng = np.random.default_rng(3)
    rows = pd.DataFrame({"x": rng.normal(size=n), "y": rng.normal(size=n)})
    label = rng.random(n) < 1 / (1 + np.exp(1.5 - effect * rows["x"].to_numpy()))
    whole = np.arange(n)
    return Cohort("test", rows, label, whole // 2, whole // 40, np.zeros(n), np.full(n, np.inf))


def test_noise_is_pulled_flat_and_a_strong_effect_is_not() -> None:
    assert choose(SETTINGS, cohort(0.0)).ridge == 1000.0
    assert choose(SETTINGS, cohort(1.5)).ridge == 0.1


def test_what_is_chosen_leaves_nothing_to_choose() -> None:
    assert not choose(SETTINGS, cohort(1.0)).choices


def test_with_too_few_outcomes_the_settings_stay() -> None:
    data = cohort(1.0)
    label = np.zeros(len(data), bool)
    label[:4] = True
    found = choose(SETTINGS, replace(data, label=label))
    assert found == replace(SETTINGS, choices={})


def test_without_another_set_nothing_is_borrowed() -> None:
    settings = replace(SETTINGS, choices={"borrow": (0.1, 1.0)})
    assert choose(settings, cohort(1.0)).borrow == 0.0


def test_a_hospital_is_never_in_two_folds() -> None:
    group = np.repeat(np.arange(30), np.arange(1, 31))
    for fold in (folds(group, 5), random_folds(group, 5, seed=1)):
        assert all(len(set(fold[group == g])) == 1 for g in range(30))
        assert set(fold) == set(range(5))
    sizes = np.bincount(folds(group, 5))
    assert sizes.max() - sizes.min() <= 5
