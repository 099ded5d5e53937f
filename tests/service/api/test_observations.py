"""Values in, each judged by itself; units; amendments; and out again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from risk.features import BadValue
from service.api.observations import VARIABLES, Sent, checked
from service.errors import OutOfResourcesError

from .conftest import NOW, Stage


def value(
    variable: str = "spo2", number: Any = 91, unit: str = "%", **other: Any
) -> dict[str, Any]:
    return {
        "patient_id": "P1",
        "variable": variable,
        "value": number,
        "unit": unit,
        "observed_at": NOW.isoformat(),
        **other,
    }


def test_good_ones_are_stored_bad_ones_are_told_and_the_risk_is_due(stage: Stage) -> None:
    sent = [
        value(),
        value(number=300),
        value("shoe_size", 43, "cm"),
        value("heart_rate", 80, "/min", patient_id="P2"),
        value("temperature", 98.6, "[degF]"),
        value("temperature", 37, "furlong"),
        value(observed_at=(NOW + timedelta(hours=3)).isoformat()),
    ]
    body = stage.send("POST", "/api/v1/observations", sent).json()
    assert [one["index"] for one in body["stored"]] == [0, 3, 4]
    assert [one["index"] for one in body["rejected"]] == [1, 2, 5, 6]
    assert body["new"] == 3
    reasons = [one["reason"] for one in body["rejected"]]
    for reason, word in zip(reasons, ("40 to 100", "shoe_size", "furlong", "clock"), strict=True):
        assert word in reason
    assert sorted(stage.observed) == ["P1", "P2"]
    kept = stage.get("/api/v1/observations", patient_id="P1").json()["observations"]
    assert {(o["variable"], o["value"], o["unit"]) for o in kept} == {
        ("spo2", 91.0, "%"),
        ("temperature", 37.0, "Cel"),
    }
    assert {o["source"] for o in kept} == {"api:clinician"}
    assert [e.patient_id for e in stage.audits() if e.action == "write"] == ["P1", "P2"]


def test_values_that_could_not_be_stored_are_not_in_the_audit(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_columns: object) -> None:
        raise OutOfResourcesError("the disk is full")

    monkeypatch.setattr("service.store.risks._add_batch", full)
    sent = [value(patient_id="P1"), value(patient_id="P2")]
    assert stage.send("POST", "/api/v1/observations", sent).status_code == 503
    assert [e.patient_id for e in stage.audits() if e.action == "write"] == []


@pytest.mark.parametrize(
    ("number", "unit", "kept"), [(40, "%", 0.4), (0.4, "1", 0.4), (0.4, "fraction", 0.4)]
)
def test_inspired_oxygen_is_one_fraction_however_it_is_written(
    stage: Stage, number: float, unit: str, kept: float
) -> None:
    body = stage.send("POST", "/api/v1/observations", [value("fio2", number, unit)]).json()
    assert body["stored"][0]["observation"]["value"] == pytest.approx(kept)


def test_the_same_value_again_is_one_and_another_value_amends(stage: Stage) -> None:

    def send(number: float) -> Any:
        return stage.send("POST", "/api/v1/observations", [value(number=number)]).json()

    first, again, other = send(91), send(91), send(89)
    assert (first["new"], again["new"], other["new"]) == (1, 0, 1)
    assert first["stored"] == again["stored"]
    (kept,) = stage.get("/api/v1/observations", patient_id="P1").json()["observations"]
    assert kept["value"] == 89
    assert kept["observation_id"] == other["stored"][0]["observation"]["observation_id"]
    assert stage.observed == ["P1", "P1"]


@pytest.mark.parametrize(
    "change",
    [
        {"observed_at": "2026-11-23T09:00:00"},
        {"observed_at": "yesterday"},
        {"value": "high"},
        {"value": None},
        {"unit": ""},
        {"patient_id": ""},
        {"patient_id": "a\nb"},
        {"colour": "blue"},
    ],
)
def test_a_malformed_list_is_422_and_nothing_of_it_is_stored(
    stage: Stage, change: dict[str, Any]
) -> None:
    answer = stage.send("POST", "/api/v1/observations", [value(), {**value(), **change}])
    assert answer.status_code == 422
    assert "body.1" in answer.json()["faults"][0]["where"]
    assert stage.get("/api/v1/observations", patient_id="P1").status_code == 404


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e400", "-Infinity"])
def test_numbers_that_are_none_are_422(stage: Stage, text: str) -> None:
    content = f'[{{"patient_id":"P","variable":"spo2","value":{text},"unit":"%",' + (
        '"observed_at":"2026-11-23T09:00:00Z"}]'
    )
    headers = {**stage.headers(), "content-type": "application/json"}
    assert (
        stage.client.post("/api/v1/observations", content=content, headers=headers).status_code
        == 422
    )


def test_values_are_found_by_variable_and_time(stage: Stage) -> None:
    at = [NOW - timedelta(hours=n) for n in range(4)]
    sent = [value(observed_at=one.isoformat()) for one in at]
    stage.send("POST", "/api/v1/observations", [*sent, value("heart_rate", 70, "/min")])

    def find(**query: str) -> list[Any]:
        answer = stage.get("/api/v1/observations", patient_id="P1", **query)
        found: list[Any] = answer.json()["observations"]
        return found

    assert len(find()) == 5
    assert len(find(variable="spo2")) == 4
    assert len(find(since=at[2].isoformat(), until=at[1].isoformat())) == 2
    wrong = {"since": at[1].isoformat(), "until": at[2].isoformat()}
    assert stage.get("/api/v1/observations", patient_id="P1", **wrong).status_code == 422


def test_the_variables_are_listed_with_unit_range_and_code(scene: Stage) -> None:
    found = {v["name"]: v for v in scene.get("/api/v1/variables").json()["variables"]}
    assert set(found) == set(VARIABLES)
    assert (found["spo2"]["unit"], found["spo2"]["loinc"]) == ("%", "59408-5")


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    name=st.sampled_from(sorted(VARIABLES)),
    number=st.floats(allow_nan=True, allow_infinity=True),
    unit=st.sampled_from(["%", "1", "/min", "Cel", "[degF]", "mm[Hg]", "mmol/L", "mg/dL", "x"]),
)
def test_what_is_kept_is_in_range_and_keeping_it_again_changes_nothing(
    name: str, number: float, unit: str
) -> None:
    variable = VARIABLES[name]
    try:
        kept = checked(Sent("P", name, number, unit, NOW, "s"), NOW)
    except BadValue:
        return
    slack = 1e-6 * max(1.0, abs(variable.high))
    assert variable.low - slack <= kept.value <= variable.high + slack
    assert kept.unit == variable.unit
    again = checked(Sent("P", name, kept.value, kept.unit, NOW, "s"), NOW)
    assert again.value == kept.value
