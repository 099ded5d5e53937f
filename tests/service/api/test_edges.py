"""Around every request: bounds, headers, errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from service import errors
from service.api import routes
from service.api.limits import JSON_MB, MB
from service.api.problems import code_of
from service.settings import Settings

from .conftest import Stage


@pytest.mark.parametrize(
    ("path", "kind", "size"),
    [
        ("/api/v1/observations", "application/json", JSON_MB * MB + 1),
        ("/api/v1/token", "application/x-www-form-urlencoded", JSON_MB * MB + 1),
        ("/api/v1/severity", "multipart/form-data; boundary=x", 32 * MB + 1),
    ],
)
@pytest.mark.parametrize("announced", [True, False])
def test_a_body_beyond_its_bound_is_413(
    scene: Stage, path: str, kind: str, size: int, announced: bool
) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'--x\r\ncontent-disposition: form-data; name="film"; filename="f"\r\n\r\n'
        for _ in range(size // MB + 1):
            yield b" " * MB

    content: Any = b" " * size if announced else chunks()
    headers = {**scene.headers(), "content-type": kind}
    answer = scene.client.post(path, content=content, headers=headers)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert "CARINA_MAX_REQUEST_MB" in answer.json()["message"]


@pytest.mark.parametrize(
    "path", ["/api/v1/patients", "/healthz", "/nowhere", "/api/docs", "/fhir/metadata"]
)
def test_every_answer_carries_the_security_headers(scene: Stage, path: str) -> None:
    headers = scene.client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


def test_files_of_the_program_may_be_cached(scene: Stage) -> None:
    assert "max-age" in scene.client.get("/api/docs/swagger-ui.css").headers["cache-control"]


def answer_of(broken: APIRouter) -> Any:
    """What a small application with our edges answers for a broken route."""
    app = FastAPI()
    app.include_router(broken)
    routes.install(app, Settings())
    return TestClient(app, raise_server_exceptions=False).get("/broken")


def test_an_unforeseen_error_says_nothing_of_its_cause_to_anybody(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    broken = APIRouter()

    @broken.get("/broken")
    def fail() -> None:
        raise RuntimeError("P1 JANE DOE")

    answer = answer_of(broken)
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert answer.headers["x-content-type-options"] == "nosniff"
    printed = "".join(capfd.readouterr())
    assert "RuntimeError" in printed + caplog.text
    assert "JANE" not in answer.text + printed + caplog.text


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.NotFoundError, 404),
        (errors.ConflictError, 409),
        (errors.OutOfResourcesError, 503),
        (errors.UsageError, 422),
        (errors.DeliveryError, 502),
    ],
)
def test_an_error_becomes_a_problem_with_its_word(
    kind: type[errors.CarinaError], status: int
) -> None:
    broken = APIRouter()

    @broken.get("/broken")
    def fail() -> None:
        raise kind("expected this, found that; do so")

    answer = answer_of(broken)
    assert answer.status_code == answer.json()["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["message"] == "expected this, found that; do so"
    assert answer.json()["code"] == code_of(kind(""))


def test_words_for_programs_are_stable() -> None:
    assert code_of(errors.NotFoundError("")) == "not_found"
    assert code_of(errors.OutOfResourcesError("")) == "out_of_resources"
    assert code_of(errors.TooOftenError("")) == "too_often"


def test_a_lone_surrogate_is_told_and_not_repeated(scene: Stage) -> None:
    headers = {**scene.headers(), "content-type": "application/json"}
    answer = scene.client.put(
        "/api/v1/patients/P9", content=b'{"\\ud800": 1, "name": "\\ud800"}', headers=headers
    )
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "content", [b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5000, b"", b"null", b"\x00"]
)
def test_a_body_that_is_no_json_is_a_problem_not_a_crash(scene: Stage, content: bytes) -> None:
    headers = {**scene.headers(), "content-type": "application/json"}
    for method, path in (("POST", "/api/v1/observations"), ("POST", "/fhir/Observation")):
        answer = scene.client.request(method, path, content=content, headers=headers)
        assert answer.status_code in (400, 422)
