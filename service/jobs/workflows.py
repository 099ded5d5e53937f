"""The durable functions: DBOS runs them, notes each step that is done, and resumes after a crash.

They are plain functions because DBOS finds them by name; what they work with is the engine that
`go_to_work` names. A step may run twice when the process dies at its end: each one is harmless
to repeat.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol
from uuid import UUID, uuid5

from dbos import DBOS

from service.errors import CarinaError, OutOfResourcesError

RESULT_IDS = UUID("0f3d1a52-51c7-4b0e-8f43-1f0f9a3c2b11")
MOST_CRASHES = 5  # a film that ends the process so often is given up, or nothing else gets done


class Worker(Protocol):
    """What the durable functions ask for: `jobs/engine.Engine`."""

    def now(self) -> datetime:
        """The present moment."""

    def score(self, study_uid: str, identifier: str) -> str | None:
        """Judge a study; give the identifier of the result in force."""

    def follow(self, study_uid: str, kept: str) -> None:
        """Do what a result asks for."""

    def prepare(self, identifier: str) -> None:
        """Make the reports of a result."""

    def send_due(self) -> int:
        """Try what is due to be sent."""

    def compute_risk(self, patient_id: str, at: datetime, *, late: bool = False) -> None:
        """Append one risk to a patient's series."""

    def compute_ward(self, at: datetime) -> int:
        """Compute the risk of every admitted patient."""

    def pull_priors(self, study_uid: str, chain: str, attempt: int) -> None:
        """Ask the PACS for the priors of a study."""

    def retain(self) -> int:
        """Delete what is older than the rules keep."""

    def every_minute(self, at: datetime) -> None:
        """Do what the minute brings."""


_at_work: Worker | None = None


def go_to_work(worker: Worker) -> None:
    """Name the one engine of this process that the durable functions work with."""
    global _at_work  # noqa: PLW0603  # DBOS runs plain functions: they find their engine here
    if _at_work is not None:
        raise OutOfResourcesError(
            "expected one working engine per process, found another; stop that one first"
        )
    _at_work = worker


def is_at_work(worker: Worker) -> bool:
    """Whether this engine is the one at work."""
    return _at_work is worker


def go_home() -> None:
    """Nobody is at work any more."""
    global _at_work  # noqa: PLW0603
    _at_work = None


def _worker() -> Worker:
    if _at_work is None:
        raise OutOfResourcesError("expected a working engine in this process, found none")
    return _at_work


def result_id(job: str) -> str:
    """The identifier of the result of a job: a job that is repeated has one result."""
    return str(uuid5(RESULT_IDS, job))


def _may_pass(error: BaseException) -> bool:
    """Whether trying again can help: a store that is away comes back, a wrong name stays wrong."""
    return isinstance(error, OutOfResourcesError) or not isinstance(error, CarinaError)


_PATIENTLY: dict[str, Any] = {
    "retries_allowed": True,
    "interval_seconds": 1.0,
    "max_attempts": 8,
    "backoff_rate": 2.0,
    "should_retry": _may_pass,
}


@DBOS.step(name="carina_score", **_PATIENTLY)
def score_step(study_uid: str, identifier: str) -> str | None:
    """Judge a study."""
    return _worker().score(study_uid, identifier)


@DBOS.step(name="carina_follow", **_PATIENTLY)
def follow_step(study_uid: str, kept: str) -> None:
    """Pass a result on."""
    _worker().follow(study_uid, kept)


@DBOS.workflow(name="carina_study", max_recovery_attempts=MOST_CRASHES)
def study_workflow(study_uid: str) -> str | None:
    """Judge a study and pass the result on; a repetition leads to the same result."""
    kept = score_step(study_uid, result_id(str(DBOS.workflow_id)))
    if kept is not None:
        follow_step(study_uid, kept)
    return kept


@DBOS.step(name="carina_prepare", **_PATIENTLY)
def prepare_step(identifier: str) -> None:
    """Make SR and SEG."""
    _worker().prepare(identifier)


@DBOS.step(name="carina_send_due", **_PATIENTLY)
def send_step() -> int:
    """Try what is due to be sent."""
    return _worker().send_due()


@DBOS.workflow(name="carina_delivery", max_recovery_attempts=MOST_CRASHES)
def delivery_workflow(identifier: str) -> None:
    """Make the reports of a result and send them for the first time."""
    prepare_step(identifier)
    send_step()


@DBOS.workflow(name="carina_send", max_recovery_attempts=MOST_CRASHES)
def send_workflow() -> int:
    """Send what is due."""
    return send_step()


@DBOS.step(name="carina_pull_priors", **_PATIENTLY)
def priors_step(study_uid: str, chain: str, attempt: int) -> None:
    """Ask for priors once; the next attempt is a job of its own."""
    _worker().pull_priors(study_uid, chain, attempt)


@DBOS.workflow(name="carina_priors", max_recovery_attempts=MOST_CRASHES)
def priors_workflow(study_uid: str, chain: str, attempt: int) -> None:
    """Have the priors of a study taken in."""
    priors_step(study_uid, chain, attempt)


@DBOS.step(name="carina_compute_risk", **_PATIENTLY)
def risk_step(patient_id: str, at: str) -> None:
    """Compute one patient's risk, and that of hours whose readings came late."""
    _worker().compute_risk(patient_id, datetime.fromisoformat(at), late=True)


@DBOS.step(name="carina_now")
def now_step() -> str:
    """The moment that a workflow speaks of; a repetition speaks of the same."""
    return _worker().now().isoformat()


@DBOS.workflow(name="carina_risk", max_recovery_attempts=MOST_CRASHES)
def risk_workflow(patient_id: str) -> None:
    """Compute one patient's risk now."""
    risk_step(patient_id, now_step())


@DBOS.step(name="carina_compute_ward", **_PATIENTLY)
def ward_step(at: str) -> int:
    """Compute the risk of everybody."""
    return _worker().compute_ward(datetime.fromisoformat(at))


@DBOS.workflow(name="carina_ward", max_recovery_attempts=MOST_CRASHES)
def ward_workflow(at: str) -> int:
    """Compute the risk of everybody at one moment."""
    return ward_step(at)


@DBOS.step(name="carina_retain", **_PATIENTLY)
def retention_step() -> int:
    """Delete what is older than the rules keep; a repetition deletes what is left."""
    return _worker().retain()


@DBOS.workflow(name="carina_retention", max_recovery_attempts=MOST_CRASHES)
def retention_workflow() -> int:
    """Keep to the retention rules."""
    return retention_step()


@DBOS.step(name="carina_every_minute", **_PATIENTLY)
def minute_step(at: str) -> None:
    """See what the minute brings."""
    _worker().every_minute(datetime.fromisoformat(at))


@DBOS.workflow(name="carina_tick", max_recovery_attempts=MOST_CRASHES)
def tick(at: datetime, _context: Any) -> None:
    """One minute of the schedule."""
    minute_step(at.isoformat())
