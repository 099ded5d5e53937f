"""An administrator merges patients: with a reason, told to the engine, audited."""

from __future__ import annotations

import pytest

from service.records import Patient, Role

from .conftest import NOW, Stage, add_risk, add_study

SENT = {"merged_id": "P1", "patient_id": "P9", "reason": "registered twice"}


@pytest.fixture
def ward(stage: Stage) -> Stage:
    """P1 with a scored study and a risk, and P9 of whom only the name is known."""
    add_study(stage)
    add_risk(stage)
    stage.send("PUT", "/api/v1/patients/P9", {"name": "DOE^JANE"})
    stage.observed.clear()
    return stage


def test_the_old_path_answers_with_the_patient_that_is_left(ward: Stage) -> None:
    done = ward.send("POST", "/api/v1/merges", SENT, Role.ADMIN)
    assert done.status_code == 200, done.text
    assert done.json()["moved"]["studies"]
    assert ward.get("/api/v1/patients/P1").json()["patient_id"] == "P9"
    assert ward.get("/api/v1/studies", patient_id="P1").json()["studies"]
    assert ward.get("/fhir/Patient/P1").json()["identifier"][0]["value"] == "P9"
    assert ward.observed == ["P9"]  # the risk is computed again


def test_values_sent_to_the_old_identifier_are_the_patients(ward: Stage) -> None:
    ward.send("POST", "/api/v1/merges", SENT, Role.ADMIN)
    value = {"patient_id": "P1", "variable": "spo2", "value": 84, "unit": "%",
             "observed_at": NOW.isoformat(), "source": "late"}  # fmt: skip
    ward.send("POST", "/api/v1/observations", [value])
    found = ward.get("/api/v1/observations", patient_id="P9").json()["observations"]
    assert 84 in [one["value"] for one in found]


def test_who_merged_and_why_can_be_read(ward: Stage) -> None:
    ward.send("POST", "/api/v1/merges", SENT, Role.ADMIN)
    (known,) = ward.get("/api/v1/merges", Role.ADMIN).json()["merges"]
    assert (known["merged_id"], known["reason"], known["actor"]) == (
        "P1", "registered twice", "admin",
    )  # fmt: skip
    written = [one for one in ward.audits() if one.action == "merge"]
    assert {one.patient_id for one in written} == {"P1", "P9"}
    assert {(one.detail, one.address) for one in written} == {("registered twice", "testclient")}


def test_only_an_administrator_with_a_reason_may_merge(ward: Stage) -> None:
    for role in (Role.CLINICIAN, Role.RADIOLOGIST, Role.RESEARCHER):
        assert ward.send("POST", "/api/v1/merges", SENT, role).status_code == 403
    for reason in ("", "   "):
        sent = SENT | {"reason": reason}
        assert ward.send("POST", "/api/v1/merges", sent, Role.ADMIN).status_code == 422
    assert ward.index.patient("P1").patient_id == "P1"


def test_merges_that_cannot_be_are_told_apart(ward: Stage) -> None:
    unknown = SENT | {"merged_id": "P404"}
    assert ward.send("POST", "/api/v1/merges", unknown, Role.ADMIN).status_code == 404
    same = SENT | {"patient_id": "P1"}
    assert ward.send("POST", "/api/v1/merges", same, Role.ADMIN).status_code == 422
    assert ward.send("POST", "/api/v1/merges", SENT, Role.ADMIN).status_code == 200
    assert ward.send("POST", "/api/v1/merges", SENT, Role.ADMIN).status_code == 409
    assert ward.index.patients(search="P1") == ()
    assert isinstance(ward.index.patient("P1"), Patient)
