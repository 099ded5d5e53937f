"""The ventilation risk of one patient at one moment."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from risk.estimate import Estimate
from service.jobs.pipeline import run_study
from service.jobs.risk import age_years, default_risk_models, fill_course, run_risk
from service.records import AuditEvent, Observation, Patient
from tests.service.jobs.science import NOW, SMALL, SMALL_RISK, Ward, film

HOUR = timedelta(hours=1)
AUDIT = AuditEvent(NOW, "ada", "write", "success", "P1")
ADMITTED = Patient("P1", "DOE^JANE", date(1950, 1, 2), "F", "W1", "3", NOW - 24 * HOUR)


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    ward = Ward(tmp_path)
    yield ward
    ward.index.close()


def observe(ward: Ward, variable: str, value: float, hours_ago: float) -> None:
    at = NOW - hours_ago * HOUR
    one = Observation(f"{variable}{value}{at}", "P1", variable, value, "", at, at, "monitor")
    ward.index.add_observations([one], AUDIT)


def test_the_contributions_add_up_and_know_their_age(ward: Ward) -> None:
    ward.index.put_patient(ADMITTED, AUDIT)
    observe(ward, "heart_rate", 80, hours_ago=2)
    observe(ward, "heart_rate", 90, hours_ago=1)
    observe(ward, "lactate", 2, hours_ago=9)
    record = run_risk("P1", ward.index, NOW, SMALL_RISK)
    assert record is not None
    assert record.probability is not None
    assert record.baseline_log_odds is not None
    total = record.baseline_log_odds + sum(one.log_odds for one in record.inputs)
    assert total == pytest.approx(math.log(record.probability / (1 - record.probability)), abs=1e-9)
    inputs = {one.variable: one for one in record.inputs}
    assert (inputs["heart_rate"].value, inputs["heart_rate"].label) == (90, "Heart rate")
    assert inputs["heart_rate"].observed_at == NOW - HOUR
    assert not inputs["heart_rate"].stale
    assert inputs["lactate"].stale
    assert record.stale == ("lactate",)
    assert record.companions[0].name == "ROX"
    assert ward.index.current_risk("P1") == record


def test_later_readings_are_not_looked_at(ward: Ward) -> None:
    ward.index.put_patient(ADMITTED, AUDIT)
    observe(ward, "heart_rate", 80, hours_ago=1)
    before = run_risk("P1", ward.index, NOW, SMALL_RISK)
    observe(ward, "heart_rate", 190, hours_ago=-1)
    assert run_risk("P1", ward.index, NOW, SMALL_RISK) == before
    assert len(ward.index.risks("P1")) == 1


def test_hours_whose_readings_came_late_are_computed_once_and_say_when(ward: Ward) -> None:
    ward.index.put_patient(ADMITTED, AUDIT)
    for hours_ago in (5.5, 4.5, 30.5):  # the last is from before the admission
        observe(ward, "heart_rate", 80 + hours_ago, hours_ago)
    assert fill_course("P1", ward.index, NOW, SMALL_RISK) == 3
    kept = ward.index.risks("P1")
    assert [NOW - one.at for one in kept] == [5 * HOUR, 4 * HOUR]
    assert {one.computed_at for one in kept} == {NOW}
    first = {one.variable: one.value for one in kept[0].inputs}
    assert first["heart_rate"] == 85.5  # not the later reading
    fill_course("P1", ward.index, NOW, SMALL_RISK)
    assert ward.index.risks("P1") == kept


def test_an_hour_that_was_refused_for_want_of_readings_is_computed_when_they_come(
    ward: Ward,
) -> None:
    def predict(row: Mapping[str, object]) -> Estimate:
        found = SMALL_RISK.predict(row)
        if row.get("heart_rate") is not None:
            return found
        return replace(found, status="refused", probability=None, low=None, high=None)

    models = replace(SMALL_RISK, predict=predict)
    ward.index.put_patient(ADMITTED, AUDIT)
    for hours_ago in (5, 4):  # the hourly run, while the link to the monitors was down
        run_risk("P1", ward.index, NOW - hours_ago * HOUR, models)
    at = NOW - 4.5 * HOUR
    one = Observation("late", "P1", "heart_rate", 90, "", at, NOW - HOUR, "monitor")
    ward.index.add_observations([one], AUDIT)
    assert fill_course("P1", ward.index, NOW, models) == 1
    numbers = [r for r in ward.index.risks("P1") if r.probability is not None]
    assert [(NOW - r.at, r.computed_at) for r in numbers] == [(4 * HOUR, NOW)]
    assert fill_course("P1", ward.index, NOW, models) == 0


def test_an_impossible_reading_is_left_out(ward: Ward) -> None:
    ward.index.put_patient(ADMITTED, AUDIT)
    observe(ward, "heart_rate", 80, hours_ago=2)
    observe(ward, "heart_rate", 9999, hours_ago=1)
    record = run_risk("P1", ward.index, NOW, SMALL_RISK)
    assert record is not None
    assert {one.variable: one.value for one in record.inputs}["heart_rate"] == 80


def test_the_newest_film_counts(ward: Ward) -> None:
    for day, grey in (("20260227", 0.25), ("20260301", 0.5)):
        study = ward.take(film(day=day, grey=grey))
        run_study(study, ward.index, ward.objects, SMALL, NOW)
    ward.index.put_patient(ADMITTED, AUDIT)
    record = run_risk("P1", ward.index, NOW, SMALL_RISK)
    assert record is not None
    severity = {one.variable: one for one in record.inputs}["severity_extent"]
    assert severity.value == pytest.approx(4.0, abs=0.1)
    assert severity.observed_at is not None
    assert severity.observed_at.date() == date(2026, 3, 1)


@pytest.mark.parametrize("taken", [None, NOW - 20 * HOUR, NOW + 30 * HOUR])
def test_a_film_that_is_judged_again_grows_no_younger(ward: Ward, taken: datetime | None) -> None:
    study = ward.take(film())
    ward.index.put_patient(ADMITTED, AUDIT)
    run_study(study, ward.index, ward.objects, SMALL, NOW)
    first = ward.index.current_result(study)
    assert first is not None
    received = ward.index.study(study).received_at
    for hours in (0, 48):
        again = replace(first, result_id=f"r{hours}", acquired_at=taken, revision=9 + hours,
                        created_at=NOW + hours * HOUR)  # fmt: skip
        ward.index.add_result(again, AUDIT)
        record = run_risk("P1", ward.index, NOW + (hours + 1) * HOUR, SMALL_RISK)
        assert record is not None
        severity = {one.variable: one for one in record.inputs}["severity_extent"]
        assert severity.observed_at == min(taken or received, received)


@pytest.mark.parametrize(
    "patient",
    [
        replace(ADMITTED, admitted_at=None),
        replace(ADMITTED, admitted_at=NOW + HOUR),
        replace(ADMITTED, discharged_at=NOW - HOUR),
    ],
)
def test_nobody_who_is_not_admitted_has_a_risk(ward: Ward, patient: Patient) -> None:
    ward.index.put_patient(patient, AUDIT)
    assert run_risk("P1", ward.index, NOW, SMALL_RISK) is None
    assert ward.index.risks("P1") == ()


def test_a_ventilated_patient_has_a_refusal_and_no_number(ward: Ward) -> None:
    ward.index.put_patient(replace(ADMITTED, ventilated_since=NOW - HOUR), AUDIT)
    record = run_risk("P1", ward.index, NOW, SMALL_RISK)
    assert record is not None
    assert (record.status, record.probability) == ("refused", None)


def test_age_counts_birthdays() -> None:
    born = replace(ADMITTED, birth_date=date(1950, 3, 2))
    assert age_years(born, NOW) == 75
    assert age_years(born, NOW + timedelta(days=1)) == 76
    assert age_years(replace(ADMITTED, birth_date=None), NOW) is None


def test_the_shipped_model_answers_and_its_reasons_add_up(ward: Ward) -> None:
    models = default_risk_models()
    ward.index.put_patient(ADMITTED, AUDIT)
    vitals = {"heart_rate": 95, "respiratory_rate": 28, "spo2": 89, "fio2": 0.5, "gcs": 15}
    for variable, value in vitals.items():
        observe(ward, variable, value, hours_ago=1)
    observe(ward, "fio2", 0.6, hours_ago=0.5)
    observe(ward, "spo2", 9000, hours_ago=0.5)
    record = run_risk("P1", ward.index, NOW, models)
    assert record is not None
    assert record.probability is not None
    assert record.baseline_log_odds is not None
    total = record.baseline_log_odds + sum(one.log_odds for one in record.inputs)
    assert total == pytest.approx(math.log(record.probability / (1 - record.probability)), abs=1e-9)
    inputs = {one.variable: one for one in record.inputs}
    assert inputs["spo2"].value == 89
    assert inputs["sf_ratio"].observed_at == NOW - HOUR
    assert all(one.label and one.source for one in record.inputs)
    assert {one.name for one in record.companions} >= {"ROX", "qCSI", "NEWS2"}
