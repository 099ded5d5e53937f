"""What was acknowledged is scored, told and sent, whatever dies in between."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from pydicom import Dataset

from models.radiograph import Radiograph
from models.severity.predict import Severity
from models.structures.predict import Structures
from service.errors import OutOfResourcesError, UsageError
from service.jobs import engine as engine_module
from service.jobs import workflows
from service.jobs.delivery import MOST_ATTEMPTS
from service.jobs.engine import Engine, Role, clock
from service.jobs.pipeline import run_study
from service.jobs.queues import CRASHED, digest
from service.records import OWN_SOURCE, AuditEvent, Observation, Patient, StudyResult
from service.settings import Settings
from service.store.deletions import sweep
from tests.service.jobs.science import (
    SMALL,
    SMALL_RISK,
    Pacs,
    Ward,
    film,
    outbox,
)

AUDIT = AuditEvent(clock(), "ada", "write", "success", "P1")
ROOT = Path(__file__).resolve().parents[3]
MakeEngine = Callable[..., Engine]


def until(happened: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for something that other threads do; fail when it does not come."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            pytest.fail(f"expected within {seconds} s what did not happen")
        threading.Event().wait(0.02)


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    ward = Ward(tmp_path)
    yield ward
    ward.index.close()


@pytest.fixture
def pacs() -> Pacs:
    return Pacs()


@pytest.fixture
def make(ward: Ward, pacs: Pacs, tmp_path: Path) -> Iterator[MakeEngine]:
    """Start engines over the ward; they are stopped after the test."""
    started: list[Engine] = []

    def start(role: Role = "all", database_url: str = "", **named: object) -> Engine:
        settings = Settings(data_dir=tmp_path, database_url=database_url, workers=2)
        engine = Engine(settings, ward.index, ward.objects, named.pop("models", SMALL), role=role,
                        risk_models=SMALL_RISK, outbox=outbox(pacs, "PACS@host:104"),
                        **named)  # type: ignore[arg-type]  # fmt: skip
        engine.start()
        started.append(engine)
        ward.ingest._arrived = engine.study_arrived
        return engine

    yield start
    for engine in started:
        engine.stop(grace_s=0)


def scored(ward: Ward, *studies: str) -> bool:
    return all(ward.index.current_result(study) for study in studies) and not (
        ward.index.pending_studies()
    )


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_film_is_scored_kept_as_sr_and_seg_sent_and_its_patient_at_risk(
    ward: Ward, pacs: Pacs, make: MakeEngine, database: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgresql_url") if database == "postgresql" else ""
    ward.index.put_patient(Patient("P1", admitted_at=clock() - timedelta(days=1)), AUDIT)
    make(database_url=url)
    study = ward.take(film())
    until(lambda: scored(ward, study) and len(pacs.taken) == 2)
    until(lambda: ward.index.current_risk("P1"))
    kept = ward.index.instances(study)
    assert [one.modality for one in kept] == ["CR", "SR", "SEG"]
    assert [one.source for one in kept[1:]] == [OWN_SOURCE] * 2
    assert [ds.Modality for ds in pacs.taken] == ["SR", "SEG"]
    until(lambda: {one.state for one in ward.index.deliveries()} == {"delivered"})
    assert len(ward.index.results(study)) == 1  # our own objects are not scored


def test_films_that_come_together_lead_to_one_result_in_force(
    ward: Ward, pacs: Pacs, make: MakeEngine
) -> None:
    make()
    first = film()
    study = ward.take(first)
    for _ in range(5):
        ward.take(film(study_uid=study, view="LATERAL"))
    until(lambda: scored(ward, study))
    results = ward.index.results(study)
    assert results[-1].revision == 6
    assert [one.supersedes for one in results] == [None, *(r.result_id for r in results[:-1])]
    assert {one.sop_instance_uid for one in results} == {first.SOPInstanceUID}
    until(lambda: len(pacs.taken) == 2)  # findings that are repeated are sent once


def test_a_late_film_that_changes_the_findings_is_one_superseding_result(
    ward: Ward, pacs: Pacs, make: MakeEngine
) -> None:
    make()
    study = ward.take(film(view="LATERAL", corner=0.0))
    until(lambda: scored(ward, study))
    ward.take(film(study_uid=study))
    until(lambda: scored(ward, study) and len(pacs.taken) == 2)
    assert [one.status for one in ward.index.results(study)] == ["refused", "ok"]


def test_a_prior_that_comes_late_has_the_later_study_compared(ward: Ward, make: MakeEngine) -> None:
    make()
    after = ward.take(film(day="20260301", grey=0.5))
    until(lambda: scored(ward, after))
    before = ward.take(film(day="20260227", grey=0.25))
    until(lambda: scored(ward, before) and len(ward.index.results(after)) == 2)
    result = ward.index.current_result(after)
    assert result is not None
    assert result.change is not None
    assert result.change.prior_study_uid == before


def test_a_study_whose_prior_came_into_force_while_it_was_judged_is_compared_after_all(
    ward: Ward, make: MakeEngine
) -> None:
    before = ward.take(film(day="20260227", grey=0.25))
    after = ward.take(film(day="20260301", grey=0.5))
    engine = make("enqueue")

    def overtaken(radiograph: Radiograph, structures: Structures) -> Severity:
        if ward.index.current_result(before) is None:
            run_study(before, ward.index, ward.objects, SMALL, clock())
            engine.follow(before, "first")  # sees no result of the later study yet
        return SMALL.score(radiograph, structures)

    kept = run_study(
        after, ward.index, ward.objects, replace(SMALL, score=overtaken), clock(), result_id="late"
    )
    assert kept is not None
    assert kept.prior_sop_instance_uid is None
    engine.follow(after, kept.result_id)
    make("work")
    until(lambda: len(ward.index.results(after)) == 2)
    result = ward.index.current_result(after)
    assert result is not None
    assert result.change is not None
    assert result.change.prior_study_uid == before


def test_a_listener_enqueues_and_a_worker_elsewhere_works(ward: Ward, make: MakeEngine) -> None:
    listener = make("enqueue")
    assert listener.workers == 0
    study = ward.take(film())
    assert ward.index.current_result(study) is None
    assert make("work").workers == 2
    until(lambda: scored(ward, study))


def test_what_was_committed_but_never_enqueued_is_done_at_the_next_start(
    ward: Ward, make: MakeEngine
) -> None:
    study = ward.take(film())  # its arrival is only noted: as if the process died there
    make()
    until(lambda: scored(ward, study))


def job_status(tmp_path: Path, study: str, status: str, updated: int | None = None) -> None:
    with sqlite3.connect(tmp_path / "jobs.sqlite", timeout=30) as jobs:
        changed = jobs.execute(
            "UPDATE workflow_status SET status = ?, updated_at = coalesce(?, updated_at)"
            " WHERE workflow_uuid = ?",
            (status, updated, f"study-{digest(study)}-1"),
        )
        assert changed.rowcount == 1
    jobs.close()


@pytest.mark.parametrize("status", ["ERROR", "PENDING"])
def test_a_job_that_nobody_will_finish_is_enqueued_again(
    ward: Ward, make: MakeEngine, tmp_path: Path, status: str
) -> None:
    make("enqueue")
    study = ward.take(film())
    job_status(tmp_path, study, status, updated=1000)
    make("work")
    until(lambda: scored(ward, study))


def test_a_film_that_ends_the_process_again_and_again_is_given_up(
    ward: Ward, make: MakeEngine, tmp_path: Path
) -> None:
    listener = make("enqueue")
    study = ward.take(film())
    job_status(tmp_path, study, CRASHED)
    assert listener.recover() == 1
    result = ward.index.current_result(study)
    assert result is not None
    assert (result.status, result.reason) == ("failed", "crashed")
    assert listener.recover() == 0


def test_a_waiting_job_is_not_enqueued_twice(ward: Ward, make: MakeEngine, tmp_path: Path) -> None:
    listener = make("enqueue")
    ward.take(film())
    assert listener.recover() == 1
    with sqlite3.connect(tmp_path / "jobs.sqlite", timeout=30) as jobs:
        count = "SELECT count(*) FROM workflow_status WHERE name = 'carina_study'"
        assert jobs.execute(count).fetchone() == (1,)
    jobs.close()


def test_news_of_one_patient_within_seconds_is_one_computation(
    ward: Ward, make: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "REST_S", 2)
    ward.index.put_patient(Patient("P1", admitted_at=clock() - timedelta(days=1)), AUDIT)
    engine = make("enqueue")
    moment = clock()
    engine.clock = lambda: moment
    for _ in range(20):
        engine.risk_due("P1")
    engine.clock = clock
    worker = make("work")
    worker.clock = lambda: moment  # so that the run of the whole ward says the same
    until(lambda: ward.index.risks("P1"))
    assert len(ward.index.risks("P1")) <= 2


def test_news_are_computed_although_the_clock_shows_a_moment_for_the_second_time(
    ward: Ward, make: MakeEngine, tmp_path: Path
) -> None:
    engine = make("enqueue")
    moment = clock()
    engine.clock = lambda: moment
    with sqlite3.connect(tmp_path / "jobs.sqlite", timeout=30) as jobs:
        count = "SELECT count(*) FROM workflow_status WHERE name = 'carina_risk'"
        engine.risk_due("P1")
        engine.risk_due("P1")
        assert jobs.execute(count).fetchone() == (1,)
        jobs.execute("UPDATE workflow_status SET status = 'SUCCESS'")
        jobs.commit()
        engine.risk_due("P1")
        assert jobs.execute(count).fetchone() == (2,)
    jobs.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_reports_whose_store_was_away_for_minutes_are_made_afterwards(
    ward: Ward, pacs: Pacs, make: MakeEngine, tmp_path: Path
) -> None:
    away = threading.Event()
    away.set()
    engine = make()

    def report(source: Dataset, result: StudyResult) -> bytes:
        if away.is_set():
            raise OutOfResourcesError("expected the object store to answer, found InternalError")
        return outbox(pacs).report(source, result)

    engine._outbox = replace(outbox(pacs, "PACS@host:104"), report=report)
    study = ward.take(film())
    until(lambda: scored(ward, study))
    with sqlite3.connect(tmp_path / "jobs.sqlite", timeout=30) as jobs:
        failed = "SELECT count(*) FROM workflow_status WHERE status = 'ERROR'"
        until(lambda: jobs.execute(failed).fetchone() == (1,), seconds=600)
        away.clear()
        engine.recover()
        until(lambda: {one.state for one in ward.index.deliveries()} == {"delivered"})
    jobs.close()
    assert len(pacs.taken) == 2


def test_a_destination_that_is_away_is_tried_again_with_longer_waits(
    ward: Ward, pacs: Pacs, make: MakeEngine
) -> None:
    pacs.away = True
    engine = make()
    study = ward.take(film())
    until(lambda: scored(ward, study) and pacs.tries >= 1)
    until(lambda: [one.attempts for one in ward.index.deliveries()].count(1) == 1)
    first = clock()
    assert {one.state for one in ward.index.deliveries()} == {"waiting"}
    later(engine, first, seconds=3600)
    engine.send_due()  # one is tried, the other waits: the destination is silent
    assert sum(one.attempts for one in ward.index.deliveries()) == 2
    pacs.away = False
    later(engine, first, seconds=7200)
    assert engine.send_due() == 2
    assert {one.state for one in ward.index.deliveries()} == {"delivered"}
    assert len(pacs.taken) == 2


def later(engine: Engine, moment: datetime, seconds: float) -> None:
    engine.clock = lambda: moment + timedelta(seconds=seconds)


def test_a_delivery_is_given_up_after_days(ward: Ward, pacs: Pacs, make: MakeEngine) -> None:
    engine = make()
    pacs.away = True
    ward.take(film())
    until(lambda: any(one.attempts for one in ward.index.deliveries()))
    one = next(one for one in ward.index.deliveries() if one.attempts)
    since = one.updated_at - timedelta(days=1)  # the first of those that are due
    ward.index.set_delivery(replace(one, attempts=MOST_ATTEMPTS - 1, updated_at=since))
    later(engine, clock(), seconds=7200)
    engine.send_due()
    failed = next(d for d in ward.index.deliveries() if d.delivery_id == one.delivery_id)
    assert (failed.state, failed.attempts) == ("failed", MOST_ATTEMPTS)
    assert "expected an answer" in failed.message


def test_every_hour_the_whole_ward_is_computed(ward: Ward, make: MakeEngine) -> None:
    engine = make()
    for name in ("P1", "P2", "P3"):
        ward.index.put_patient(Patient(name, admitted_at=clock() - timedelta(days=9)), AUDIT)
    hour = datetime.fromisoformat("2030-01-01T08:00:00+00:00")
    engine.every_minute(hour)
    engine.every_minute(hour + timedelta(minutes=1))
    current = [lambda name=name: ward.index.current_risk(name) for name in ("P1", "P2", "P3")]
    until(lambda: {one.at if (one := ask()) else None for ask in current} == {hour})


def test_whoever_left_has_the_risk_of_an_outpatient_until_its_inputs_no_longer_count(
    ward: Ward, make: MakeEngine
) -> None:
    now, hour = clock(), timedelta(hours=1)
    home = Patient("P1", "", date(1950, 1, 2), "F", "", "", now - 9 * hour, now - hour)
    ward.index.put_patient(home, AUDIT)
    at = now - hour / 2
    low = Observation("o", "P1", "spo2", 88, "%", at, at, "clinic")
    ward.index.add_observations([low], AUDIT)
    engine = make("enqueue")
    engine.compute_risk("P1", now)
    kept = ward.index.outpatient_risk("P1")
    assert kept
    assert kept.probability
    assert ward.index.current_risk("P1") is None
    assert engine.compute_ward(now + hour) == 0
    assert ward.index.outpatient_risk("P1") == kept
    engine.compute_ward(now + 4 * hour)
    later = ward.index.outpatient_risk("P1")
    assert later
    assert (later.status, later.inputs) == ("refused", ())


def test_one_patient_whose_risk_breaks_does_not_cost_the_others_theirs(
    ward: Ward, make: MakeEngine
) -> None:
    for name in ("P1", "P2"):
        ward.index.put_patient(Patient(name, admitted_at=clock() - timedelta(days=9)), AUDIT)

    def breaks_once(values: dict[str, object]) -> object:
        if not broken:
            broken.append(1)
            raise RuntimeError("broken")
        return SMALL_RISK.predict(values)

    broken: list[int] = []
    engine = make("enqueue")
    engine._risk_models = replace(SMALL_RISK, predict=breaks_once)  # type: ignore[arg-type]  # looser
    assert engine.compute_ward(clock()) == 2
    assert ward.index.current_risk("P1") is None
    assert ward.index.current_risk("P2") is not None


def test_old_jobs_are_forgotten_and_results_are_not(ward: Ward, make: MakeEngine) -> None:
    engine = make()
    study = ward.take(film())
    until(lambda: scored(ward, study))
    assert engine.forget_old_jobs() == 0
    later(engine, clock(), seconds=8 * 86400)
    until(lambda: engine.forget_old_jobs() >= 1)
    assert ward.index.current_result(study) is not None


def test_one_process_has_one_working_engine(make: MakeEngine) -> None:
    make()
    with pytest.raises(OutOfResourcesError, match="one working engine"):
        make("work")


def test_without_an_engine_at_work_nothing_is_done() -> None:
    with pytest.raises(OutOfResourcesError, match="found none"):
        workflows._worker()


def test_a_queue_that_is_away_acknowledges_nothing(ward: Ward, make: MakeEngine) -> None:
    make("enqueue").stop(grace_s=0)
    with pytest.raises(OutOfResourcesError):
        ward.take(film())
    engine = make("enqueue")
    engine.stop(grace_s=0)


def test_a_destination_that_cannot_be_one_is_told_at_start(ward: Ward, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, destinations=("somewhere",))
    with pytest.raises(UsageError, match="PACS@host:104"):
        Engine(settings, ward.index, ward.objects, SMALL).start()


CHILD = """
import sys, time
from pathlib import Path
from dataclasses import replace
from service.jobs.engine import Engine
from service.settings import Settings
from service.store.deletions import sweep
from tests.service.jobs.science import SMALL, SMALL_RISK, Pacs, Ward, film, outbox, score

