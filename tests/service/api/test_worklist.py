"""The worklist as JSON."""

from __future__ import annotations

from datetime import timedelta

from risk.additive import shipped
from service import outpatient

from .conftest import NOW, Stage, add_risk, add_study, severity


def test_admitted_patients_are_ranked_by_risk_with_their_reasons(stage: Stage) -> None:
    for n, probability in enumerate((0.02, 0.3, 0.05)):
        patient = f"P{n}"
        add_study(stage, patient, f"1.{n}")
        stage.send(
            "PUT", f"/api/v1/patients/{patient}", {"ward": "ICU", "admitted_at": NOW.isoformat()}
        )
        add_risk(stage, patient, NOW - timedelta(hours=1), probability=0.01)
        add_risk(stage, patient, NOW, probability=probability)
    stage.send(
        "POST",
        "/api/v1/observations",
        [
            {
                "patient_id": "P1",
                "variable": "spo2",
                "value": 90,
                "unit": "%",
                "observed_at": (NOW - timedelta(minutes=30)).isoformat(),
            }
        ],
    )
    body = stage.get("/api/v1/worklist").json()
    assert body["total"] == 3
    assert [row["patient"]["patient_id"] for row in body["rows"]] == ["P1", "P2", "P0"]
    first = body["rows"][0]
    assert first["risk"]["band"] == "high"
    assert [point["probability"] for point in first["risk_course"]] == [0.01, 0.3]
    assert first["result"]["severity"]["extent"] == 4.0
    assert first["vitals"]["spo2"]["age_minutes"] == 30
    assert stage.get("/api/v1/worklist", band="medium").json()["total"] == 1
    assert stage.get("/api/v1/worklist", ward="other").json()["rows"] == []
    assert len(stage.get("/api/v1/worklist", limit=1, offset=2).json()["rows"]) == 1
    assert stage.get("/api/v1/worklist", sort="colour").status_code == 422


def test_patients_that_are_not_admitted_are_not_on_it(stage: Stage) -> None:
    add_study(stage)
    assert stage.get("/api/v1/worklist").json()["total"] == 0


def test_outpatients_have_their_own_risk_with_interval_model_and_the_ages_of_its_inputs(
    stage: Stage,
) -> None:
    table = shipped("outpatient")
    for n, extent in enumerate((0.5, 7.0)):
        add_study(stage, f"P{n}", f"1.{n}", severity=severity(extent))
        born = {"birth_date": "1956-01-15", "sex": "F"}
        stage.send("PUT", f"/api/v1/patients/P{n}", born)
        outpatient.keep(f"P{n}", stage.index, NOW, table)
    rows = stage.get("/api/v1/worklist", who="outpatients", sort="risk").json()["rows"]
    assert [row["patient"]["patient_id"] for row in rows] == ["P1", "P0"]
    said = rows[0]["outpatient_risk"]
    assert 0 < said["low"] < said["probability"] < said["high"] < 1
    assert said["model"] == table.label
    assert "not a medical device" in said["notice"].lower()
    film = next(one for one in said["contributions"] if one["variable"] == "pneumonia")
    assert (film["value"], film["age_minutes"]) == ("yes", 300.0)
    assert "pneumonia" not in said["missing"]
    alone = stage.get("/api/v1/patients/P1/risk").json()
    assert alone == {"risks": [], "outpatient": said}
    stage.send("PUT", "/api/v1/patients/P1", {"admitted_at": NOW.isoformat()})
    assert stage.get("/api/v1/patients/P1/risk").json()["outpatient"] is None
