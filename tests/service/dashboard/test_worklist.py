"""Rows of the worklist: what is said, and what is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from service.dashboard import worklist
from service.dashboard.moments import Zone
from service.records import Patient, WorklistRow
from tests.service.dashboard.ward import NOW, WARD, observations, risk_record

ZONE = Zone.named("UTC")
HOUR = timedelta(hours=1)
RECORD = risk_record(WARD[0], NOW, 0.31)
VITALS = {one.variable: one for one in observations(WARD[0])}
WHO = Patient("P-1001", "OKAFOR^ADAEZE", admitted_at=NOW - 50 * HOUR)
ROW = WorklistRow(WHO, RECORD, ((NOW, 0.31),), 0.09, None, VITALS)


def shown(row: WorklistRow) -> worklist.Row:
    return worklist.rows([row], NOW, ZONE, HOUR).rows[0]


@pytest.mark.parametrize(
    ("change", "said"), [(None, None), (0.0, ""), (0.0001, ""), (0.03, "+3.0"), (-0.012, "−1.2")]
)
def test_no_change_is_told_apart_from_no_value_an_hour_ago(
    change: float | None, said: str | None
) -> None:
    assert shown(replace(ROW, risk_change=change)).change == said


@pytest.mark.parametrize(
    ("hours", "first", "said"),
    [(40, 0.21, "+10.0 points in 40 h"), (3, 0.31, "steady over 3 h"), (0.2, 0.1, "")],
)
def test_the_change_over_the_course_says_over_how_long(
    hours: float, first: float, said: str
) -> None:
    course = ((RECORD.at - hours * HOUR, first), (RECORD.at, 0.31))
    assert shown(replace(ROW, risk_course=course)).climbed == said


def test_somebody_who_is_not_admitted_keeps_no_risk_of_an_earlier_stay() -> None:
    for patient, word in (
        (replace(WHO, admitted_at=None), "Outpatient"),
        (replace(WHO, discharged_at=NOW), "Discharged"),
    ):
        row = shown(replace(ROW, patient=patient))
        assert word in [flag.word for flag in row.flags]
        assert row.risk.why_not.startswith("Not admitted")
        assert (row.risk.figure, row.course, row.change) == (None, "", None)
    assert not {"Outpatient", "Discharged"} & {flag.word for flag in shown(ROW).flags}


def test_an_outpatient_has_the_risk_of_the_outpatient_model_and_no_band() -> None:
    away = replace(ROW, patient=replace(WHO, admitted_at=None), outside=RECORD)
    page = worklist.rows([away], NOW, ZONE, HOUR)
    assert page.rows[0].risk.outcome == "Intensive care, ventilation or death"
    assert page.rows[0].risk.figure
    assert page.rows[0].risk.figure.figure == "31"
    assert page.rows[0].risk.band_word == ""


def test_all_rows_of_a_page_share_one_axis_that_holds_every_interval() -> None:
    low = replace(ROW, risk=risk_record(WARD[8], NOW, 0.01))
    page = worklist.rows([ROW, low], NOW, ZONE, HOUR)
    assert page.interval_axis == "60"
    first, second = (row.interval for row in page.rows)
    assert first
    assert second
    assert first.value == pytest.approx(31 / 60 * 100, abs=0.1)
    assert second.value == pytest.approx(1 / 60 * 100, abs=0.1)


def test_the_age_that_most_vital_signs_share_is_said_once() -> None:
    late = replace(VITALS["spo2"], observed_at=NOW - timedelta(hours=5))
    row = shown(replace(ROW, vitals={**VITALS, "spo2": late}))
    assert row.vitals_age == "12 min"
    old = [one for one in row.vitals if one.age != row.vitals_age]
    assert [(one.name, one.age, one.old) for one in old] == [("spo2", "5 h", True)]


@pytest.mark.parametrize(
    ("changed", "word"),
    [({"stale": ("fio2",)}, "Stale"), ({"missing": ("spo2",)}, "Input missing")],
)
def test_a_flag_tells_old_from_missing(changed: dict[str, tuple[str, ...]], word: str) -> None:
    record = replace(RECORD, **changed)  # type: ignore[arg-type]  # fields of the record by name
    assert word in [flag.word for flag in shown(replace(ROW, risk=record)).flags]


@pytest.mark.parametrize(
    ("name", "spoken"),
    [
        ("DOE^JANE^^Dr", "Doe, Jane"),
        ("McDonald^Ann", "McDonald, Ann"),
        ("", "P"),
        ("^^", "P"),
        ("Yamada^Tarou=山田^太郎", "Yamada, Tarou"),
    ],
)
def test_names_are_read_as_the_standard_writes_them(name: str, spoken: str) -> None:
    assert worklist.spoken_name(Patient("P", name)) == spoken
