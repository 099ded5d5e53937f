"""Each score against its published table; worked examples are counted by hand beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from risk import deterioration
from risk.published import (
    COMORBIDITIES,
    companions,
    four_c_deterioration,
    four_c_mortality,
    news2,
    qcsi,
    rox,
    sf_ratio,
)

WELL: dict[str, object] = {
    "age_years": 40.0,
    "sex": "female",
    "heart_rate": 70.0,
    "respiratory_rate": 16.0,
    "spo2": 98.0,
    "systolic_bp": 120.0,
    "temperature": 37.0,
    "gcs": 15.0,
    "fio2": 0.21,
    "oxygen_flow": 0.0,
    "urea": 5.0,
    "crp": 5.0,
    "lymphocytes": 1.8,
    "pneumonia": "no",
    **dict.fromkeys(COMORBIDITIES, "no"),
}


@pytest.mark.parametrize(
    ("spo2", "fio2", "breaths", "value", "word"),
    [
        (90.0, 0.6, 32.0, 4.6875, "between"),
        (96.0, 0.4, 24.0, 10.0, "low risk"),
        (88.0, 1.0, 35.0, 2.514, "2, 6 and 12"),
        (90.0, 0.9, 32.0, 3.125, "6 and 12"),
        (90.0, 0.8, 30.0, 3.75, "12 h"),
        (97.6, 1.0, 20.0, 4.88, "low risk"),
    ],
)
def test_rox_is_spo2_over_fio2_over_the_breathing_rate(
    spo2: float, fio2: float, breaths: float, value: float, word: str
) -> None:
    score = rox({"spo2": spo2, "fio2": fio2, "respiratory_rate": breaths})
    assert score.value == pytest.approx(value, abs=1e-3)
    assert word in score.band


def test_spo2_over_fio2_has_the_cut_offs_of_its_publication() -> None:
    assert sf_ratio({"spo2": 94.0, "fio2": 0.4}).value == pytest.approx(235.0)
    assert "200" in sf_ratio({"spo2": 94.0, "fio2": 0.4}).band
    assert "300" in sf_ratio({"spo2": 90.0, "fio2": 0.3}).band
    assert "not valid" in sf_ratio({"spo2": 99.0, "fio2": 0.3}).band


@pytest.mark.parametrize(
    ("breaths", "spo2", "flow", "value", "word"),
    [
        (22, 93, 2, 0, "low"),
        (23, 92, 3, 1 + 2 + 4, "high-intermediate"),
        (28, 89, 4, 1 + 2 + 4, "high-intermediate"),
        (29, 88, 5, 2 + 5 + 5, "high"),
        (18, 91, 3, 6, "low-intermediate"),
    ],
)
def test_qcsi_counts_as_published(
    breaths: float, spo2: float, flow: float, value: float, word: str
) -> None:
    score = qcsi({"respiratory_rate": breaths, "spo2": spo2, "oxygen_flow": flow})
    assert (score.value, score.band) == (value, word)


def test_qcsi_takes_the_lowest_saturation_and_knows_room_air() -> None:
    row = {"respiratory_rate": 20.0, "spo2": 97.0, "spo2_min_6h": 87.0, "fio2": 0.21}
    assert qcsi(row).value == 5


@pytest.mark.parametrize(
    ("change", "points"),
    [
        ({}, 0),
        ({"respiratory_rate": 8.0}, 3),
        ({"respiratory_rate": 11.0}, 1),
        ({"respiratory_rate": 21.0}, 2),
        ({"respiratory_rate": 25.0}, 3),
        ({"spo2": 91.0}, 3),
        ({"spo2": 93.0}, 2),
        ({"spo2": 95.0}, 1),
        ({"fio2": 0.28}, 2),
        ({"oxygen_flow": 2.0}, 2),
        ({"systolic_bp": 90.0}, 3),
        ({"systolic_bp": 100.0}, 2),
        ({"systolic_bp": 110.0}, 1),
        ({"systolic_bp": 220.0}, 3),
        ({"heart_rate": 40.0}, 3),
        ({"heart_rate": 50.0}, 1),
        ({"heart_rate": 91.0}, 1),
        ({"heart_rate": 111.0}, 2),
        ({"heart_rate": 131.0}, 3),
        ({"temperature": 35.0}, 3),
        ({"temperature": 36.0}, 1),
        ({"temperature": 38.1}, 1),
        ({"temperature": 39.1}, 2),
        ({"gcs": 14.0}, 3),
    ],
)
def test_news2_counts_each_part_as_published(change: dict[str, float], points: int) -> None:
    assert news2({**WELL, **change}).value == points


def test_news2_bands_follow_the_total_and_a_single_three() -> None:
    assert news2(WELL).band == "low"
    assert news2({**WELL, "gcs": 13.0}).band == "low-medium"
    assert news2({**WELL, "gcs": 13.0, "fio2": 0.4}).band == "medium"
    worked = {
        "respiratory_rate": 26.0,  # 3
        "spo2": 92.0,  # 2
        "fio2": 0.4,  # 2
        "systolic_bp": 95.0,  # 2
        "heart_rate": 118.0,  # 2
        "gcs": 15.0,  # 0
        "temperature": 38.4,  # 1
    }
    assert (news2(worked).value, news2(worked).band) == (12.0, "high")


def test_four_c_mortality_counts_a_worked_example() -> None:
    ill = {
        **WELL,
        "age_years": 72.0,  # 6
        "sex": "male",  # 1
        "diabetes": "yes",
        "obesity": "yes",  # 2
        "respiratory_rate": 24.0,  # 1
        "spo2": 90.0,  # 2
        "gcs": 14.0,  # 2
        "urea": 9.0,  # 1
        "crp": 120.0,  # 2
    }
    score = four_c_mortality(ill)
    assert score.value == 17
    assert score.band == "very high: 66.1 % died"
    assert four_c_mortality(WELL).value == 0
    assert four_c_mortality(WELL).band == "low"


@pytest.mark.parametrize(("age", "points"), [(49, 0), (50, 2), (60, 4), (79, 6), (80, 7)])
def test_four_c_mortality_steps_with_age(age: float, points: int) -> None:
    assert four_c_mortality({**WELL, "age_years": float(age)}).value == points


def test_four_c_mortality_reaches_its_published_maximum() -> None:
    worst = {
        **WELL,
        **dict.fromkeys(COMORBIDITIES, "yes"),
        "age_years": 85.0,
        "sex": "male",
        "respiratory_rate": 35.0,
        "spo2": 80.0,
        "gcs": 8.0,
        "urea": 20.0,
        "crp": 200.0,
    }
    assert four_c_mortality(worst).value == 21
    assert "87.5" in four_c_mortality(worst).band


def test_four_c_deterioration_adds_the_published_points() -> None:
    row = {**WELL, "spo2": 90.0, "sex": "male", "gcs": 14.0, "oxygen_flow": 2.0}
    base = four_c_deterioration({**WELL, "spo2": 98.0}).value
    changed = four_c_deterioration(row)
    assert base is not None
    assert changed.value == base + 87 + 35 + 87 + 108
    assert four_c_deterioration({**WELL, "pneumonia": "yes"}).value == base + 47
    assert four_c_deterioration({**WELL, "hospital_acquired": "yes"}).value == base + 39


def test_the_shipped_deterioration_table_is_the_published_one(shared_data: Path) -> None:
    points = deterioration.from_publication(shared_data / "risk" / "published")
    assert points == deterioration.published()
    assert points.points("spo2", 90.0) == 87
    assert points.points("age_years", 19.0) == 2
    assert points.probability(0) == pytest.approx(0.031)
    assert points.probability(489) == pytest.approx(0.484)
    assert points.probability(2000) == pytest.approx(0.989)


def test_a_score_without_all_its_inputs_has_no_value_and_says_what_is_missing() -> None:
    for score in companions({}):
        assert score.value is None
        assert score.missing
        assert score.citation
    assert rox({"spo2": 90.0, "fio2": 0.5}).missing == ("respiratory_rate",)
    assert "fio2 or oxygen_flow" in news2({**WELL, "fio2": None, "oxygen_flow": None}).missing
    assert "obesity" in four_c_mortality({**WELL, "obesity": None}).missing
    assert all(score.value is not None for score in companions(WELL))


@pytest.mark.parametrize("said", [{"oxygen": "room_air"}, {"oxygen_flow": 0.0}])
def test_room_air_is_a_known_fraction_and_oxygen_of_unknown_fraction_is_not(
    said: dict[str, object],
) -> None:
    row = {"spo2": 90.0, "respiratory_rate": 30.0}
    assert rox({**row, **said}).value == pytest.approx(90 / 0.21 / 30)
    assert sf_ratio({**row, **said}).value == pytest.approx(90 / 0.21)
    assert rox({**row, "oxygen": "oxygen"}).missing == ("fio2",)
    assert rox({**row, "oxygen_flow": 3.0}).missing == ("fio2",)
    assert rox(row).missing == ("fio2",)
