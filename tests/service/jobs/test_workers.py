"""Several workers on one database: those that are left finish what a dead one has begun."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from service.dicom.ingest import Ingest
from service.jobs.engine import Engine, clock
from service.records import StudyResult
from service.store.index import Index
from tests.service.jobs.science import SMALL, as_file, film
from tests.service.jobs.test_engine import until
from tests.service.jobs.worker import STEPS, Stores

pytestmark = [pytest.mark.peer, pytest.mark.timeout(600)]
DEATHS = (("sqlite", "after"), ("postgresql", "before"), ("postgresql", "after"))


@contextmanager
def sender(stores: Stores) -> Iterator[tuple[Index, Ingest]]:
    """A process that takes in and enqueues, as a listener does, beside the workers."""
    settings, index, objects = stores.open("listener")
    with closing(index):
        engine = Engine(settings, index, objects, SMALL, role="enqueue")
        engine.start()
        try:
            yield index, Ingest(index, objects, engine.study_arrived, clock)
        finally:
            engine.stop()


def take(ingest: Ingest, patients: int) -> list[str]:
    """Two studies of each patient, days apart, so that the second has a prior."""
    films = [
        film(patient_id=f"P{number}", day=day)
        for number in range(patients)
        for day in ("20260227", "20260301")
    ]
    return [ingest.take(as_file(ds), source="import", actor="test").study_uid for ds in films]


def assert_each_once(index: Index, studies: list[str]) -> None:
    """One result in force, judged again only for another prior; each report once, delivered."""
    for study in studies:
        results = index.results(study)
        assert [one.status for one in results] == ["ok"] * len(results)
        assert [one.supersedes for one in results] == [None, *(r.result_id for r in results[:-1])]
        priors = [one.prior_sop_instance_uid for one in results]
        assert len(set(priors)) == len(priors)
        kept = Counter(one.modality for one in index.instances(study))
        told = {said(one) for one in results} & reports(index).keys()
        assert said(results[-1]) in told  # one that was replaced before it was sent is not sent
        assert kept == {"CR": 1, "SR": len(told), "SEG": len(told)}
    assert set(reports(index).values()) == {2}
    assert {one.state for one in index.deliveries()} == {"delivered"}


def said(result: StudyResult) -> tuple[object, ...]:
    """What a report tells: results that say the same share one."""
    return result.study_uid, result.severity, result.change


def reports(index: Index) -> Counter[tuple[object, ...]]:
    """How often each thing that was said is on its way, or sent: once as SR and once as SEG."""
    results = {
        one.result_id: one for study in index.studies() for one in index.results(study.study_uid)
    }
    return Counter(said(results[one.result_id]) for one in index.deliveries())


def is_done(index: Index, studies: list[str]) -> bool:
    """Whether each study is judged and each of its reports is sent."""
    current = [index.current_result(study) for study in studies]
    if index.pending_studies() or None in current:
        return False
    if not all(one and one.prior_sop_instance_uid for one in current[1::2]):
        return False  # the second study of each patient will be compared with the first
    sent = reports(index)
    return all(sent[said(one)] == 2 for one in current if one) and all(
        delivery.state == "delivered" for delivery in index.deliveries()
    )


def survive(stores: Stores, deaths: list[tuple[str, str]], patients: int) -> None:
    """Let workers die in their steps while another one lives; then everything is done once."""
    survivor = stores.worker()
    dying = [stores.worker(*death) for death in deaths]
    try:
        with sender(stores) as (index, ingest):
            studies = take(ingest, patients)
            for one in dying:
                assert one.wait(timeout=200) == -signal.SIGKILL
            (stores.folder / "go").touch()
            until(lambda: is_done(index, studies), seconds=200)
            assert survivor.poll() is None
            assert_each_once(index, studies)
    finally:
        for one in (survivor, *dying):
            one.kill()
            one.wait()


def test_the_studies_of_killed_workers_are_taken_over_and_end_in_one_result_each(
    postgresql_url: str, s3_endpoint: str, tmp_path: Path
) -> None:
    stores = Stores(tmp_path, postgresql_url, s3_endpoint)
    survive(stores, [("before", "score"), ("after", "add_result")], patients=2)


@pytest.mark.slow
@pytest.mark.parametrize(("database", "when"), DEATHS)
@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_in_a_step_leaves_it_to_the_others(
    database: str, when: str, step: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgresql_url") if database == "postgresql" else ""
    survive(Stores(tmp_path, url), [(when, step)], patients=2)
