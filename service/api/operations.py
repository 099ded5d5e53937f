"""What an administrator looks at, as JSON, and the retries of what failed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field, StringConstraints

from service.api.dependencies import V1, Administrator
from service.api.problems import Problem
from service.api.schemas import NO_CONTROL, In, Out, Reason
from service.operations import overview
from service.operations.dismissal import dismiss
from service.operations.overview import Overview
from service.operations.retry import retry

routes = APIRouter(prefix=V1, tags=["operations"])

DAYS_HOURS = 24 * 7


class Plain(Out):
    """An answer that repeats a record field by field."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class HourOut(Plain):
    """What came in within one hour, and what was made of it."""

    start: datetime
    films: int = Field(description="objects of a class that is scored, from senders")
    undecodable: int = Field(description="of these, those whose pixels cannot be decoded")
    aside: int = Field(description="of these, those kept aside as conflicts")
    judged: int = Field(description="results made, amended ones too")
    refused: int = Field(description="of these, refused")
    failed: int = Field(description="of these, failed")


class QueueOut(Plain):
    """One queue of jobs."""

    name: str
    waiting: int
    running: int
    oldest: datetime | None = Field(description="since when the oldest one waits")
    capped: bool = Field(description="more wait than were counted")


class WorkOut(Plain):
    """A job that a worker is at."""

    name: str
    since: datetime


class WorkerOut(Plain):
    """A worker: `living` while it holds its place."""

    name: str
    living: bool
    since: datetime | None
    address: str
    work: list[WorkOut]


class CrewOut(Plain):
    """Queues and workers."""

    queues: list[QueueOut]
    workers: list[WorkerOut]


class DismissalOut(Plain):
    """Who put a failure aside, when and why."""

    at: datetime
    actor: str
    reason: str


class FailureOut(Plain):
    """Something that failed: `kind` and `name` are what a retry and a dismissal take."""

    kind: Literal["study", "delivery", "commitment"]
    name: str
    state: Literal["failed", "waiting"] = Field(description="waiting: tried again by itself")
    at: datetime
    attempts: int
    message: str
    code: str = Field(description="of a study: the reason of its result")
    peer: str = Field(description="destination or AE title")
    study_uid: str | None
    patient_id: str | None
    dismissal: DismissalOut | None = Field(description="null where it is open")


class DestinationOut(Plain):
    """How it goes with one destination; what was dismissed is not counted."""

    name: str
    configured: bool
    delivered_at: datetime | None = Field(description="last success")
    waiting: int
    failed: int
    failing_since: datetime | None
    message: str = Field(description="of the last attempt that failed")


class KeptOut(Plain):
    """Objects of one kind: received films, other received objects, reports of our own."""

    kind: Literal["films", "others", "reports"]
    objects: int
    size_bytes: int


class StorageOut(Plain):
    """Database and object store."""

    index: str = Field(description="ok, or what is wrong")
    objects: str = Field(description="ok, or what is wrong")
    database: Literal["SQLite", "PostgreSQL"]
    store: str
    free_mb: int | None = Field(description="null in a bucket, which has no bound")
    least_mb: int = Field(description="below this nothing is taken in")
    database_mb: float | None
    jobs_mb: float | None
    kept: list[KeptOut]


class ModelOut(Plain):
    """A model that answers."""

    name: str
    version: str
    sha256: str
    own: bool = Field(description="set by the hospital")


class RecentMergeOut(Plain):
    """A merge."""

    merged_id: str
    patient_id: str
    at: datetime
    actor: str
    reason: str


class RecentDeletionOut(Plain):
    """A deleted study."""

    study_uid: str
    patient_id: str
    at: datetime
    actor: str
    reason: str


class OperationsOut(Plain):
    """The installation at one moment."""

    at: datetime
    hours: list[HourOut]
    counts: dict[str, int] = Field(description="the gauges of /metrics")
    crew: CrewOut | None = Field(description="null where the job queue is away")
    crew_away: str
    failures: list[FailureOut] = Field(description="those that are open, at most 50 of each kind")
    failure_counts: dict[str, int] = Field(description="by kind, without a bound")
    dismissed: list[FailureOut] = Field(description="those put aside, at most 50 of each kind")
    dismissed_counts: dict[str, int] = Field(description="by kind, without a bound")
    destinations: list[DestinationOut]
    commitments: dict[str, int] = Field(description="storage commitments by state")
    storage: StorageOut
    models: list[ModelOut]
    users: dict[str, int] = Field(description="active users by role, and those disabled")
    merges: list[RecentMergeOut] = Field(description="the newest five")
    deletions: list[RecentDeletionOut] = Field(description="the newest five")

    @classmethod
    def of(cls, seen: Overview) -> Self:
        """From the overview; a destination says whether the settings name it."""
        parts = {name: getattr(seen, name) for name in cls.model_fields if name != "destinations"}
        destinations = [
            DestinationOut(
                name=one.name,
                configured=one.name in seen.configured,
                delivered_at=one.delivered_at,
                waiting=one.waiting,
                failed=one.failed,
                failing_since=one.failing_since,
                message=one.message,
            )
            for one in seen.destinations
        ]
        return cls.model_validate({**parts, "destinations": destinations})


class RetryIn(In):
    """What to try again."""

    kind: Literal["study", "delivery", "destination", "commitment"]
    name: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=NO_CONTROL)] = (
        Field(
            description="Study Instance UID, delivery, destination (all it did not take), or "
            "transaction UID of a commitment"
        )
    )


class DismissIn(RetryIn):
    """What to put aside, and why."""

    reason: Reason = Field(description="why nobody needs to look at it; kept in the audit")


class DismissOut(Out):
    """What a dismissal led to."""

    dismissed: int = Field(description="how many failures left the list")


class RetryOut(Out):
    """What a retry led to."""

    waiting: int = Field(description="how much waits because of it; 0 where it waited already")


@routes.get("/operations", response_model=OperationsOut)
def operations(
    caller: Administrator, hours: Annotated[int, Query(ge=1, le=DAYS_HOURS)] = 24
) -> OperationsOut:
    """Inflow by hour (UTC), queues, workers, failures, destinations, storage, models, users."""
    services = caller.services
    seen = overview.gather(services, overview.first_hour(services.clock(), hours), hours)
    caller.saw_list("operations", len(seen.failures), seen.patient_ids)
    return OperationsOut.of(seen)


@routes.post(
    "/operations/retries",
    response_model=RetryOut,
    responses={404: {"model": Problem}, 409: {"model": Problem}},
)
def retries(sent: RetryIn, caller: Administrator) -> RetryOut:
    """Try again what failed: a study, a delivery, all of a destination, a storage commitment."""
    event = caller.doing("retry", f"{sent.kind} {sent.name}")
    return RetryOut(waiting=retry(caller.services, sent.kind, sent.name, event))


@routes.post(
    "/operations/dismissals",
    response_model=DismissOut,
    responses={404: {"model": Problem}, 409: {"model": Problem}},
)
def dismissals(sent: DismissIn, caller: Administrator) -> DismissOut:
    """Put aside what failed, with a reason; what is tried by itself is given up with it.

    Where it is tried again and fails, it is listed anew.
    """
    event = caller.doing("dismiss", f"{sent.kind} {sent.name}: {sent.reason}")
    index = caller.services.index
    return DismissOut(dismissed=dismiss(index, sent.kind, sent.name, sent.reason, event))
