"""Alive, ready, counted."""

from __future__ import annotations

from typing import Any

import pytest

from service import metrics
from service.errors import OutOfResourcesError

from .conftest import Stage, add_study


def test_a_working_service_is_alive_and_ready(scene: Stage) -> None:
    assert scene.client.get("/healthz").json() == {"status": "ok"}
    answer = scene.client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")


@pytest.mark.parametrize(("part", "method"), [("index", "ping"), ("objects", "free_mb")])
def test_what_is_away_makes_it_unready_but_not_dead(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, part: str, method: str
) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise OutOfResourcesError("expected an answer, found none; start it")

    monkeypatch.setattr(getattr(stage, part), method, away)
    answer = stage.client.get("/readyz")
    assert answer.status_code == 503
    assert "start it" in answer.json()[part]
    assert stage.client.get("/healthz").status_code == 200
    assert stage.client.get("/metrics").status_code == 200


def test_a_full_disk_is_not_ready(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.objects, "free_mb", lambda: -1)
    assert "free the disk" in stage.client.get("/readyz").json()["objects"]


def test_metrics_show_what_is_kept_and_no_identifier(stage: Stage) -> None:
    add_study(stage, "SECRET-1")
    stage.get("/api/v1/patients/SECRET-1")
    stage.client.get("/nowhere/SECRET-1")
    text = stage.client.get("/metrics").text
    assert 'carina_kept{kind="studies"} 1.0' in text
    route = "/api/v1/patients/{patient_id:path}"
    assert f'carina_http_requests_total{{method="GET",route="{route}",status="200"}}' in text
    assert 'route="(no route)",status="404"' in text
    assert "SECRET" not in text
    for metric in metrics.METRICS:
        assert metric.describe()[0].name in text


def test_an_invented_method_makes_no_new_time_series(scene: Stage) -> None:
    scene.client.request("BREW", "/healthz")
    assert 'method="BREW"' not in scene.client.get("/metrics").text
