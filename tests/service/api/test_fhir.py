"""FHIR R4: observations in by LOINC and UCUM; risk, severity and reports out, valid R4B."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.operationoutcome import OperationOutcome
from fhir.resources.R4B.patient import Patient as R4Patient
from hypothesis import given
from hypothesis import strategies as st

from service.api.fhir.codes import BY_LOINC, fhir_id, identifier_of
from service.api.fhir.intake import take
from service.api.observations import VARIABLES
from service.records import RESEARCH_USE, Role

from .conftest import NOW, Stage, add_risk, add_study, event

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"


def coded(*codes: str) -> dict[str, Any]:
    return {"coding": [{"system": LOINC, "code": code} for code in codes]}


def quantity(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def observation(code: str = "59408-5", value: float = 91, unit: str = "%", **other: Any) -> Any:
    resource = {
        "resourceType": "Observation",
        "status": "final",
        "code": coded(code),
        "subject": {"reference": "Patient/P1"},
        "effectiveDateTime": "2026-11-23T10:00:00+01:00",
        "valueQuantity": quantity(value, unit),
        **other,
    }
    return {name: one for name, one in resource.items() if one is not None}


PRESSURE = observation(
    "85354-9",
    valueQuantity=None,
    component=[
        {"code": coded("8480-6"), "valueQuantity": quantity(120, "mm[Hg]")},
        {"code": coded("8462-4"), "valueQuantity": quantity(70, "mm[Hg]")},
    ],
)
OXIMETRY = observation(
    code="x",
    component=[
        {"code": coded("3151-8"), "valueQuantity": quantity(6, "L/min")},
        {"code": coded("3150-6"), "valueQuantity": quantity(40, "%")},
    ],
) | {"code": coded("59408-5", "2708-6")}


def values(resource: Any) -> dict[str, float]:
    return {one.variable: one.value for one in take(resource, NOW, "s").observations}


@pytest.mark.parametrize(
    ("resource", "kept"),
    [
        (observation(), {"spo2": 91}),
        (observation("2708-6", 0.91, "1"), {"spo2": 91}),
        (OXIMETRY, {"spo2": 91, "oxygen_flow": 6, "fio2": 0.4}),
        (observation("3150-6", 40, "%"), {"fio2": 0.4}),
        (observation("3150-6", 0.4, "1"), {"fio2": 0.4}),
        (observation("8310-5", 98.6, "[degF]"), {"temperature": 37}),
        (observation("8310-5", 37, "Cel"), {"temperature": 37}),
        (PRESSURE, {"systolic_bp": 120, "diastolic_bp": 70}),
        (observation("9269-2", valueQuantity=None, valueInteger=14), {"gcs": 14}),
        (observation("22664-7", 7, "mmol/L"), {"urea": 7}),
        (observation("3094-0", 20, "mg/dL"), {"urea": 7.14}),
        (observation("14682-9", 88.42, "umol/L"), {"creatinine": 1}),
        (observation(valueQuantity={"value": 91, "unit": "%"}), {"spo2": 91}),
        (observation(status="amended"), {"spo2": 91}),
        (
            observation(effectiveDateTime=None, effectivePeriod={"end": "2026-11-23T09:00:00Z"}),
            {"spo2": 91},
        ),
    ],
)
def test_a_value_arrives_in_our_unit_however_it_is_coded(
    resource: Any, kept: dict[str, float]
) -> None:
    assert not take(resource, NOW, "s").issues
    assert values(resource) == pytest.approx(kept)


@pytest.mark.parametrize(
    ("resource", "code", "words"),
    [
        (observation("1234-5"), "code-invalid", "1234-5"),
        (observation(code="x") | {"code": {"text": "SpO2"}}, "code-invalid", "found none"),
        (observation("x") | {"code": coded("59408-5", "8867-4")}, "code-invalid", "one variable"),
        (observation(value=300), "value", "40 to 100"),
        (observation("8310-5", 37, "furlong"), "value", "furlong"),
        (observation("22664-7", 40, "mg/dL"), "value", "22664-7"),
        (observation("3150-6", 0.4, "%"), "value", "fio2"),
        (observation(valueQuantity={"value": 91}), "required", "unit"),
        (observation(valueQuantity={**quantity(91, "%"), "comparator": "<"}), "value", "exact"),
        (observation(valueQuantity=None), "required", "valueQuantity"),
        (
            observation(valueQuantity=None, dataAbsentReason={"text": "lost"}),
            "required",
            "dataAbsentReason",
        ),
        (observation(status="entered-in-error"), "business-rule", "entered-in-error"),
        (observation(subject=None), "required", "subject"),
        (observation(subject={"reference": "Group/1"}), "required", "subject"),
        (observation(effectiveDateTime="2026-11-23"), "required", "zone"),
        (observation(effectiveDateTime=None), "required", "effective"),
        (observation(effectiveDateTime="2026-11-23T23:00:00Z"), "value", "clock"),
        (observation(status=None), "structure", "status"),
        (observation(colour="blue"), "structure", ""),
        ({"resourceType": "Patient"}, "not-supported", "Observation"),
        (None, "not-supported", "Observation"),
        ([1], "not-supported", "Observation"),
    ],
)
def test_what_is_not_stored_says_why(resource: Any, code: str, words: str) -> None:
    taken = take(resource, NOW, "s")
    assert not taken.observations
    (issue,) = taken.issues
    assert issue.code == code
    assert words in f"{issue.message} {issue.where}"


def test_known_components_are_kept_beside_unknown_ones(stage: Stage) -> None:
    mixed = copy.deepcopy(PRESSURE)
    mixed["component"].append({"code": coded("0000-0"), "valueQuantity": quantity(1, "1")})
    answer = stage.send("POST", "/fhir/Observation", mixed)
    assert answer.status_code == 201
    outcome = answer.json()
    OperationOutcome.model_validate(outcome)
    errors = [one for one in outcome["issue"] if one["severity"] == "error"]
    assert len(errors) == 1
    assert "0000-0" in errors[0]["diagnostics"]
    assert errors[0]["expression"] == ["Observation.component[2].code"]
    assert len(outcome["issue"]) == 3


def test_an_observation_is_stored_read_back_and_makes_the_risk_due(stage: Stage) -> None:
    answer = stage.send("POST", "/fhir/Observation", observation())
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/fhir+json"
    assert stage.observed == ["P1"]
    path = answer.headers["location"].removeprefix("http://testserver")
    read = stage.get(path).json()
    assert read["valueQuantity"] == {"value": 91.0, "unit": "%", "system": UCUM, "code": "%"}
    assert [one["code"] for one in read["code"]["coding"]] == ["59408-5", "2708-6"]
    (kept,) = stage.get("/api/v1/observations", patient_id="P1").json()["observations"]
    assert (kept["source"], kept["observed_at"]) == ("fhir:clinician", "2026-11-23T09:00:00Z")
    again = stage.send("POST", "/fhir/Observation", read)
    assert again.status_code == 201
    assert stage.observed == ["P1"]  # what we gave out and get back is nothing new


def bundle(kind: str, *resources: Any) -> Any:
    entries = [
        {"request": {"method": "POST", "url": "Observation"}, "resource": one} for one in resources
    ]
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


def test_a_batch_stores_what_it_can_and_answers_each_entry(stage: Stage) -> None:
    sent = bundle("batch", observation(), observation("1234-5"), PRESSURE)
    sent["entry"].append({"request": {"method": "DELETE", "url": "Patient/P1"}})
    answer = stage.send("POST", "/fhir/Bundle", sent)
    assert answer.status_code == 200
    Bundle.model_validate(answer.json())
    statuses = [one["response"]["status"][:3] for one in answer.json()["entry"]]
    assert statuses == ["201", "422", "201", "422"]
    assert "1234-5" in str(answer.json()["entry"][1])
    assert len(stage.get("/api/v1/observations", patient_id="P1").json()["observations"]) == 3


def test_a_transaction_is_all_or_nothing(stage: Stage) -> None:
    bad = stage.send("POST", "/fhir", bundle("transaction", observation(), observation(value=300)))
    assert bad.status_code == 422
    OperationOutcome.model_validate(bad.json())
    assert bad.json()["issue"][0]["expression"] == ["Bundle.entry[1].resource/Observation"]
    assert stage.get("/api/v1/observations", patient_id="P1").status_code == 404
    good = stage.send("POST", "/fhir", bundle("transaction", observation(), PRESSURE))
    assert good.json()["type"] == "transaction-response"
    assert len(stage.get("/api/v1/observations", patient_id="P1").json()["observations"]) == 3


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"resourceType": "Bundle"},
        {"resourceType": "Bundle", "type": "message"},
        {"resourceType": "Bundle", "type": "batch", "entry": {}},
    ],
)
def test_a_bundle_that_is_none_is_an_operation_outcome(scene: Stage, sent: Any) -> None:
    answer = scene.send("POST", "/fhir/Bundle", sent)
    assert answer.status_code == 422
    OperationOutcome.model_validate(answer.json())


def resources(answer: Any) -> list[Any]:
    body = answer.json()
    Bundle.model_validate(body)  # every entry is validated as what it says it is
    return [entry["resource"] for entry in body["entry"]]


def test_the_risk_of_an_hour_is_one_resource_with_reasons_and_interval(stage: Stage) -> None:
    add_study(stage)
    stage.send("POST", "/fhir/Observation", observation("59408-5", 88, "%"))
    hour = NOW.replace(minute=10)
    first = add_risk(stage, at=hour)
    reading = replace(first.inputs[0], observed_at=NOW - timedelta(minutes=30))
    add_risk(stage, at=NOW, inputs=(reading, *first.inputs[1:]))
    add_risk(stage, at=hour - timedelta(hours=1), probability=0.02, low=0.01, high=0.04)
    newest, older = resources(stage.get("/fhir/RiskAssessment", patient="Patient/P1"))
    assert (newest["status"], older["status"]) == ("amended", "final")
    assert newest["identifier"][0]["value"] == "P1|ventilation-12h|2026-11-23T09Z"
    (prediction,) = newest["prediction"]
    assert prediction["probabilityDecimal"] == 0.12
    assert prediction["whenPeriod"] == {
        "start": "2026-11-23T09:30:00+00:00",
        "end": "2026-11-23T21:30:00+00:00",
    }
    assert "12.0 % (90 % interval 6.0 to 22.0 %)" in prediction["rationale"]
    assert "SpO2 88 % (+0.90 log-odds)" in prediction["rationale"]
    assert prediction["extension"][0]["valueRange"]["high"]["value"] == 0.22
    assert prediction["qualitativeRisk"]["coding"][0]["code"] == "high"
    assert "ventilation-1+d" in newest["method"]["text"]
    notes = [one["text"] for one in newest["note"]]
    assert RESEARCH_USE in notes
    assert "Too old to be used: temperature" in notes
    reference = newest["basis"][0]["reference"]
    assert stage.get(f"/fhir/{reference}").json()["valueQuantity"]["value"] == 88


def test_a_refused_risk_has_no_probability(stage: Stage) -> None:
    add_study(stage)
    add_risk(
        stage, status="refused", reason="ventilated", probability=None, low=None, high=None,
        baseline_log_odds=None, inputs=(),
    )  # fmt: skip
    (found,) = resources(stage.get("/fhir/RiskAssessment", patient="P1"))
    assert found["status"] == "cancelled"
    assert "prediction" not in found
    assert found["note"][0]["text"] == "Refused: ventilated"


def test_severity_is_an_observation_with_its_interval(stage: Stage) -> None:
    first = add_study(stage)
    stage.index.add_result(replace(first, result_id="r2", revision=2), event("P1"))
    (found,) = resources(stage.get("/fhir/Observation", patient="P1"))
    assert found["status"] == "amended"
    assert found["valueQuantity"]["value"] == 4.0
    interval = found["extension"][0]["valueRange"]
    assert (interval["low"]["value"], interval["high"]["value"]) == (3.2, 4.9)
    assert "severity-1+a" in found["method"]["text"]
    assert found["derivedFrom"][0]["identifier"]["value"] == "urn:oid:1.2.3"
    assert len(found["component"]) == 10
    (report,) = resources(stage.get("/fhir/DiagnosticReport", patient="P1"))
    assert report["result"][0]["reference"] == f"Observation/{found['id']}"
    assert "Extent of opacity 4.0 of 8 (90 % interval 3.2 to 4.9)" in report["conclusion"]
    assert "+1.5" in report["conclusion"]
    assert RESEARCH_USE in report["conclusion"]
    assert stage.get(f"/fhir/DiagnosticReport/{report['id']}").json() == report


def test_a_refused_film_has_a_reason_in_place_of_a_value(stage: Stage) -> None:
    add_study(
        stage, status="refused", reason="not_chest", message="found a hip",
        severity=None, structures=None, change=None,
    )  # fmt: skip
    (found,) = resources(stage.get("/fhir/Observation", patient="P1"))
    assert "valueQuantity" not in found
    assert found["dataAbsentReason"]["text"] == "not_chest: found a hip"
    (report,) = resources(stage.get("/fhir/DiagnosticReport", patient="P1"))
    assert "Not scored (not_chest)" in report["conclusion"]


def test_values_that_were_sent_are_found_by_category(stage: Stage) -> None:
    stage.send(
        "POST", "/fhir/Bundle", bundle("batch", OXIMETRY, observation("2524-7", 3, "mmol/L"))
    )
    vital = resources(stage.get("/fhir/Observation", patient="P1", category="vital-signs"))
    assert len(vital) == 3
    laboratory = resources(stage.get("/fhir/Observation", patient="P1", category="laboratory"))
    assert [one["code"]["coding"][0]["code"] for one in laboratory] == ["2524-7"]


def test_a_search_is_paged_with_links(stage: Stage) -> None:
    for n in range(3):
        add_study(stage, study_uid=f"1.{n}", at=NOW - timedelta(days=n))
    first = stage.get("/fhir/DiagnosticReport", patient="P1", _count=2).json()
    assert first["total"] == 3
    links = {one["relation"]: one["url"] for one in first["link"]}
    second = stage.client.get(links["next"], headers=stage.headers()).json()
    ids = [entry["resource"]["id"] for body in (first, second) for entry in body["entry"]]
    assert ids == ["r-1.0", "r-1.1", "r-1.2"]
    assert "next" not in {one["relation"] for one in second["link"]}


def test_a_patient_is_read_by_an_escaped_identifier(stage: Stage) -> None:
    stage.send("PUT", "/api/v1/patients/A%2FB 1", {"name": "DOE^JANE^MARY", "sex": "F"})
    found = stage.get(f"/fhir/Patient/{fhir_id('A/B 1')}").json()
    R4Patient.model_validate(found)
    assert found["identifier"][0]["value"] == "A/B 1"
    assert found["name"][0] == {"text": "DOE JANE MARY", "family": "DOE", "given": ["JANE", "MARY"]}
    assert found["gender"] == "female"


def test_errors_are_operation_outcomes(scene: Stage) -> None:
    answers = [
        scene.get("/fhir/Patient/NO"),
        scene.get("/fhir/Observation"),
        scene.get("/fhir/Nothing"),
        scene.client.get("/fhir/Patient/P1"),
        scene.get("/fhir/Patient/P1", role=Role.RESEARCHER),
        scene.send("POST", "/fhir/Observation", []),
    ]
    assert [one.status_code for one in answers] == [404, 422, 404, 401, 403, 422]
    for answer in answers:
        OperationOutcome.model_validate(answer.json())
        assert answer.headers["content-type"] == "application/fhir+json"


def test_the_capability_statement_is_valid_and_true(scene: Stage) -> None:
    body = scene.client.get("/fhir/metadata").json()
    CapabilityStatement.model_validate(body)
    paths = scene.app.openapi()["paths"]
    for one in body["rest"][0]["resource"]:
        kinds = {interaction["code"] for interaction in one["interaction"]}
        path = f"/fhir/{one['type']}"
        assert ("create" in kinds) == ("post" in paths.get(path, {}))
        assert ("search-type" in kinds) == ("get" in paths.get(path, {}))
        assert ("read" in kinds) == any(p.startswith(f"{path}/{{") for p in paths)


def test_every_variable_has_a_code_and_every_code_a_variable() -> None:
    assert set(BY_LOINC.values()) == set(VARIABLES)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20))
def test_any_identifier_survives_as_a_fhir_id(identifier: str) -> None:
    assert identifier_of(fhir_id(identifier)) == identifier
    assert all(c.isascii() and (c.isalnum() or c in ".-") for c in fhir_id(identifier))


def _places(resource: Any) -> Iterator[tuple[Any, Any]]:
    pairs = resource.items() if isinstance(resource, dict) else enumerate(resource)
    for key, one in list(pairs):
        yield resource, key
        if isinstance(one, dict | list):
            yield from _places(one)


JUNK = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just([])


@given(base=st.sampled_from([PRESSURE, OXIMETRY, observation()]), data=st.data())
def test_a_damaged_observation_is_told_and_never_breaks_the_intake(
    base: Any, data: st.DataObject
) -> None:
    damaged = copy.deepcopy(base)
    holder, key = data.draw(st.sampled_from(list(_places(damaged))))
    holder[key] = data.draw(JUNK | st.dictionaries(st.text(max_size=5), JUNK, max_size=2))
    taken = take(damaged, NOW, "s")
    assert taken.observations or taken.issues
