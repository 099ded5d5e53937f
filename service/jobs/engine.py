"""Durable work: what was acknowledged is scored, told and sent, whatever dies in between.

DBOS keeps the queues and the steps that are done (SQLite beside the index, or PostgreSQL). Every
process may enqueue; processes with workers also run. Each step can be repeated without harm, and
`recover` enqueues again whatever the index says is not done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

import structlog
from dbos import DBOS, DBOSConfig, EnqueueOptions
from sqlalchemy import make_url

from service import coefficients, metrics, outpatient
from service.decoding import Decoding, InProcess
from service.dicom.description import Descriptions
from service.dicom.ingest import Ingest
from service.dicom.pacs import Pacs
from service.errors import NotFoundError, OutOfResourcesError
from service.installation import Crew
from service.jobs import (
    commitment,
    delivery,
    embedded,
    neighbours,
    pipeline,
    priors,
    roll,
    workflows,
)
from service.jobs.delivery import Outbox, default_outbox
from service.jobs.pipeline import Models, default_models
from service.jobs.places import Places, held_places, open_places
from service.jobs.priority import give_way
from service.jobs.priors import Puller
from service.jobs.queue_log import hear_dbos
from service.jobs.queues import (
    DELIVERIES,
    LASTING,
    PRIORS,
    RISKS,
    STUDIES,
    TICKS,
    TO_COME,
    Queues,
    digest,
)
from service.jobs.recovery import Recovery
from service.jobs.risk import RiskModels, default_risk_models, fill_course, run_risk
from service.jobs.watch import Watch
from service.records import StudyResult
from service.settings import Settings
from service.store import retention, retrievals
from service.store.deletions import sweep
from service.store.index import Index
from service.store.journal import wait_after
from service.store.objects import ObjectStore

if TYPE_CHECKING:  # the science is loaded by whoever works
    from risk.additive import Table

Role = Literal["all", "enqueue", "work"]
POLL_S = 0.25
REST_S = 5  # observations of one patient within so many seconds lead to one computation
RECOVER_EVERY_MIN = 5
RETENTION_AT_MIN = 3 * 60  # of the day, UTC
SWEEP_EVERY_MIN = 60
_log = structlog.get_logger(__name__)


def clock() -> datetime:
    """The present moment, timezone-aware UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Science:
    """Everything that a worker computes with; loaded only where work is done."""

    models: Models
    risk: RiskModels
    outpatient: Table
    outbox: Outbox