def slow(radiograph, structures):
    print("scoring", flush=True)
    time.sleep(float(sys.argv[3]))
    return score(radiograph, structures)

folder = Path(sys.argv[1])
ward = Ward(folder)
engine = Engine(Settings(data_dir=folder), ward.index, ward.objects, replace(SMALL, score=slow),
                risk_models=SMALL_RISK, outbox=outbox(Pacs(), "PACS@host:104"))
engine.start()
ward.ingest._arrived = engine.study_arrived
for number in range(int(sys.argv[2])):
    print("taken", ward.take(film(patient_id=f"P{number}")), flush=True)
while ward.index.pending_studies() or ward.index.counts()["deliveries_delivered"] < 6:
    time.sleep(0.05)
print("done", flush=True)
"""


def child(folder: Path, films: int, slow_s: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(films), str(slow_s)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_a_kill_in_the_middle_loses_nothing_and_repeats_nothing(ward: Ward, tmp_path: Path) -> None:
    first = child(tmp_path, films=3, slow_s=600)
    assert first.stdout is not None
    seen: list[str] = []
    while sum(line.startswith("taken") for line in seen) < 3 or "scoring\n" not in seen:
        seen.append(first.stdout.readline())
        assert seen[-1], "the first process ended by itself"
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    first.stdout.close()
    acknowledged = [line.split()[1] for line in seen if line.startswith("taken")]

    out, _ = child(tmp_path, films=0, slow_s=0).communicate(timeout=60)
    assert out.count("scoring") == 3
    assert out.endswith("done\n")
    for study in acknowledged:
        assert [one.status for one in ward.index.results(study)] == ["ok"]
        kept = Counter(one.modality for one in ward.index.instances(study))
        assert kept == {"CR": 1, "SR": 1, "SEG": 1}
    assert ward.index.counts()["deliveries_delivered"] == 6


def test_a_study_that_was_deleted_and_is_sent_again_is_scored_at_once(
    ward: Ward, make: MakeEngine
) -> None:
    engine = make()
    ds = film()
    study = ward.take(ds)
    until(lambda: scored(ward, study))
    first = ward.index.current_result(study)
    assert first is not None
    ward.index.delete_study(study, "wrong patient", AUDIT)
    assert ward.take(ds) == study
    until(lambda: scored(ward, study))
    again = ward.index.current_result(study)
    assert again is not None
    assert again.result_id != first.result_id
    assert engine.recover() == 0


def test_a_study_that_is_deleted_while_it_is_judged_ends_without_a_result(
    ward: Ward, make: MakeEngine, tmp_path: Path
) -> None:
    judging, deleted = threading.Event(), threading.Event()

    def wait(*given: object, **named: object) -> object:
        judging.set()
        deleted.wait(60)
        return SMALL.score(*given, **named)  # type: ignore[arg-type]

    engine = make(models=replace(SMALL, score=wait))
    study = ward.take(film())
    assert judging.wait(60)
    ward.index.delete_study(study, "wrong patient", AUDIT)
    sweep(ward.index, ward.objects)
    deleted.set()
    job = f"study-{digest(study)}-1"
    until(
        lambda: (
            (found := engine.queues.jobs([job]).get(job)) is not None and found.status == "SUCCESS"
        )
    )
    assert ward.index.results(study) == ()
    assert not [one for one in (tmp_path / "objects").rglob("*") if one.is_file()]


def test_after_a_merge_the_film_is_compared_with_the_other_identifiers_film(
    ward: Ward, make: MakeEngine
) -> None:
    engine = make()
    earlier = ward.take(film(patient_id="P1", day="20260101"))
    later = ward.take(film(patient_id="P2", day="20260201"))
    until(lambda: scored(ward, earlier, later))
    assert ward.index.patient_results("P2")[0].change is None
    merge, stale = ward.index.merge_patients("P1", "P2", "registered twice", AUDIT)
    assert (merge.patient_id, stale) == ("P2", (later,))
    for study in stale:
        engine.study_arrived(study)
    until(lambda: scored(ward, later))
    changed = ward.index.current_result(later)
    assert changed is not None
    assert changed.change is not None
    assert changed.change.prior_study_uid == earlier


def test_what_is_older_than_the_rules_keep_is_deleted_once_a_day(
    ward: Ward, make: MakeEngine
) -> None:
    now = clock()
    engine = make(clock=lambda: now)
    engine.settings = engine.settings.model_copy(update={"keep_films_days": 30})
    study = ward.take(film())  # received on the first of March
    until(lambda: scored(ward, study))
    until(lambda: {one.state for one in ward.index.deliveries()} == {"delivered"})
    three = now.replace(hour=3, minute=0, second=0, microsecond=0)
    for _ in range(2):  # two workers tell the same minute
        engine.every_minute(three)
    until(lambda: not ward.index.studies())
    until(lambda: ward.index.counts()["leftovers"] == 0)
    assert [one.action for one in ward.index.audits()].count("delete") == 1
    engine.every_minute(three + timedelta(minutes=1))
