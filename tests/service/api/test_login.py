"""Tokens over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from service.auth import COOKIE
from service.records import Role

from .conftest import PASSWORD, Stage


@pytest.mark.parametrize("form", ["data", "json"])
def test_a_password_is_exchanged_for_a_token_that_works(stage: Stage, form: str) -> None:
    sent: dict[str, Any] = {form: {"username": "clinician", "password": PASSWORD}}
    answer = stage.client.post("/api/v1/token", **sent)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["token_type"], body["expires_in"], body["role"]) == ("bearer", 1800, "clinician")
    headers = {"authorization": f"Bearer {body['access_token']}"}
    assert stage.client.get("/api/v1/me", headers=headers).json()["username"] == "clinician"


def test_wrong_passwords_are_401_and_then_429(stage: Stage) -> None:
    statuses = [
        stage.client.post(
            "/api/v1/token", data={"username": "clinician", "password": "wrong password"}
        ).status_code
        for _ in range(6)
    ]
    assert statuses == [401] * 5 + [429]


@pytest.mark.parametrize(
    "sent",
    [
        {"data": {}},
        {"data": {"username": "clinician"}},
        {"json": []},
        {"json": {"username": 1, "password": "x"}},
        {"content": b"{", "headers": {"content-type": "application/json"}},
        {"files": {"username": ("u", b"clinician"), "password": ("p", b"x")}},
    ],
)
def test_credentials_that_are_none_are_422(stage: Stage, sent: dict[str, Any]) -> None:
    answer = stage.client.post("/api/v1/token", **sent)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_cookie_reads_and_writes_only_from_our_own_pages(stage: Stage) -> None:
    session = stage.services.auth.session(stage.index.user(str(Role.CLINICIAN)))
    cookie = {"cookie": f"{COOKIE}={session}"}
    assert stage.client.get("/api/v1/worklist", headers=cookie).status_code == 200
    path, body = "/api/v1/patients/P1", {"ward": "3"}
    assert stage.client.put(path, json=body, headers=cookie).status_code == 403
    elsewhere = {**cookie, "origin": "http://evil"}
    assert stage.client.put(path, json=body, headers=elsewhere).status_code == 403
    own = {**cookie, "origin": "http://testserver"}
    assert stage.client.put(path, json=body, headers=own).status_code == 200
