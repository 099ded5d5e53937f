"""The queues and the workers at one moment, as DBOS and the places tell them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from dbos import DBOSClient, WorkflowStatus

from service.installation import Crew, Queue, Work, Worker
from service.jobs.places import Place

MOST_COUNTED = 1000  # jobs that wait; more are not worth the time to count them


def crew(
    client: DBOSClient, places: Sequence[Place], names: Sequence[str], to_come: Sequence[str]
) -> Crew:
    """Look once.

    Parameters
    ----------
    places : those that are held.
    names : of the queues, in the order to tell them.
    to_come : the states of a job that waits.
    """
    waiting = client.list_workflows(
        status=list(to_come), limit=MOST_COUNTED + 1, load_input=False, load_output=False
    )
    running = client.list_workflows(status="PENDING", load_input=False, load_output=False)
    capped = len(waiting) > MOST_COUNTED
    return Crew(
        tuple(_queue(name, waiting[:MOST_COUNTED], running, capped) for name in names),
        _workers(places, running),
    )


def _queue(
    name: str, waiting: Sequence[WorkflowStatus], running: Sequence[WorkflowStatus], capped: bool
) -> Queue:
    mine = [_at(job.created_at) for job in waiting if job.queue_name == name]
    busy = sum(job.queue_name == name for job in running)
    return Queue(name, len(mine), busy, min(mine, default=None), capped)


def _workers(places: Sequence[Place], running: Iterable[WorkflowStatus]) -> tuple[Worker, ...]:
    """Those that hold a place; then those that are gone and still have jobs."""
    found = {one.name: Worker(one.name, True, one.since, one.address) for one in places}
    for job in running:
        name = job.executor_id or "nobody"
        one = found.get(name, Worker(name, False))
        work = Work(job.name, _at(job.dequeued_at or job.updated_at))
        found[name] = replace(one, work=(*one.work, work))
    return tuple(found.values())


def _at(epoch_ms: int | None) -> datetime:
    return datetime.fromtimestamp((epoch_ms or 0) / 1000, UTC)
