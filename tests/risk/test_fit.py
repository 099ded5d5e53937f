from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from risk.basis import Config, Spec, basis, config
from risk.data import Cohort
from risk.export import independence, rescale, to_table
from risk.fit import fit

SETTINGS = Config(
    "9.9.9",
    0.1,
    0.1,
    1.0,
    3,
    8,
    5,
    (
        Spec("up", quantiles=5, trend=1),
        Spec("down", quantiles=5, trend=-1, missing=True),
        Spec("word", levels=("a", "b")),
        Spec("inside", quantiles=3, within=True),
    ),
)


def cohort(seed: int = 0, n: int = 900) -> Cohort:
    rng = np.random.default_rng(seed)
    up, down = rng.normal(size=n), rng.normal(size=n)
    word = rng.choice(["a", "b"], n)
    log_odds = -1 + up - 0.5 * down + (word == "b")
    down[rng.random(n) < 0.2] = np.nan
    inside = np.where(word == "b", rng.normal(size=n), np.nan)
    rows = pd.DataFrame({"up": up, "down": down, "word": word, "inside": inside})
    label = rng.random(n) < 1 / (1 + np.exp(-log_odds))
    whole = np.arange(n)
    return Cohort("test", rows, label, whole // 3, whole // 100, np.zeros(n), np.full(n, np.inf))


def test_the_table_says_the_same_as_the_fit() -> None:
    data = cohort()
    fitted = fit(SETTINGS, data)
    table = to_table("test", SETTINGS, fitted, {"up": "kg"}, "here")
    columns = {term.variable: data.rows[term.variable].tolist() for term in table.terms}
    assert table.log_odds(columns) == pytest.approx(fitted.log_odds(data.rows), abs=1e-4)
    assert [term.unit for term in table.terms] == ["kg", "", "", ""]


def test_a_trend_is_kept_even_against_the_data() -> None:
    data = cohort()
    rows = data.rows.assign(up=-data.rows["up"])
    against = Cohort("t", rows, data.label, data.patient, data.group, data.hour, data.onset)
    table = to_table("test", SETTINGS, fit(SETTINGS, against), {}, "here")
    up, down = table.terms[0].log_odds, table.terms[1].log_odds
    assert (np.diff(up) >= -1e-9).all()
    assert (np.diff(down) <= 1e-9).all()


def test_the_effects_that_made_the_data_are_found() -> None:
    table = to_table("test", SETTINGS, fit(SETTINGS, cohort(n=6000)), {}, "here")
    up, word = table.terms[0], table.terms[2]
    assert up.at(1.0)[0] - up.at(-1.0)[0] == pytest.approx(2.0, abs=0.35)
    assert word.at("b")[0] - word.at("a")[0] == pytest.approx(1.0, abs=0.25)


def test_a_missing_value_is_no_more_certain_than_a_usual_one_unless_it_cannot_exist() -> None:
    fitted = fit(SETTINGS, cohort(), bootstraps=5)
    table = to_table("test", SETTINGS, fitted, {}, "here")
    for term in table.terms[:3]:
        assert term.missing_variance > max(term.variance)
    inside = table.terms[3]
    assert inside.missing_variance == 0.0
    assert inside.missing_log_odds == pytest.approx(0.0, abs=1e-5)


def test_the_rescaled_variances_are_those_of_the_bootstrap_on_average() -> None:
    data = cohort()
    fitted = fit(SETTINGS, data, bootstraps=5)
    table = to_table("test", SETTINGS, fitted, {}, "here")
    scaled = rescale(table, independence(table, fitted, data.rows))
    assert independence(scaled, fitted, data.rows) == pytest.approx(1.0, abs=0.01)


def test_the_same_seed_gives_the_same_fit() -> None:
    one, two = fit(SETTINGS, cohort(), 3), fit(SETTINGS, cohort(), 3)
    assert np.array_equal(one.replicates, two.replicates)


def test_a_variable_without_any_value_says_nothing() -> None:
    data = cohort()
    rows = data.rows.assign(up=np.nan)
    table = to_table(
        "t",
        SETTINGS,
        fit(
            SETTINGS, Cohort("t", rows, data.label, data.patient, data.group, data.hour, data.onset)
        ),
        {},
        "here",
    )
    assert table.terms[0].log_odds == pytest.approx([0.0] * len(table.terms[0].knots), abs=1e-6)


def test_a_constant_variable_gets_a_basis() -> None:
    one = basis(Spec("x", quantiles=4), pd.Series([2.0, 2.0, np.nan]))
    assert one.width == 2
    assert np.isfinite(one.columns(pd.Series([2.0, np.nan]))).all()


@pytest.mark.parametrize("name", ["ventilation", "outpatient", "cinc2012"])
def test_the_packaged_settings_can_be_read(name: str) -> None:
    settings = config(name)
    assert settings.terms
    assert settings.as_dict()["seed"] == settings.seed
