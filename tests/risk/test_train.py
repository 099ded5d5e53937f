"""Training and judging on a small local table, and on the research data where it is at hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from risk import additive, data, ventilation
from risk.alarms import at_share_caught
from risk.evaluate import evaluate
from risk.features import BadValue
from risk.films import pneumonia_threshold, severity_term, severity_weight
from risk.recalibrate import recalibrate
from risk.train import train


def local_table(seed: int = 0, n: int = 600) -> pd.DataFrame:
    """A made-up ward whose outcome follows SpO2, oxygen and the film."""
    rng = np.random.default_rng(seed)
    spo2 = np.clip(rng.normal(94, 4, n), 70, 100)
    extent = rng.uniform(0, 8, n)
    log_odds = -2.5 + 0.25 * (94 - spo2) + 0.3 * (extent - 4)
    label = rng.random(n) < 1 / (1 + np.exp(-log_odds))
    return pd.DataFrame(
        {
            "spo2": spo2,
            "respiratory_rate": rng.normal(20, 4, n).clip(8, 40),
            "heart_rate": np.where(rng.random(n) < 0.1, np.nan, rng.normal(85, 12, n)),
            "age_years": rng.uniform(20, 90, n),
            "sex": rng.choice(["female", "male"], n),
            "severity_extent": extent,
            "label": label.astype(int),
            "patient": np.arange(n) // 2,
            "hospital": np.arange(n) % 7,
        }
    )


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ward")
    local_table().to_csv(folder / "ward.csv", index=False)
    local_table().to_parquet(folder / "ward.parquet")
    return folder


@pytest.fixture(scope="module")
def trained(ward: Path) -> additive.Table:
    return train("ventilation", ward / "ward.csv", ward / "out", quick=True)


def test_a_hospital_trains_on_its_own_table_and_severity_is_fitted_jointly(
    trained: additive.Table,
) -> None:
    table = trained
    severity = next(term for term in table.terms if term.variable == "severity_extent")
    assert severity.source == "local data"
    assert severity.log_odds[-1] > severity.log_odds[0] + 0.5
    low = ventilation.predict({"spo2": 97, "severity_extent": 1}, table).probability
    high = ventilation.predict({"spo2": 84, "severity_extent": 7}, table).probability
    assert low is not None
    assert high is not None
    assert high > low


def test_the_film_gets_the_weight_that_it_has_on_local_data_beside_spo2(ward: Path) -> None:
    rng = np.random.default_rng(11)
    rises = []
    for effect in (0.0, 0.6):
        frame = local_table(2, 1500)
        spo2, extent = frame["spo2"].to_numpy(), frame["severity_extent"].to_numpy()
        log_odds = -2 + 0.25 * (94 - spo2) + effect * (extent - 4)
        frame["label"] = (rng.random(1500) < 1 / (1 + np.exp(-log_odds))).astype(int)
        frame.to_csv(ward / "films.csv", index=False)
        table = train("ventilation", ward / "films.csv", ward / "films", quick=True)
        term = next(one for one in table.terms if one.variable == "severity_extent")
        rises.append(term.at(8.0)[0] - term.at(0.0)[0])
        assert "apart" not in term.source
    assert rises[0] < 0.5
    assert 2.5 < rises[1] < 6.0


def test_csv_and_parquet_give_the_same_rows(ward: Path) -> None:
    one = data.table("ventilation", ward / "ward.csv")
    two = data.table("ventilation", ward / "ward.parquet")
    pd.testing.assert_frame_equal(one.rows, two.rows, check_dtype=False)
    assert np.array_equal(one.label, two.label)


def test_evaluation_writes_card_and_plots_and_puts_the_figures_into_the_table(
    ward: Path, trained: additive.Table
) -> None:
    out = ward / "out"
    metrics = evaluate("ventilation", ward / "ward.csv", out, run=out, quick=True)
    assert additive.read(out / "ventilation.json").label == trained.label
    assert 0.6 < metrics["auroc"]["value"] <= 1
    assert metrics["auroc"]["low"] < metrics["auroc"]["value"] < metrics["auroc"]["high"]
    for name in ("roc", "precision_recall", "calibration", "decision_curve"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    card = json.loads((out / "card.json").read_text())
    table = additive.read(out / "ventilation.json")
    assert card["metrics"] == table.card["metrics"] == json.loads(json.dumps(metrics))
    text = (out / "card.md").read_text()
    assert "| auroc |" in text
    assert "## Limits" in text


def test_an_outpatient_clinic_trains_on_its_own_table(ward: Path) -> None:
    rng = np.random.default_rng(4)
    frame = local_table(3).drop(columns=["heart_rate"])
    frame["gcs"] = rng.choice([15, 15, 14], len(frame))
    frame["pneumonia"] = rng.choice(["yes", "no"], len(frame))
    frame.to_csv(ward / "clinic.csv", index=False)
    table = train("outpatient", ward / "clinic.csv", ward / "clinic", quick=True)
    assert {"spo2", "confusion", "age_with_pneumonia"} <= {t.variable for t in table.terms}
    assert all(term.source == "local data" for term in table.terms)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="label"), "expected a column 'label'"),
        (lambda t: t.drop(columns="patient"), "expected a column 'patient'"),
        (lambda t: t.assign(weight=1), "found also weight"),
        (lambda t: t.iloc[:0], "found 0 rows"),
        (lambda t: t.assign(label=0), "of one kind"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_what_to_do(  # type: ignore[no-untyped-def]
    tmp_path: Path, change, message: str
) -> None:
    path = tmp_path / "bad.csv"
    change(local_table(n=40)).to_csv(path, index=False)
    with pytest.raises(BadValue, match=message):
        data.table("ventilation", path)


def test_a_folder_without_the_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected eicu_demo"):
        train("ventilation", tmp_path, tmp_path / "out")


def test_recalibration_moves_level_and_spread_and_contributions_still_add_up() -> None:
    frame = local_table(8, 500)
    old = additive.shipped("ventilation")
    new = recalibrate(old, frame)
    assert new.label != old.label
    assert new.card["parameters"]["recalibrated_from"] == old.label
    rows = frame.drop(columns=["label", "patient", "hospital"])
    p = ventilation.predict_table(rows, new)["probability"]
    assert p.mean() == pytest.approx(frame["label"].mean(), abs=0.01)
    found = ventilation.predict(rows.iloc[0].to_dict(), new)
    assert found.probability is not None
    assert found.baseline_log_odds is not None
    total = found.baseline_log_odds + sum(c.log_odds for c in found.contributions)
    assert np.log(found.probability / (1 - found.probability)) == pytest.approx(total, abs=1e-9)
    with pytest.raises(BadValue, match="give more data"):
        recalibrate(old, frame.head(20))
    with pytest.raises(BadValue, match="column 'label'"):
        recalibrate(old, rows)


def test_alarms_catch_the_share_that_was_asked_for() -> None:
    hours = np.tile(np.arange(1.0, 25.0), 10)
    patient = np.repeat(np.arange(10), 24)
    onset = np.where(patient < 5, 24.5, np.inf)
    rows = pd.DataFrame({"spo2": np.zeros(240)})
    label = onset <= hours + 12
    cohort = data.Cohort("t", rows, label, patient, patient, hours, onset)
    p = np.where(patient < 4, hours / 30, 0.01)
    found = at_share_caught(cohort, p.astype(float), 0.8)
    assert (found.onsets, found.onsets_caught) == (5, 0.8)
    assert found.threshold == pytest.approx(0.8)
    assert found.lead_h == pytest.approx(0.5)
    assert found.precision_of_rows == 1.0
    assert found.alarms_per_patient_day == pytest.approx(4 / 10)


@pytest.fixture(scope="module")
def intensive_care(shared_data: Path) -> data.Cohort:
    return data.eicu(shared_data / "risk")


def test_the_vectorised_rows_are_those_that_serving_builds(
    shared_data: Path, intensive_care: data.Cohort
) -> None:
    from datetime import UTC, datetime, timedelta

    from risk.features import Reading, ventilation_row

    folder, cohort = shared_data / "risk", intensive_care
    hourly = pd.read_parquet(folder / "eicu_demo" / "hourly.parquet")
    stay = int(cohort.patient[len(cohort) // 2])
    start = datetime(2021, 1, 1, tzinfo=UTC)
    grid = hourly[hourly["stay_id"] == stay]
    units = {"fio2": "%", "urea": "mg/dL"}
    readings = [
        Reading(ours, float(value), units.get(ours, ""), start + timedelta(hours=int(hour) + 1))
        for theirs, (ours, _) in data._EICU.items()
        for hour, value in zip(grid["hour"], grid[theirs], strict=True)
        if data.reads_as(ours, value)
    ]
    here = np.flatnonzero(cohort.patient == stay)
    for index in here[:: max(1, len(here) // 6)]:
        at = start + timedelta(hours=float(cohort.hour[index]))
        row, _ = ventilation_row(readings, at, None, None, admitted_at=start)
        expected = cohort.rows.iloc[index]
        for name in expected.index.difference(["age_years", "sex", "ventilated"]):
            value = row[name]
            if value is None:
                assert pd.isna(expected[name]), name
            else:
                assert expected[name] == pytest.approx(value, abs=1e-9), name


def test_rows_after_the_onset_and_hidden_ventilation_are_left_out(
    shared_data: Path, intensive_care: data.Cohort
) -> None:
    cohort = intensive_care
    assert (cohort.onset > cohort.hour).all()
    assert np.array_equal(cohort.label, cohort.onset <= cohort.hour + 12)
    stays = pd.read_csv(shared_data / "risk" / "eicu_demo" / "stays.csv")
    hidden = stays.loc[stays["hidden_vent_day1"], "stay_id"]
    assert not np.isin(cohort.patient, hidden).any()


def test_breathing_rate_and_oxygen_of_cinc_are_never_used() -> None:
    assert not {"RespRate", "FiO2", "MechVent", "SaO2"} & set(data._CINC)


def test_the_last_two_weeks_of_admissions_are_left_out(shared_data: Path) -> None:
    cohort = data.mexico(shared_data / "risk")
    assert 60000 < len(cohort) < 70000
    assert 0.07 < cohort.label.mean() < 0.1


def test_severity_weighs_more_than_nothing_and_less_than_it_was_fitted(shared_data: Path) -> None:
    weight = severity_weight(shared_data, samples=20)
    assert 0 < weight.shrunk < weight.slopes["intubated"].value / 2
    term = severity_term(weight)
    assert term.missing_log_odds == 0.0
    assert term.at(8.0)[0] > 0 > term.at(0.0)[0]
    assert 1.0 < pneumonia_threshold(shared_data) < 4.0


def test_a_local_table_is_learned_from_as_it_is_served(tmp_path: Path) -> None:
    frame = local_table(n=60).assign(fio2=21, temperature=98.6)
    frame.loc[0, "spo2"], frame.loc[1, "heart_rate"] = 0.95, 900
    frame.to_csv(tmp_path / "t.csv", index=False)
    cohort = data.table("ventilation", tmp_path / "t.csv")
    assert len(cohort) == 59
    assert cohort.left_out is not None
    assert cohort.left_out["row"].tolist() == [2]
    assert cohort.rows["spo2"].iloc[0] == pytest.approx(95)
    assert cohort.rows["fio2"].iloc[0] == pytest.approx(0.21)
    assert cohort.rows["temperature"].iloc[0] == pytest.approx(37)
    windows = cohort.rows[["spo2_min_6h", "spo2_mean_6h"]]
    assert (windows.to_numpy() == cohort.rows[["spo2"]].to_numpy()).all()


def test_the_order_of_a_local_table_changes_nothing_but_the_order(tmp_path: Path) -> None:
    frame = local_table(n=60)
    frame.to_csv(tmp_path / "one.csv", index=False)
    frame.iloc[::-1][sorted(frame.columns)].to_csv(tmp_path / "two.csv", index=False)
    one, two = (data.table("ventilation", tmp_path / f"{n}.csv") for n in ("one", "two"))
    assert data.fingerprint(one) == data.fingerprint(two)
    assert data.fingerprint(one) != data.fingerprint(one.take(np.arange(59)))


def test_a_model_of_ones_own_says_so(trained: additive.Table) -> None:
    assert trained.version.endswith(".local")
    assert trained.card["data"] == ["local table ward"]
    assert "United States" not in " ".join(trained.card["limits"])
