"""The installation as JSON, retries of what failed, and who may log in. For administrators."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.errors import OutOfResourcesError
from service.installation import Crew, Queue, Worker
from service.records import Delivery, Patient, Role

from .conftest import NOW, PASSWORD, Stage, add_study, event

RETRIES, USERS = "/api/v1/operations/retries", "/api/v1/users"


def broken(stage: Stage, study_uid: str = "1.2.9", patient_id: str = "P1") -> str:
    """A study whose result failed."""
    return add_study(
        stage, patient_id, study_uid, NOW - timedelta(hours=1), status="failed",
        reason="internal", severity=None, structures=None, change=None, artifacts={},
    ).study_uid  # fmt: skip


def ask(stage: Stage, **query: Any) -> Any:
    answer = stage.get("/api/v1/operations", Role.ADMIN, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_numbers_are_those_of_the_metrics(stage: Stage) -> None:
    add_study(stage)
    broken(stage)
    seen = ask(stage)
    text = stage.client.get("/metrics").text
    for line, name in (
        ('carina_kept{kind="studies"}', "studies"),
        ('carina_results{status="failed"}', "results_failed"),
        ("carina_queue_depth", "studies_pending"),
    ):
        assert f"{line} {float(seen['counts'][name])}" in text


def test_films_and_results_stand_in_their_hours(stage: Stage) -> None:
    add_study(stage, at=NOW - timedelta(hours=3))
    hours = ask(stage, hours=6)["hours"]
    assert len(hours) == 6
    assert datetime.fromisoformat(hours[-1]["start"]) == NOW.replace(minute=0)
    assert [one["films"] for one in hours] == [0, 0, 1, 0, 0, 0]
    assert stage.get("/api/v1/operations", Role.ADMIN, hours=10_000).status_code == 422


def test_queues_and_workers_are_told_or_why_they_are_not_known(stage: Stage) -> None:
    def away() -> Crew:
        raise OutOfResourcesError("expected the job queue to answer, found it away")

    crew = Crew((Queue("carina-studies", 2, 1, NOW),), (Worker("node-0", True, NOW),))
    object.__setattr__(stage.services, "crew", lambda: crew)
    seen = ask(stage)["crew"]
    assert seen["queues"][0]["waiting"] == 2
    assert seen["workers"][0]["name"] == "node-0"
    object.__setattr__(stage.services, "crew", away)
    seen = ask(stage)
    assert seen["crew"] is None
    assert "away" in seen["crew_away"]


def test_what_it_runs_on_is_told_without_secrets(stage: Stage) -> None:
    seen = ask(stage)
    assert seen["storage"]["index"] == seen["storage"]["objects"] == "ok"
    assert (seen["storage"]["database"], seen["storage"]["store"]) == ("SQLite", "files")
    assert seen["storage"]["free_mb"] > 0
    assert {one["name"] for one in seen["models"]} >= {"severity", "ventilation"}
    assert seen["users"] == {"clinician": 1, "radiologist": 1, "researcher": 1, "admin": 1}
    assert "argon2" not in repr(seen)


def test_a_failed_study_is_told_to_the_engine_again(stage: Stage) -> None:
    arrived: list[str] = []
    object.__setattr__(stage.services, "arrived", arrived.append)
    study = broken(stage)
    (failure,) = ask(stage)["failures"]
    sent = {"kind": failure["kind"], "name": failure["name"]}
    assert stage.send("POST", RETRIES, sent, Role.ADMIN).json() == {"waiting": 1}
    assert arrived == [study]
    assert stage.send("POST", RETRIES, sent, Role.ADMIN).json() == {"waiting": 0}
    (written,) = [one for one in stage.audits() if one.action == "retry"]
    assert (written.actor, written.study_uid, written.patient_id) == ("admin", study, "P1")


def test_all_that_a_destination_did_not_take_is_sent_again_even_if_the_queue_is_away(
    stage: Stage,
) -> None:
    def away() -> None:
        raise OutOfResourcesError("away")

    object.__setattr__(stage.services, "sending", away)
    result = add_study(stage)
    lost = Delivery("d1", result.result_id, "PACS@h:104", "2.25.1", "failed", 100, NOW, "no answer")
    stage.index.add_delivery(lost)
    stage.index.add_delivery(replace(lost, delivery_id="d2"))
    (destination,) = ask(stage)["destinations"]
    assert (destination["failed"], destination["configured"]) == (2, False)
    sent = {"kind": "destination", "name": "PACS@h:104"}
    assert stage.send("POST", RETRIES, sent, Role.ADMIN).json() == {"waiting": 2}
    assert len(stage.index.due_deliveries(NOW)) == 2


def test_what_did_not_fail_is_not_tried_again(stage: Stage) -> None:
    add_study(stage)
    for kind, name, status in (
        ("study", "1.2.3", 409), ("study", "9", 404), ("delivery", "9", 404),
        ("commitment", "9", 404), ("patient", "P1", 422),
    ):  # fmt: skip
        sent = {"kind": kind, "name": name}
        assert stage.send("POST", RETRIES, sent, Role.ADMIN).status_code == status, kind


def test_who_sees_a_failure_of_a_patient_is_in_the_audit(stage: Stage) -> None:
    broken(stage)
    stage.index.put_patient(Patient("P8"), event("P8"))
    stage.index.merge_patients("P8", "P1", "twice", event())
    ask(stage)
    seen = [one for one in stage.audits() if one.action == "read" and one.patient_id]
    assert [(one.patient_id, one.detail) for one in seen] == [
        ("P1", "operations, as one of a list")
    ]


def test_the_audit_is_asked_by_study_action_and_time(stage: Stage) -> None:
    study = broken(stage)
    stage.send("POST", RETRIES, {"kind": "study", "name": study}, Role.ADMIN)
    for query, count in (
        ({"study_uid": study, "action": "retry"}, 1),
        ({"action": "retry", "since": NOW.isoformat()}, 1),
        ({"action": "retry", "before": NOW.isoformat()}, 0),
        ({"action": "retry", "study_uid": "1"}, 0),
    ):
        assert len(stage.get("/api/v1/audits", Role.ADMIN, **query).json()["audits"]) == count


def test_a_user_is_added_changed_and_shut_out(stage: Stage) -> None:
    sent = {"username": "o/dd", "role": "clinician", "password": "long enough now"}
    made = stage.send("POST", USERS, sent, Role.ADMIN)
    assert made.status_code == 201
    assert "password" not in made.text
    assert stage.send("POST", USERS, sent, Role.ADMIN).status_code == 409
    login = {"username": "o/dd", "password": "long enough now"}
    token = stage.client.post("/api/v1/token", data=login).json()["access_token"]
    for change, key, value in (
        ({"role": "radiologist"}, "role", "radiologist"),
        ({"disabled": True}, "disabled", True),
        ({"disabled": False, "password": "another long one"}, "disabled", False),
    ):
        answer = stage.send("PATCH", f"{USERS}/o%2Fdd", change, Role.ADMIN)
        assert answer.json()[key] == value, answer.text
    headers = {"authorization": f"Bearer {token}"}
    assert stage.client.get("/api/v1/me", headers=headers).status_code == 401
    acts = [one.action for one in stage.audits() if one.action.startswith("user-")]
    assert acts == ["user-add", "user-role", "user-disable", "user-enable", "user-password"]
    assert "long" not in repr([one.detail for one in stage.audits()])


def test_nobody_locks_themselves_out(stage: Stage) -> None:
    for change in ({"disabled": True}, {"role": "clinician"}):
        assert stage.send("PATCH", f"{USERS}/admin", change, Role.ADMIN).status_code == 403
    own = {"password": f"{PASSWORD} again", "role": "admin"}
    assert stage.send("PATCH", f"{USERS}/admin", own, Role.ADMIN).status_code == 200
    assert stage.index.user("admin").role is Role.ADMIN


@pytest.mark.parametrize("change", [{}, {"password": "short"}, {"role": "king"}, {"name": "x"}])
def test_changes_that_are_none_are_refused(stage: Stage, change: dict[str, Any]) -> None:
    answer = stage.send("PATCH", f"{USERS}/clinician", change, Role.ADMIN)
    assert answer.status_code == 422
    assert '"short"' not in answer.text  # what was typed is not repeated


def test_all_of_it_is_for_administrators_alone(stage: Stage) -> None:
    for method, path, sent in (
        ("GET", "/api/v1/operations", None),
        ("POST", RETRIES, {"kind": "study", "name": "1.2.3"}),
        ("GET", USERS, None),
        ("POST", USERS, {"username": "x", "role": "admin", "password": PASSWORD}),
        ("PATCH", f"{USERS}/admin", {"disabled": True}),
    ):
        for role in (Role.CLINICIAN, Role.RADIOLOGIST, Role.RESEARCHER):
            assert stage.send(method, path, sent, role).status_code == 403, path
    assert stage.index.user("admin").disabled is False