class Engine:
    """The jobs of one process.

    Parameters
    ----------
    models : what judges a study; None: those that ship with Carina, loaded when work starts.
    role : "all" (serve: enqueues, works with `settings.workers`), "enqueue" (listeners), or
        "work" (at least one worker).
    risk_models, outbox : as `models`.
    pacs : what priors are pulled from; None: that of the settings.
    decoding : what reads headers of films; None: this process.
    """

    def __init__(
        self,
        settings: Settings,
        index: Index,
        objects: ObjectStore,
        models: Models | None = None,
        *,
        role: Role = "all",
        risk_models: RiskModels | None = None,
        outbox: Outbox | None = None,
        pacs: Pacs | None = None,
        decoding: Decoding | None = None,
        clock: Callable[[], datetime] = clock,
    ) -> None:
        self.settings = settings
        self.index = index
        self.objects = objects
        self.clock = clock
        workers = {"all": settings.workers, "enqueue": 0, "work": max(1, settings.workers)}
        self.workers = workers[role]
        self._models, self._risk_models, self._outbox = models, risk_models, outbox
        self._science: Science | None = None
        self._pacs = pacs
        self._decoding = decoding or InProcess()
        self._loading = threading.Lock()
        self._queues: Queues | None = None
        self._places: Places | None = None
        self._watch: Watch | None = None

    def migrate(self) -> None:
        """Make the tables of the jobs; several processes may do so at once."""
        url = self.settings.jobs_url
        if embedded.is_sqlite(url):
            embedded.prepare(Path(make_url(url).database or ""))
        DBOS.migrate(url)

    def start(self) -> None:
        """Open the queues and, with workers, begin to work through them.

        Raises
        ------
        UsageError : a destination or the PACS has another form, or its TLS cannot be set up.
        OutOfResourcesError : another engine works in this process.
        """
        delivery.check_destinations(self.settings)
        priors.check_pacs(self.settings)
        self.migrate()
        self._queues = Queues(self.settings.jobs_url)
        if self.workers:
            self._launch()
            self.recover()
            self.ward_due(self.clock())  # the last full hour may have passed while nobody worked
        _log.info("jobs started", workers=self.workers)

    def _launch(self) -> None:
        workflows.go_to_work(self)
        self._places = places = open_places(self.settings.jobs_url, self.settings.data_dir)
        hear_dbos()
        DBOS(config=self._config(places.name))
        DBOS.launch()
        register = DBOS.register_queue
        register(STUDIES, worker_concurrency=self.workers, polling_interval_sec=POLL_S,
                 on_conflict="always_update")  # fmt: skip
        register(RISKS, worker_concurrency=2, polling_interval_sec=POLL_S)
        register(DELIVERIES, worker_concurrency=1, polling_interval_sec=POLL_S)
        register(PRIORS, worker_concurrency=1, polling_interval_sec=1.0)
        register(TICKS, worker_concurrency=1, polling_interval_sec=1.0)
        DBOS.delete_schedule("carina-minute")  # of earlier versions; the watch has its place
        self._watch = Watch(places, self.clock, self.queues.busy, self._take_over, self._tick)
        self._watch.start()

    def _config(self, place: str) -> DBOSConfig:
        return DBOSConfig(
            name="carina",
            system_database_url=self.settings.jobs_url,
            application_version="carina",  # jobs survive an upgrade: their steps may be repeated
            executor_id=place,
            log_level="WARNING",
            console_log_level="WARNING",
        )

    def _take_over(self, gone: list[str]) -> None:
        """Put the jobs of workers that are gone back into their queues."""
        jobs = DBOS._recover_pending_workflows(gone)  # no public name: DBOS is pinned
        _log.warning("jobs taken over", workers=len(gone), jobs=len(jobs))

    def _tick(self, at: datetime) -> None:
        """Have the jobs of a minute done; several workers that tell the same minute do no harm."""
        job = EnqueueOptions(
            queue_name=TICKS, workflow_name="carina_tick", workflow_id=f"minute-{uuid4()}"
        )
        self.queues.enqueue(job, at, None)

    def stop(self, grace_s: int = 10) -> None:
        """Take no more work, wait for what is running, and let go; the rest is done at next start.

        Parameters
        ----------
        grace_s : how long running studies may take to finish; 0: they are repeated later.
        """
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        if workflows.is_at_work(self):
            DBOS.destroy(workflow_completion_timeout_sec=grace_s)
            workflows.go_home()
        if self._queues is not None:
            self._queues.close()
            self._queues = None
        if self._places is not None:
            self._places.leave()
            self._places = None

    @property
    def science(self) -> Science:
        """The models, loaded at the first need."""
        with self._loading:
            if self._science is None:
                settings = self.settings
                self._science = Science(
                    models=self._models or default_models(),
                    risk=self._risk_models
                    or default_risk_models(coefficients.table("ventilation", settings)),
                    outpatient=coefficients.table("outpatient", settings),
                    outbox=self._outbox or default_outbox(settings),
                )
            return self._science

    @property
    def queues(self) -> Queues:
        """The queues, open from start to stop.

        Raises
        ------
        OutOfResourcesError : this engine is stopped.
        """
        if self._queues is None:
            raise OutOfResourcesError("expected the jobs to be started, found them stopped")
        return self._queues

    @property
    def _recovery(self) -> Recovery:
        pacs = self.settings.priors_pacs
        return Recovery(self.queues, self.index, self.now, self._enqueue_study, pacs)

    def study_arrived(self, study_uid: str) -> None:
        """Have a study scored that has films its result has not seen. Durable when it returns."""
        revision = self.index.revision(study_uid)
        if revision:
            self._enqueue_study(study_uid, str(revision))

    def _enqueue_study(self, study_uid: str, generation: str) -> None:
        job = EnqueueOptions(
            queue_name=STUDIES,
            workflow_name="carina_study",
            workflow_id=f"study-{digest(study_uid)}-{generation}",
        )
        self.queues.enqueue(job, study_uid)

    def risk_due(self, patient_id: str) -> None:
        """Have the risk of a patient computed again, once for all news of a few seconds."""
        now = self.clock().timestamp()
        turn = int(now // REST_S) + 1
        name = f"risk-{digest(patient_id)}-{turn}"
        if self.queues.has_begun(name):  # by a clock that is ahead, or before this one was set back
            name = f"{name}-{uuid4()}"
        job = EnqueueOptions(
            queue_name=RISKS,
            workflow_name="carina_risk",
            workflow_id=name,
            delay_seconds=max(0.0, turn * REST_S - now),
        )
        self.queues.enqueue(job, patient_id)

    def ward_due(self, at: datetime) -> None:
        """Have the risk of every admitted patient computed for one moment."""
        job = EnqueueOptions(
            queue_name=RISKS, workflow_name="carina_ward", workflow_id=f"ward-{at.isoformat()}"
        )
        self.queues.enqueue(job, at.isoformat())

    def recover(self) -> int:
        """Enqueue again what the index holds as not done and no job is going to do."""
        return self._recovery.recover()

    def forget_old_jobs(self) -> int:
        """Delete jobs and news of a week ago; results and audit stay in the index."""
        return self._recovery.forget_old_jobs()

    def crew(self) -> Crew:
        """Tell the queues and the workers as they are now, whichever process they are in."""
        places = held_places(self.settings.jobs_url, self.settings.data_dir)
        with self.queues.asked() as queue:
            return roll.crew(queue, places, LASTING, TO_COME)

    def now(self) -> datetime:
        """The present moment by the clock of this engine."""
        return self.clock()

    def score(self, study_uid: str, identifier: str) -> str | None:
        """Judge a study; give the identifier of the result in force."""
        give_way()
        result = pipeline.run_study(
            study_uid, self.index, self.objects, self.science.models, self.clock(),
            result_id=identifier,
        )  # fmt: skip
        return result.result_id if result else None

    def follow(self, study_uid: str, kept: str) -> None:
        """Do what a result asks for: risk again, the next study again, reports out.

        Nothing is done for a study that was deleted since.
        """
        try:
            study = self.index.study(study_uid)
        except NotFoundError:
            return
        self.risk_due(study.patient_id)
        # This study as well: its prior may have come into force while it was judged.
        own = self.index.current_result(study_uid)
        for result in (own, neighbours.next_study(self.index, study)):
            if result is not None:
                self._judge_again_if_due(result, kept)
        job = EnqueueOptions(
            queue_name=DELIVERIES,
            workflow_name="carina_delivery",
            workflow_id=f"deliver-{kept}",
        )
        self.queues.enqueue(job, kept)
        self._priors_due(study_uid, kept)

    def _priors_due(self, study_uid: str, kept: str) -> None:
        """Have the PACS asked for priors, unless a job is about to do so."""
        if not priors.is_due(study_uid, self.index, self.settings):
            return
        name = f"priors-{digest(study_uid)}"
        if not self.queues.is_under_way(f"{name}-"):
            self._enqueue_pull(study_uid, f"{name}-{digest(kept)}", 1, 0.0)

    def _enqueue_pull(self, study_uid: str, chain: str, attempt: int, delay_s: float) -> None:
        job = EnqueueOptions(
            queue_name=PRIORS,
            workflow_name="carina_priors",
            workflow_id=f"{chain}-{attempt}",
            delay_seconds=delay_s,
        )
        self.queues.enqueue(job, study_uid, chain, attempt)

    def pull_priors(self, study_uid: str, chain: str, attempt: int) -> None:
        """Ask the PACS for the priors of a study; what fails is tried again later, then given up.

        Parameters
        ----------
        chain : what the names of these attempts begin with.
        attempt : the number of this one, from 1.
        """
        index, settings = self.index, self.settings
        try:
            if priors.is_due(study_uid, index, settings):
                descriptions = Descriptions(index, self.objects, self._decoding)
                priors.pull(study_uid, index, descriptions, self._puller(), self.clock())
            return
        except Exception as error:  # noqa: BLE001  # whatever it is, it is tried again and told
            failed = priors.plainly(error, digest(study_uid))
        given_up = priors.attempt_failed(
            study_uid, index, settings.priors_pacs, self.clock(), attempts=attempt, error=failed
        )
        if not given_up:
            wait_s = wait_after(attempt).total_seconds()
            self._enqueue_pull(study_uid, chain, attempt + 1, wait_s)

    def _puller(self) -> Puller:
        """How priors come in: through an ingest of our own, as any other film."""
        settings = self.settings
        pacs = self._pacs or priors.default_pacs(settings)
        ingest = Ingest(
            self.index, self.objects, self.study_arrived, self.clock,
            max_object_mb=settings.max_object_mb, min_free_disk_mb=settings.min_free_disk_mb,
        )  # fmt: skip

        def take(data: bytes) -> None:
            ingest.take(data, source="pull", actor=retrievals.ACTOR, address=pacs.name, pulled=True)

        return Puller(pacs, take, settings.priors_most, settings.priors_days)

    def _judge_again_if_due(self, result: StudyResult, kept: str) -> None:
        """Enqueue the study of a result that has not seen every film or the right prior."""
        try:
            study = self.index.study(result.study_uid)
        except NotFoundError:  # deleted since it was looked up
            return
        prior = neighbours.newest_prior(self.index, study)
        if not pipeline.is_up_to_date(result, study, prior):
            self._enqueue_study(study.study_uid, f"after-{kept}")

    def compute_risk(self, patient_id: str, at: datetime, *, late: bool = False) -> None:
        """Append one risk to a patient's series, or keep that of somebody who is not admitted.

        What breaks here breaks for this patient only.

        Parameters
        ----------
        late : compute earlier hours as well whose readings came late.
        """
        try:
            if late:
                fill_course(patient_id, self.index, at, self.science.risk)
            if run_risk(patient_id, self.index, at, self.science.risk) is None:
                outpatient.keep(patient_id, self.index, at, self.science.outpatient)
        except OutOfResourcesError:
            raise
        except NotFoundError:  # deleted while the job waited
            return
        except Exception as error:  # noqa: BLE001  # the others still get theirs
            pipeline.log_failure("risk failed", error, patient=digest(patient_id))

    def compute_ward(self, at: datetime) -> int:
        """Compute the risk of every admitted patient at one moment, and those outside that are due.

        Returns
        -------
        How many patients are admitted.
        """
        page, count = 200, 0
        while patients := self.index.patients(admitted=True, limit=page, offset=count):
            for patient in patients:
                self.compute_risk(patient.patient_id, at)
            count += len(patients)
        model = self.science.outpatient.label
        for patient_id in self.index.outpatients_due(at, outpatient.LOOK_BACK, model):
            self.compute_risk(patient_id, at)
        return count

    def prepare(self, identifier: str) -> None:
        """Make the SR and SEG of a result and put them on their way."""
        outbox = self.science.outbox
        delivery.prepare(
            identifier, self.index, self.objects, outbox, self.clock(), decoding=self._decoding
        )

    def send_due(self) -> int:
        """Try what is due to be sent, answers to storage commitments first: they are small."""
        outbox = self.science.outbox
        answered = commitment.report_due(self.index, self.objects, outbox.commit, self.clock())
        return answered + delivery.send_due(self.index, self.objects, outbox, self.clock())

    def commitment_asked(self, transaction_uid: str) -> None:
        """Have a storage commitment answered. Durable when it returns."""
        moment = self.clock().timestamp()
        job = EnqueueOptions(
            queue_name=DELIVERIES,
            workflow_name="carina_send",
            workflow_id=f"commit-{digest(transaction_uid)}-{moment}",
        )
        self.queues.enqueue(job)

    def sending_due(self) -> None:
        """Have what is due sent."""
        job = EnqueueOptions(
            queue_name=DELIVERIES,
            workflow_name="carina_send",
            workflow_id=f"send-{uuid4()}",
            deduplication_id="send",  # while destinations are slow, one waits or runs
            duplication_policy="return-existing",
        )
        self.queues.enqueue(job)

    def every_minute(self, at: datetime) -> None:
        """Send what is due; at their times compute the ward, recover, and tidy up."""
        minute = int(at.timestamp() // 60)
        self.sending_due()
        if minute % self.settings.risk_interval_minutes == 0:
            self.ward_due(at)
        if minute % RECOVER_EVERY_MIN == 0:
            self.recover()
        if minute % (24 * 60) == 0:
            self.forget_old_jobs()
        if minute % (24 * 60) == RETENTION_AT_MIN:
            self._retention_due(at)
        if minute % SWEEP_EVERY_MIN == 0:
            sweep(self.index, self.objects)

    def _retention_due(self, at: datetime) -> None:
        """Have what is older than the rules keep deleted, once a day."""
        job = EnqueueOptions(
            queue_name=RISKS,
            workflow_name="carina_retention",
            workflow_id=f"retention-{at.date().isoformat()}",
        )
        self.queues.enqueue(job)

    def retain(self) -> int:
        """Delete what is older than the rules keep, then its bytes; how much it was."""
        done = retention.apply(self.index, keep_by(self.settings), "system", self.clock)
        sweep(self.index, self.objects)
        told = {"studies": len(done.studies), "objects": sum(done.objects.values()),
                "values": sum(done.values.values())}  # fmt: skip
        for kind, count in told.items():
            metrics.DELETED.labels(kind).inc(count)
        _log.info("retention done", **told)
        return sum(told.values())


def keep_by(settings: Settings) -> retention.Keep:
    """The retention rules of the settings."""
    return retention.Keep(
        films_days=settings.keep_films_days,
        others_days=settings.keep_others_days,
        derived_days=settings.keep_derived_days,
        observations_days=settings.keep_observations_days,
    )
