"""Patients by identifier, whatever the hospital puts into one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from service.records import Patient

from .conftest import NOW, Stage, add_risk, add_study


def put(stage: Stage, patient_id: str, **body: Any) -> Any:
    return stage.send("PUT", f"/api/v1/patients/{quote(patient_id, safe='')}", body)


@pytest.mark.parametrize("patient_id", ["P1", "12/345", "A B", "Ünï", "x/risk/y", "?#&"])
def test_a_patient_comes_back_as_put(stage: Stage, patient_id: str) -> None:
    body = {
        "name": "DOE^JANE",
        "birth_date": "1950-02-03",
        "sex": "F",
        "ward": "ICU",
        "bed": "4",
        "admitted_at": "2026-11-22T08:00:00+01:00",
    }
    assert put(stage, patient_id, **body).status_code == 200
    found = stage.get(f"/api/v1/patients/{quote(patient_id, safe='')}").json()
    assert found["patient_id"] == patient_id
    assert found["admitted_at"] == "2026-11-22T07:00:00Z"
    assert found["ward"] == "ICU"
    assert stage.observed == [patient_id]


def test_a_field_left_out_stays_and_null_empties_it(stage: Stage) -> None:
    add_study(stage)
    put(stage, "P1", ward="ICU", admitted_at=NOW.isoformat())
    put(stage, "P1", ward=None, bed="7")
    found = stage.get("/api/v1/patients/P1").json()
    assert (found["name"], found["ward"], found["bed"]) == ("DOE^JANE^MARY", "", "7")
    assert found["admitted_at"] is not None


def test_what_another_changes_at_the_same_moment_is_not_written_over(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, others = stage.index.patient, [{"ventilated_since": NOW.isoformat()}, {"bed": "7"}]

    def changed_meanwhile(patient_id: str) -> Patient:
        found = read(patient_id)
        if others:
            put(stage, "P1", **others.pop())
        return found

    add_study(stage)
    monkeypatch.setattr(stage.index, "patient", changed_meanwhile)
    assert put(stage, "P1", ward="ICU").status_code == 200
    found = read("P1")
    assert (found.ward, found.bed, found.ventilated_since) == ("ICU", "7", NOW)
    assert found.name


@pytest.mark.parametrize(
    "body",
    [
        {"sex": "female"},
        {"admitted_at": "2026-11-22T08:00:00"},
        {"admitted_at": "0001-01-01T00:00:00+23:59"},
        {"wrad": "ICU"},
        {"ward": "x" * 65},
        {"ward": "a\x00b"},
        {"admitted_at": NOW.isoformat(), "discharged_at": (NOW - timedelta(hours=1)).isoformat()},
        [],
    ],
)
def test_what_cannot_be_is_422_and_changes_nothing(stage: Stage, body: Any) -> None:
    assert stage.send("PUT", "/api/v1/patients/P1", body).status_code == 422
    assert stage.get("/api/v1/patients/P1").status_code == 404
    assert not stage.observed


def test_patients_are_searched_and_paged(stage: Stage) -> None:
    for n in range(5):
        put(stage, f"P{n}", name=f"NAME{n}^X", ward="A" if n % 2 else "B")

    def ids(**query: Any) -> list[str]:
        found = stage.get("/api/v1/patients", **query).json()["patients"]
        return [one["patient_id"] for one in found]

    assert ids() == ["P0", "P1", "P2", "P3", "P4"]
    assert ids(ward="A") == ["P1", "P3"]
    assert ids(search="name4") == ["P4"]
    assert ids(limit=2, offset=2) == ["P2", "P3"]
    assert ids(admitted=True) == []


def test_the_risk_of_a_patient_over_time_adds_up_and_names_what_is_old(stage: Stage) -> None:
    add_study(stage, "P1")
    for hours in (3, 2, 1):
        add_risk(stage, "P1", NOW - timedelta(hours=hours))
    body = stage.get("/api/v1/patients/P1/risk").json()
    assert [one["at"] for one in body["risks"]] == sorted(one["at"] for one in body["risks"])
    one = body["risks"][-1]
    assert (one["band"], one["horizon_hours"], one["stale"]) == ("high", 12, ["temperature"])
    assert one["low"] < one["probability"] < one["high"]
    assert one["contributions"][0]["log_odds"] == 0.9
    assert one["companions"][0]["name"] == "ROX"
    since = (NOW - timedelta(hours=1)).isoformat()
    assert len(stage.get("/api/v1/patients/P1/risk", since=since).json()["risks"]) == 1


@pytest.mark.parametrize("path", ["patients/NO", "patients/NO/risk", "observations?patient_id=NO"])
def test_an_unknown_patient_is_404_and_no_identifier_is_repeated(stage: Stage, path: str) -> None:
    answer = stage.get(f"/api/v1/{path}")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"
    assert "NO" not in answer.json()["message"]
