"""An installation as its administrator sees it: what came in and failed, where it goes, who works.

Times are timezone-aware UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class Hour:
    """What came in within one hour, and what was made of it.

    `films` are objects of a class that is scored, from senders alone; `undecodable` and `aside`
    (same UID with other bytes, or a study of another patient) are counted among them. `judged`,
    `refused` and `failed` count results made in the hour, amended ones too.
    """

    start: datetime
    films: int = 0
    undecodable: int = 0
    aside: int = 0
    judged: int = 0
    refused: int = 0
    failed: int = 0


FailureKind = Literal["study", "delivery", "commitment"]


@dataclass(frozen=True, slots=True)
class Dismissal:
    """Who put a failure aside, when and why."""

    at: datetime
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that did not work and can be tried again by hand.

    Parameters
    ----------
    name : Study Instance UID, delivery identifier, or transaction UID of a commitment.
    peer : the destination or AE title; "" for a study.
    state : "failed", given up until somebody acts; "waiting", tried again by itself.
    code : of a study, the reason of its result; else "".
    dismissal : None for one that is open.
    """

    kind: FailureKind
    name: str
    state: Literal["failed", "waiting"]
    at: datetime
    attempts: int
    message: str
    code: str = ""
    peer: str = ""
    study_uid: str | None = None
    patient_id: str | None = None
    dismissal: Dismissal | None = None


@dataclass(frozen=True, slots=True)
class Destination:
    """How it goes with one destination of results.

    `failing_since` is when the oldest result that it has refused so far was made. What was put
    aside by hand is not counted.
    """

    name: str
    delivered_at: datetime | None = None
    waiting: int = 0
    failed: int = 0
    failing_since: datetime | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """How many objects of one kind are kept, and their size."""

    kind: Literal["films", "others", "reports"]
    objects: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Work:
    """A job that a worker is at."""

    name: str  # of the workflow, as in jobs/workflows.py
    since: datetime


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker: living while it holds its place, `since` then; with the jobs that it is at."""

    name: str
    living: bool
    since: datetime | None = None
    address: str = ""
    work: tuple[Work, ...] = ()


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue of jobs; `capped` says that more wait than were counted."""

    name: str
    waiting: int = 0
    running: int = 0
    oldest: datetime | None = None
    capped: bool = False


@dataclass(frozen=True, slots=True)
class Crew:
    """The queues and the workers at one moment."""

    queues: tuple[Queue, ...] = ()
    workers: tuple[Worker, ...] = ()
