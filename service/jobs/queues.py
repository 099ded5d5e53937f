"""The queues as every process sees them: it puts jobs in and looks; workers run them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from dbos import DBOSClient, EnqueueOptions, WorkflowStatus
from sqlalchemy import Engine as SqlEngine

from service.errors import CarinaError, OutOfResourcesError
from service.jobs import embedded
from service.jobs.pipeline import log_failure

STUDIES, RISKS, DELIVERIES, TICKS = "carina-studies", "carina-risks", "carina-sends", "carina-ticks"
PRIORS = "carina-priors"
LASTING = (STUDIES, RISKS, DELIVERIES, PRIORS)  # a tick that failed is not repeated: one follows
CRASHED = "MAX_RECOVERY_ATTEMPTS_EXCEEDED"
FINISHED = ("SUCCESS", "ERROR", "CANCELLED", CRASHED)
TO_COME = ("ENQUEUED", "DELAYED")
UNDER_WAY = (*TO_COME, "PENDING")


def digest(text: str) -> str:
    """A name for a patient or study that may stand in logs and job identifiers."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Queues:
    """The client of DBOS, and what goes wrong with it as one plain error.

    Parameters
    ----------
    url : of the database that the jobs are in; its tables are there.
    """

    def __init__(self, url: str) -> None:
        self._database: SqlEngine | None = (
            embedded.open_jobs(url) if embedded.is_sqlite(url) else None
        )
        self._client = DBOSClient(
            system_database_url=url,
            system_database_engine=self._database,
            application_name="carina",
            retry_connection_errors=False,  # a listener answers 0xA700 at once
        )

    def close(self) -> None:
        """Let go of the database."""
        self._client.destroy()
        if self._database is not None:
            self._database.dispose()

    @contextmanager
    def asked(self) -> Iterator[DBOSClient]:
        """Give the client for one question or job; a queue that is away is one plain error.

        Raises
        ------
        OutOfResourcesError : the queue is away.
        """
        try:
            yield self._client
        except CarinaError:
            raise
        except Exception as error:
            log_failure("enqueue failed", error)
            raise OutOfResourcesError(
                f"expected the job queue to take a job, found {type(error).__name__}; "
                "check its database and disk, then send again"
            ) from error

    def enqueue(self, options: EnqueueOptions, *arguments: str | int | datetime | None) -> None:
        """Put a job in; the same name twice is one job. Durable when it returns."""
        with self.asked() as client:
            client.enqueue(options, *arguments)

    def jobs(self, names: Sequence[str]) -> dict[str, WorkflowStatus]:
        """The jobs that are known of these, by name."""
        if not names:  # else the queue would tell of all jobs
            return {}
        with self.asked() as client:
            jobs = client.list_workflows(
                workflow_ids=list(names), load_input=False, load_output=False
            )
        return {job.workflow_id: job for job in jobs}

    def has_begun(self, name: str) -> bool:
        """Whether a job of this name no longer waits in its queue: it may have read the index."""
        job = self.jobs([name]).get(name)
        return job is not None and job.status not in TO_COME

    def is_under_way(self, prefix: str) -> bool:
        """Whether a job whose name begins so waits or runs."""
        with self.asked() as client:
            return bool(
                client.list_workflows(
                    workflow_id_prefix=prefix, status=list(UNDER_WAY), limit=1, load_input=False,
                    load_output=False,
                )
            )  # fmt: skip

    def busy(self) -> set[str]:
        """The names of the workers that jobs are with."""
        with self.asked() as client:
            running = client.list_workflows(status="PENDING", load_input=False, load_output=False)
        return {one.executor_id for one in running if one.executor_id}
