"""An administrator deletes a study: with a reason, whole, audited."""

from __future__ import annotations

import pytest

from service.errors import NotFoundError
from service.records import Role

from .conftest import Stage, add_risk, add_study

SENT = {"study_uid": "1.2.3", "reason": "another patient's film"}


@pytest.fixture
def ward(stage: Stage) -> Stage:
    """P1 with a scored study and a risk."""
    add_study(stage)
    add_risk(stage)
    stage.observed.clear()
    return stage


def test_a_deleted_study_is_gone_with_its_bytes(ward: Stage) -> None:
    result = ward.index.current_result("1.2.3")
    assert result is not None
    keys = [one.object_key for one in ward.index.instances("1.2.3")]
    done = ward.send("POST", "/api/v1/deletions", SENT, Role.ADMIN)
    assert done.status_code == 200, done.text
    for path in ("/api/v1/studies/1.2.3", f"/api/v1/results/{result.result_id}"):
        assert ward.get(path).status_code == 404
    for key in (*keys, *result.artifacts.values()):
        with pytest.raises(NotFoundError):
            ward.objects.get(key)
    assert ward.observed == ["P1"]  # without its film the risk is another
    assert ward.send("POST", "/api/v1/deletions", SENT, Role.ADMIN).status_code == 404


def test_who_deleted_and_why_can_be_read(ward: Stage) -> None:
    ward.send("POST", "/api/v1/deletions", SENT, Role.ADMIN)
    (known,) = ward.get("/api/v1/deletions", Role.ADMIN).json()["deletions"]
    assert (known["study_uid"], known["patient_id"], known["actor"], known["reason"]) == (
        "1.2.3", "P1", "admin", "another patient's film",
    )  # fmt: skip
    written = [one for one in ward.audits() if one.action == "delete"]
    assert [(one.patient_id, one.study_uid, one.detail) for one in written] == [
        ("P1", "1.2.3", "another patient's film")
    ]


def test_only_an_administrator_with_a_reason_may_delete(ward: Stage) -> None:
    for role in (Role.CLINICIAN, Role.RADIOLOGIST, Role.RESEARCHER):
        assert ward.send("POST", "/api/v1/deletions", SENT, role).status_code == 403
    sent = {"study_uid": "1.2.3"}
    assert ward.send("POST", "/api/v1/deletions", sent, Role.ADMIN).status_code == 422
    assert ward.index.study("1.2.3").study_uid == "1.2.3"
