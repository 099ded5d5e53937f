"""Jobs that are begun again, given up or forgotten: what the index says is not done is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from dbos import WorkflowStatus
from dbos import error as dbos_error

from service.errors import OutOfResourcesError
from service.jobs import pipeline, priors, workflows
from service.jobs.queues import CRASHED, FINISHED, LASTING, PRIORS, Queues, digest
from service.store.index import Index

STUCK_AFTER = timedelta(minutes=15)
KEEP_JOBS = timedelta(days=7)
TRIED_FOR = timedelta(days=1)  # so long a job is tried again whose database or objects were away
FORGOTTEN_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Recovery:
    """Looks after the jobs of all processes; several that do so at once do no harm.

    Parameters
    ----------
    enqueue_study : puts the job of a study in, under a name of its own for each generation.
    pacs : what priors are pulled from, for the audit.
    """

    queues: Queues
    index: Index
    clock: Callable[[], datetime]
    enqueue_study: Callable[[str, str], None]
    pacs: str

    def recover(self) -> int:
        """Enqueue again what the index holds as not done and no job is going to do.

        Returns
        -------
        How many studies wait for a result.
        """
        self._resume_failed()
        self._give_up_pulls()
        studies = self.index.pending_studies()
        named = {f"study-{digest(one.study_uid)}-{one.revision}": one for one in studies}
        known = self.queues.jobs(list(named))
        for job, study in named.items():
            fate = self._fate(known.get(job))
            if fate == CRASHED:
                pipeline.give_up(study, self.index, self.clock(), workflows.result_id(job))
            elif fate == "lost":
                turn = int(self.clock().timestamp() // STUCK_AFTER.total_seconds())
                self.enqueue_study(study.study_uid, f"{study.revision}-{turn}")
            elif fate == "unknown":
                self.enqueue_study(study.study_uid, str(study.revision))
        return len(studies)

    def _fate(self, found: WorkflowStatus | None) -> str:
        """What becomes of a job: "unknown" to the queue, "waiting", "lost", or `CRASHED`."""
        if found is None:
            return "unknown"
        status = found.status
        if status == CRASHED:
            return CRASHED
        quiet_s = self.clock().timestamp() - (found.updated_at or 0) / 1000
        stuck = status == "PENDING" and quiet_s > STUCK_AFTER.total_seconds()
        return "lost" if stuck or status in FINISHED else "waiting"

    def _resume_failed(self) -> None:
        """Put jobs back whose database or objects were away for longer than their steps waited."""
        since = (self.clock() - TRIED_FOR).isoformat()
        with self.queues.asked() as queue:
            for job in queue.list_workflows(status="ERROR", start_time=since, load_input=False):
                if job.queue_name in LASTING and _was_short(job.error):
                    queue.rewind_workflow(job.workflow_id, queue_name=job.queue_name)

    def _give_up_pulls(self) -> None:
        """Tell of pulls whose job broke or ended the process; they are free to be begun again."""
        with self.queues.asked() as queue:
            for job in queue.list_workflows(status=["ERROR", CRASHED], queue_name=PRIORS):
                if job.status == CRASHED or not _was_short(job.error):
                    study_uid = job.input["args"][0] if job.input else ""
                    why = "its job broke, see the log"
                    priors.give_up(study_uid, self.index, self.pacs, self.clock(), why)
                    queue.delete_workflows([job.workflow_id])

    def forget_old_jobs(self) -> int:
        """Delete jobs and news of a week ago; results and audit stay in the index."""
        before = self.clock() - KEEP_JOBS
        self.index.forget_news(before)
        count = 0
        with self.queues.asked() as queue:
            while old := queue.list_workflows(
                status=list(FINISHED), end_time=before.isoformat(), limit=FORGOTTEN_AT_ONCE,
                load_input=False, load_output=False,
            ):  # fmt: skip
                queue.delete_workflows([one.workflow_id for one in old])
                count += len(old)
        return count


def _was_short(error: Exception | None) -> bool:
    """Whether a job ended because its database or objects were away, or a disk was full."""
    if isinstance(error, dbos_error.DBOSMaxStepRetriesExceeded) and error.errors:
        error = error.errors[-1]
    return isinstance(error, OutOfResourcesError)
