"""The risk of somebody who is not admitted, from what the index happens to know."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.additive import shipped
from risk.outpatient import VARIABLES, predict
from service.dashboard.risk import OUTPATIENT_INPUTS
from service.jobs.pipeline import run_study
from service.jobs.risk import ScoredFilm
from service.outpatient import NOTHING_LATELY, aged, estimate, keep, until
from service.records import Observation, Patient
from tests.service.jobs.science import NOW as WARD_NOW
from tests.service.jobs.science import SMALL, Ward, film

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
TABLE = shipped("outpatient")
MEASURED = ("spo2", "respiratory_rate", "heart_rate", "oxygen_flow", "temperature", "crp", "urea")
WHO = Patient("P1", "DOE^JANE", date(1956, 1, 15), "F")
FILM = ScoredFilm(4.0, NOW - HOUR)


def measured(variable: str, value: float, hours_ago: float = 1.0) -> dict[str, Observation]:
    at = NOW - hours_ago * HOUR
    return {variable: Observation("o", "P1", variable, value, "", at, at, "clinic")}


def test_it_is_what_the_model_says_of_the_same_row_and_its_terms_add_up() -> None:
    found = estimate(WHO, measured("spo2", 92), FILM, NOW, TABLE)
    assert found
    row = {"age_years": 70, "sex": "female", "spo2": 92, "severity_extent": 4.0}
    assert found.probability == predict(row, TABLE).probability
    assert found.baseline_log_odds is not None
    total = found.baseline_log_odds + math.fsum(one.log_odds for one in found.inputs)
    assert 1 / (1 + math.exp(-total)) == pytest.approx(found.probability)
    assert "pneumonia" not in found.missing  # the film tells
    assert len(VARIABLES) == OUTPATIENT_INPUTS


def test_nobody_who_is_admitted_and_nobody_unknown_has_one() -> None:
    assert estimate(replace(WHO, admitted_at=NOW), {}, FILM, NOW, TABLE) is None
    nothing = estimate(WHO, {}, None, NOW, TABLE)
    assert nothing
    assert (nothing.status, nothing.reason) == ("refused", NOTHING_LATELY)
    assert nothing.probability is None
    refused = estimate(replace(WHO, birth_date=None), {}, FILM, NOW, TABLE)
    assert refused
    assert (refused.status, refused.probability) == ("refused", None)
    assert "age_years" in refused.reason


@pytest.mark.parametrize(("hours_ago", "counts"), [(3.9, True), (4.1, False), (-1.0, False)])
def test_a_value_that_is_too_old_or_lies_ahead_does_not_count(
    hours_ago: float, counts: bool
) -> None:
    found = estimate(WHO, measured("spo2", 88, hours_ago), FILM, NOW, TABLE)
    assert found
    assert ("spo2" not in found.missing) is counts


def test_what_was_measured_during_a_stay_says_nothing_of_the_time_after_it() -> None:
    home = replace(WHO, admitted_at=NOW - 90 * HOUR, discharged_at=NOW - HOUR / 2)
    before = estimate(home, measured("spo2", 88), FILM, NOW, TABLE)
    after = estimate(home, measured("spo2", 88, 0.2), FILM, NOW, TABLE)
    assert before
    assert after
    assert (before.status, after.status) == ("refused", "ok")


def test_a_film_grows_no_younger_when_its_result_is_made_anew(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    undated = film()
    del undated.StudyDate, undated.AcquisitionDate
    study, later = ward.take(undated), WARD_NOW + timedelta(days=5)
    for now in (WARD_NOW, later):
        run_study(study, ward.index, ward.objects, SMALL, now)
        found = keep("P1", ward.index, now, TABLE)
        assert found
        assert found.reason == ("" if now == WARD_NOW else NOTHING_LATELY)
        ward.take(film(study_uid=study, view="LL"))
    ward.index.close()


def test_a_film_that_is_refused_does_not_hide_the_one_before_it(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    for ds in (film(day="20260228"), film(day="20260301", corner=1.0)):
        run_study(ward.take(ds), ward.index, ward.objects, SMALL, WARD_NOW)
    found = keep("P1", ward.index, WARD_NOW, TABLE)
    assert found
    assert found.status == "ok"
    ward.index.close()


@given(hours=st.dictionaries(st.sampled_from(MEASURED), st.floats(0, 100), min_size=1))
def test_a_risk_stands_until_the_first_of_its_inputs_no_longer_counts(
    hours: dict[str, float],
) -> None:
    middle = {one.name: (one.low + one.high) / 2 for one in VARIABLES}
    vitals = {}
    for name, ago in hours.items():
        vitals |= measured(name, middle[name], ago)
    found = estimate(WHO, vitals, FILM, NOW, TABLE)
    assert found
    assert found.status == "ok"
    ends = until(found)
    assert ends
    assert ends >= NOW
    assert aged(found, ends) == found
    moment = timedelta(seconds=1)
    again = estimate(WHO, vitals, FILM, max(NOW, ends - moment), TABLE)
    later = estimate(WHO, vitals, FILM, ends + moment, TABLE)
    assert again
    assert later
    assert again.inputs == found.inputs
    assert later.inputs != found.inputs
    late = aged(found, ends + moment)
    assert late.stale
    assert late.probability == found.probability
