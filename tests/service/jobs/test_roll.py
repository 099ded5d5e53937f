"""The queues and workers as an administrator sees them, and a retry that a worker takes up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from dbos import DBOSClient, WorkflowStatus

from models.radiograph import Radiograph
from service.context import Services
from service.dashboard.operations import QUEUES
from service.jobs import roll
from service.jobs.engine import Engine
from service.jobs.places import Place
from service.operations.retry import retry
from service.records import AuditEvent
from service.settings import Settings
from tests.service.jobs.science import SMALL, SMALL_RISK, Pacs, Ward, film, outbox
from tests.service.jobs.test_engine import until

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOON_MS = int(NOON.timestamp() * 1000)


def job(queue: str, state: str, executor_id: str = "", after_ms: int = 0) -> WorkflowStatus:
    one = WorkflowStatus()
    one.queue_name, one.status, one.executor_id, one.name = queue, state, executor_id, "carina_x"
    one.created_at = one.updated_at = one.dequeued_at = NOON_MS + after_ms
    return one


class Told:
    """Jobs as DBOS would list them."""

    def __init__(self, *jobs: WorkflowStatus) -> None:
        self.jobs = jobs

    def list_workflows(
        self, *, status: str | list[str], limit: int | None = None, **_: object
    ) -> list[WorkflowStatus]:
        states = [status] if isinstance(status, str) else status
        return [one for one in self.jobs if one.status in states][:limit]


def crew(*jobs: WorkflowStatus) -> roll.Crew:
    client = cast(DBOSClient, Told(*jobs))
    return roll.crew(client, [Place("a", NOON), Place("b", NOON)], ("q", "r"), ("ENQUEUED",))


def test_jobs_stand_with_their_queue_and_their_worker_even_one_that_is_gone() -> None:
    seen = crew(
        job("q", "ENQUEUED", after_ms=1000), job("q", "ENQUEUED", after_ms=5000),
        job("r", "PENDING", "a"), job("q", "PENDING", "dead"),
    )  # fmt: skip
    assert [(one.name, one.waiting, one.running) for one in seen.queues] == [
        ("q", 2, 1), ("r", 0, 1),
    ]  # fmt: skip
    assert [one.oldest for one in seen.queues] == [NOON.replace(second=1), None]
    assert [(one.name, one.living, len(one.work)) for one in seen.workers] == [
        ("a", True, 1), ("b", True, 0), ("dead", False, 1),
    ]  # fmt: skip


def test_a_queue_that_is_too_long_to_count_says_so() -> None:
    seen = crew(*[job("q", "ENQUEUED")] * (roll.MOST_COUNTED + 1))
    assert (seen.queues[0].waiting, seen.queues[0].capped) == (roll.MOST_COUNTED, True)


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    ward = Ward(tmp_path)
    yield ward
    ward.index.close()


def test_a_failed_study_is_judged_again_by_the_worker_that_the_crew_names(
    ward: Ward, tmp_path: Path
) -> None:
    broken, at_work, go_on = [True], threading.Event(), threading.Event()

    def check(radiograph: Radiograph) -> None:
        if broken:
            raise RuntimeError(broken.pop())
        at_work.set()
        assert go_on.wait(30)

    settings = Settings(data_dir=tmp_path)
    engine = Engine(
        settings, ward.index, ward.objects, replace(SMALL, check=check), risk_models=SMALL_RISK,
        outbox=outbox(Pacs()),
    )  # fmt: skip
    engine.start()
    try:
        ward.ingest._arrived = engine.study_arrived
        study = ward.take(film())
        until(lambda: [one.kind for one in ward.index.failures()] == ["study"])
        services = cast(Services, _Services(ward, engine))
        assert retry(services, "study", study, AuditEvent(NOON, "ada", "retry", "success")) == 1
        assert at_work.wait(30)
        (worker,) = engine.crew().workers
        assert worker.living
        assert "carina_study" in {one.name for one in worker.work}
        queues = engine.crew().queues
        assert [one.name for one in queues] == list(QUEUES)
        assert queues[0].running == 1
        go_on.set()
        until(lambda: ward.index.failures() == ())
        assert [one.status for one in ward.index.results(study)] == ["failed", "ok"]
    finally:
        go_on.set()
        engine.stop(grace_s=0)


class _Services:
    """What a retry asks for."""

    def __init__(self, ward: Ward, engine: Engine) -> None:
        self.index, self.arrived, self.sending = (
            ward.index,
            engine.study_arrived,
            engine.sending_due,
        )
