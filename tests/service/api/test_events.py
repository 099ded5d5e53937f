"""Server-sent events over a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from service.records import Patient, Role

from .conftest import Stage, event


@pytest.fixture
def live(stage: Stage) -> Iterator[str]:
    """The address of the API on a port of its own."""
    config = uvicorn.Config(
        stage.app, port=0, log_level="critical", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(20)


@contextmanager
def listening(base: str, headers: dict[str, str], **query: Any) -> Iterator[Iterator[str]]:
    with (
        httpx.Client(base_url=base, timeout=20) as client,
        client.stream("GET", "/api/v1/events", headers=headers, params=query) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield answer.iter_lines()


def events(lines: Iterator[str], count: int) -> list[dict[str, Any]]:
    """The next events with their data."""
    found: list[dict[str, Any]] = []
    kind = number = ""
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "id":
            number = value
        elif name == "data":
            found.append({"kind": kind, "id": number, **json.loads(value)})
            if len(found) == count:
                break
    return found


def joined(lines: Iterator[str]) -> None:
    """Wait until the stream hears everything."""
    assert next(lines) == "retry: 3000"
    assert next(lines).startswith("id: ")


def admit(stage: Stage, patient_id: str) -> None:
    stage.index.put_patient(Patient(patient_id), event(patient_id))


def test_what_happens_is_told_and_what_was_missed_is_told_later(stage: Stage, live: str) -> None:
    headers = stage.headers()
    with listening(live, headers) as lines:
        joined(lines)
        admit(stage, "P1")
        (first,) = events(lines, 1)
    assert (first["kind"], first["patient_id"], first["id"]) == ("patient", "P1", "1")
    admit(stage, "P2")
    admit(stage, "P3")
    with listening(live, {**headers, "last-event-id": first["id"]}) as lines:
        assert [one["patient_id"] for one in events(lines, 2)] == ["P2", "P3"]
    with listening(live, headers, after=2) as lines:
        assert [one["patient_id"] for one in events(lines, 1)] == ["P3"]
    reads = [e for e in stage.audits() if e.action == "read"]
    assert [(e.actor, e.detail) for e in reads] == [("clinician", "events: 1")] * 3


def test_a_patient_with_an_odd_identifier_cannot_break_the_stream(stage: Stage, live: str) -> None:
    with listening(live, stage.headers()) as lines:
        joined(lines)
        admit(stage, "a\ndata: b")
        (one,) = events(lines, 1)
    assert one["patient_id"] == "a\ndata: b"


def test_events_need_a_login_that_may_read_patients(scene: Stage) -> None:
    assert scene.client.get("/api/v1/events").status_code == 401
    assert scene.get("/api/v1/events", role=Role.RESEARCHER).status_code == 403
