"""Level and spread fitted to local outcomes: out of sample, the old model kept."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from risk import additive, ventilation
from risk.features import BadValue
from risk.recalibrate import answered, recalibrate, scaled
from tests.risk.test_train import local_table

OLD = additive.shipped("ventilation")


@pytest.fixture(scope="module")
def new() -> additive.Table:
    return recalibrate(OLD, local_table(8, 800))


def test_calibration_is_told_before_and_after_on_rows_that_the_fit_did_not_see(
    new: additive.Table,
) -> None:
    found = new.card["metrics"]["recalibration"]
    before, after = found["before"], found["after_out_of_sample"]
    assert abs(after["calibration_slope"]["value"] - 1) < abs(
        before["calibration_slope"]["value"] - 1
    )
    assert after["expected_over_observed"]["value"] == pytest.approx(1, abs=0.05)
    assert after["calibration_slope"]["value"] != 1  # as it would be on the rows of the fit
    assert found["surprise_saved"]["low"] > 0
    for figure in after.values():
        assert figure["low"] <= figure["value"] <= figure["high"]


def test_the_old_model_is_named_and_unchanged(new: additive.Table) -> None:
    assert additive.shipped("ventilation").label == OLD.label
    assert new.card["parameters"]["recalibrated_from"] == OLD.label
    assert new.version == f"{OLD.version}.recalibrated"
    assert OLD.label in new.card["limits"][0]
    assert recalibrate(new, local_table(8, 800)).version == new.version


def test_patients_are_ranked_as_before(new: additive.Table) -> None:
    rows = local_table(3, 50).drop(columns=["label", "patient", "hospital"])
    old_order = ventilation.predict_table(rows, OLD)["probability"].rank()
    assert old_order.equals(ventilation.predict_table(rows, new)["probability"].rank())


def test_what_the_fit_is_unsure_of_widens_the_interval(new: additive.Table) -> None:
    slope = new.card["parameters"]["recalibration_slope"]["value"]
    plain = scaled(OLD, 0.0, slope)
    assert new.baseline_variance > plain.baseline_variance


def test_a_model_that_fits_already_is_changed_little_and_the_gain_is_unclear() -> None:
    frame = local_table(8, 800)
    first = recalibrate(OLD, frame)
    again = recalibrate(first, frame).card["parameters"]
    assert again["recalibration_slope"]["value"] == pytest.approx(1, abs=1e-4)
    assert again["recalibration_intercept"]["value"] == pytest.approx(0, abs=1e-3)
    saved = recalibrate(first, frame).card["metrics"]["recalibration"]["surprise_saved"]
    assert saved["low"] <= 0


def test_hours_of_few_patients_are_few_outcomes() -> None:
    frame = local_table(8, 400)
    frame["patient"] = np.where(frame["label"] == 1, "ill", frame["patient"].astype(str))
    with pytest.raises(BadValue, match="found 1 and"):
        recalibrate(OLD, frame)


def test_rows_without_an_answer_are_listed_and_units_are_converted() -> None:
    frame = local_table(8, 100)
    frame.loc[3, "spo2"] = 900
    frame.loc[4, "spo2"] = 0.93
    found = answered(OLD, frame)
    assert found.cohort.left_out is not None
    assert found.cohort.left_out["row"].tolist() == [4]
    whole = ventilation.predict_table(frame.drop(columns=["label", "patient", "hospital"]))
    p = whole["probability"].dropna().to_numpy()
    np.testing.assert_allclose(found.log_odds, np.log(p / (1 - p)), atol=1e-9)


def test_an_outcome_against_the_risk_is_refused() -> None:
    frame = local_table(8, 400)
    with pytest.raises(BadValue, match="check the label"):
        recalibrate(OLD, frame.assign(label=1 - frame["label"]))


def test_without_patients_nothing_is_fitted() -> None:
    with pytest.raises(BadValue, match="column 'patient'"):
        recalibrate(OLD, pd.DataFrame({"spo2": [95.0], "label": [0]}))
