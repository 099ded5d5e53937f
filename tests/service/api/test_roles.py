"""Who may do what, and that every look at a patient is written down."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from service.records import Delivery, Role

from .conftest import NOW, Stage, png

CLINICIAN, RADIOLOGIST, RESEARCHER, ADMIN = (
    Role.CLINICIAN,
    Role.RADIOLOGIST,
    Role.RESEARCHER,
    Role.ADMIN,
)
READERS = {CLINICIAN, RADIOLOGIST, ADMIN}
WRITERS = {CLINICIAN, ADMIN}
EVERYBODY = set(Role)
PUBLIC = {
    ("POST", "/api/v1/token"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/fhir/metadata"),
    ("GET", "/api/docs"),
    ("GET", "/api/docs/start.js"),
    ("GET", "/api/docs/page.css"),
    ("GET", "/api/docs/{name}"),
}
OBSERVATION = {
    "patient_id": "P1",
    "variable": "spo2",
    "value": 91,
    "unit": "%",
    "observed_at": NOW.isoformat(),
}
FHIR = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "59408-5"}]},
    "subject": {"reference": "Patient/P1"},
    "effectiveDateTime": NOW.isoformat(),
    "valueQuantity": {"value": 91, "unit": "%"},
}

# method, path, who may, what is sent, and the patient of the audit row ("" for lists).
MATRIX: list[tuple[str, str, set[Role], dict[str, Any], str | None]] = [
    ("GET", "/api/v1/me", EVERYBODY, {}, None),
    ("GET", "/api/v1/variables", EVERYBODY, {}, None),
    ("POST", "/api/v1/severity", EVERYBODY, {"files": {"film": png(size=256)}}, None),
    ("POST", "/api/v1/structures", EVERYBODY, {"files": {"film": png(size=256)}}, None),
    (
        "POST",
        "/api/v1/align",
        EVERYBODY,
        {"files": {"prior": png(size=256), "current": png(size=256)}},
        None,
    ),
    ("POST", "/api/v1/risk/ventilation", EVERYBODY, {"json": [{"spo2": 90}]}, None),
    ("POST", "/api/v1/risk/outpatient", EVERYBODY, {"json": [{"sex": "male"}]}, None),
    ("GET", "/api/v1/patients", READERS, {}, ""),
    ("GET", "/api/v1/patients/P1", READERS, {}, "P1"),
    ("PUT", "/api/v1/patients/P1", WRITERS, {"json": {"ward": "3"}}, "P1"),
    ("GET", "/api/v1/patients/P1/risk", READERS, {}, "P1"),
    ("GET", "/api/v1/studies", READERS, {}, ""),
    ("GET", "/api/v1/studies?patient_id=P1", READERS, {}, "P1"),
    ("GET", "/api/v1/studies/1.2.3", READERS, {}, "P1"),
    ("GET", "/api/v1/studies/1.2.3/artifacts/film", READERS, {}, "P1"),
    ("GET", "/api/v1/results?patient_id=P1", READERS, {}, "P1"),
    ("GET", "/api/v1/results?study_uid=1.2.3", READERS, {}, "P1"),
    ("GET", "/api/v1/results/r-1.2.3", READERS, {}, "P1"),
    ("GET", "/api/v1/reviews?patient_id=P1", READERS, {}, "P1"),
    ("GET", "/api/v1/reviews/cases", {RADIOLOGIST, ADMIN}, {}, ""),
    ("GET", "/api/v1/reviews/agreement", EVERYBODY, {}, None),
    (
        "POST",
        "/api/v1/studies/1.2.3/reviews",
        {RADIOLOGIST, ADMIN},
        {"json": {"scores": {"extent": {"verdict": "accepted"}}}},
        "P1",
    ),
    ("GET", "/api/v1/observations?patient_id=P1", READERS, {}, "P1"),
    ("POST", "/api/v1/observations", WRITERS, {"json": [OBSERVATION]}, "P1"),
    ("GET", "/api/v1/worklist", READERS, {}, ""),
    ("GET", "/api/v1/audits", {ADMIN}, {}, ""),
    ("GET", "/api/v1/operations", {ADMIN}, {}, ""),
    (
        "POST",
        "/api/v1/operations/dismissals",
        {ADMIN},
        {"json": {"kind": "delivery", "name": "lost", "reason": "a test"}},
        "P1",
    ),
    (
        "POST",
        "/api/v1/operations/retries",
        {ADMIN},
        {"json": {"kind": "delivery", "name": "lost"}},
        "P1",
    ),
    ("GET", "/api/v1/users", {ADMIN}, {}, ""),
    (
        "POST",
        "/api/v1/users",
        {ADMIN},
        {"json": {"username": "new", "role": "clinician", "password": "long enough"}},
        "",
    ),
    ("PATCH", "/api/v1/users/clinician", {ADMIN}, {"json": {"role": "clinician"}}, ""),
    ("GET", "/fhir/Patient/P1", READERS, {}, "P1"),
    ("GET", "/fhir/Observation?patient=P1", READERS, {}, "P1"),
    ("GET", "/fhir/Observation/severity-r-1.2.3", READERS, {}, "P1"),
    ("GET", "/fhir/RiskAssessment?patient=P1", READERS, {}, "P1"),
    ("GET", "/fhir/DiagnosticReport?patient=P1", READERS, {}, "P1"),
    ("GET", "/fhir/DiagnosticReport/r-1.2.3", READERS, {}, "P1"),
    ("POST", "/fhir/Observation", WRITERS, {"json": FHIR}, "P1"),
    (
        "POST",
        "/fhir/Bundle",
        WRITERS,
        {
            "json": {
                "resourceType": "Bundle",
                "type": "batch",
                "entry": [{"request": {"method": "POST", "url": "Observation"}, "resource": FHIR}],
            }
        },
        "P1",
    ),
]

ACTS = {
    ("POST", "/api/v1/operations/retries"): "retry",
    ("POST", "/api/v1/operations/dismissals"): "dismiss",
    ("POST", "/api/v1/users"): "user-add",
    ("PATCH", "/api/v1/users/clinician"): "user-role",
}


@pytest.fixture(scope="module")
def scene(scene: Stage) -> Stage:
    """A scene with a report that its destination did not take."""
    lost = Delivery("lost", "r-1.2.3", "PACS@h:104", "2.25.1", "failed", 100, NOW, "no answer")
    scene.index.add_delivery(lost)
    return scene


@pytest.mark.parametrize(
    ("method", "path", "may", "sent", "patient"), MATRIX, ids=[f"{m} {p}" for m, p, *_ in MATRIX]
)
def test_roles_and_audit(
    scene: Stage,
    method: str,
    path: str,
    may: set[Role],
    sent: dict[str, Any],
    patient: str | None,
) -> None:
    assert scene.client.request(method, path, **sent).status_code == 401
    for role in Role:
        before = len(scene.audits())
        answer = scene.client.request(method, path, headers=scene.headers(role), **sent)
        written = scene.audits()[before:]
        if role not in may:
            assert answer.status_code == 403
            assert [(e.actor, e.action, e.outcome) for e in written] == [
                (str(role), "denied", "failure")
            ]
            continue
        assert answer.status_code in (200, 201), answer.text
        if patient is None:
            assert not written
            continue
        *listed, last = written  # a list: a row for each patient on it, and one for the whole
        assert (last.patient_id or "") == patient
        assert not listed or patient == ""
        assert all(one.patient_id and one.detail.endswith("of a list") for one in listed)
        assert {one.actor for one in written} == {str(role)}
        act = ACTS.get((method, path), "read" if method == "GET" else "write")
        assert {one.action for one in written} == {act}
        assert {one.address for one in written} == {"testclient"}


def test_who_saw_a_patient_on_a_list_can_be_found(scene: Stage) -> None:
    scene.client.get("/api/v1/patients", headers=scene.headers(Role.CLINICIAN))
    found = [one for one in scene.audits() if one.patient_id]
    assert found
    assert found[-1].detail == "patients, as one of a list"


def leaves(stage: Stage) -> list[tuple[str, str]]:
    return [
        (method, route.path)
        for context in iter_route_contexts(stage.app.routes)
        if isinstance(route := context.original_route, APIRoute)
        for method in sorted(route.methods)
    ]


def test_every_route_is_public_on_purpose_or_asks_for_a_login(stage: Stage) -> None:
    found = leaves(stage)
    assert len(found) > 30
    for method, path in found:
        plain = re.sub(r"[{}]|:path", "", path)
        answer = stage.client.request(method, plain)
        if (method, path) in PUBLIC:
            assert answer.status_code != 401, path
        else:
            assert answer.status_code == 401, path


def test_the_address_and_no_value_are_in_the_audit(stage: Stage) -> None:
    stage.send("POST", "/api/v1/observations", [OBSERVATION])
    text = repr(stage.audits())
    assert "testclient" in text
    assert "91" not in text
