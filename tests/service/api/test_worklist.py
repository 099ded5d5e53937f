"""The worklist as JSON."""

from __future__ import annotations

from datetime import timedelta

from .conftest import NOW, Stage, add_risk, add_study


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
