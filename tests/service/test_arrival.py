"""However the films of a study arrive, it ends in one result in force that has seen them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from tests.service.jobs.science import film
from tests.service.jobs.test_engine import until
from tests.service.listening import SUCCESS, Node, running

pytestmark = pytest.mark.timeout(600)
VIEWS = ("PA", "LATERAL", "OBLIQUE")
Send = Callable[[Node, list[Dataset]], None]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("node")) as node:
        yield node


def two_studies(views: tuple[str, ...] = VIEWS) -> list[Dataset]:
    """Films of two studies of two patients, in turn."""
    patients = {generate_uid(): generate_uid() for _ in range(2)}
    return [
        film(study_uid=study, patient_id=patient[-16:], view=view)
        for view in views
        for study, patient in patients.items()
    ]


def interleaved_on_one_association(node: Node, films: list[Dataset]) -> None:
    with node.association() as send:
        assert {send(ds) for ds in films} == {SUCCESS}


def interleaved_on_two_associations(node: Node, films: list[Dataset]) -> None:
    with node.association() as one, node.association() as two:
        statuses = [send(ds) for ds, send in zip(films, (one, two, two, one) * 9, strict=False)]
    assert set(statuses) == {SUCCESS}


def one_association_each(node: Node, films: list[Dataset]) -> None:
    assert {node.send(ds) for ds in films} == {SUCCESS}


def one_association_each_at_once(node: Node, films: list[Dataset]) -> None:
    with ThreadPoolExecutor(len(films)) as pool:
        assert set(pool.map(node.send, films)) == {SUCCESS}


def each_film_twice_in_another_order(node: Node, films: list[Dataset]) -> None:
    one_association_each(node, films[::-1])
    one_association_each(node, films)


@pytest.mark.parametrize(
    "send",
    [
        interleaved_on_one_association,
        one_association_each_at_once,
        pytest.param(interleaved_on_two_associations, marks=pytest.mark.slow),
        pytest.param(one_association_each, marks=pytest.mark.slow),
        pytest.param(each_film_twice_in_another_order, marks=pytest.mark.slow),
    ],
)
def test_each_study_ends_in_one_result_that_has_seen_every_film(node: Node, send: Send) -> None:
    films = two_studies()
    send(node, films)
    for study in {str(ds.StudyInstanceUID) for ds in films}:
        until(lambda study=study: has_seen(node, study, len(VIEWS)), seconds=100)
        assert_one_in_force(node, study)
        frontal = next(ds for ds in films if ds.StudyInstanceUID == study)
        result = node.index.current_result(study)
        assert result is not None
        assert (result.status, result.sop_instance_uid) == ("ok", frontal.SOPInstanceUID)


def test_the_first_frontal_film_is_scored_while_the_study_is_still_coming(node: Node) -> None:
    films = two_studies(VIEWS[:2])
    with node.association() as send:
        for number, ds in enumerate(films):
            assert send(ds) == SUCCESS
            until(lambda ds=ds: node.index.current_result(ds.StudyInstanceUID), seconds=100)
            seen = 1 + number // 2
            until(lambda ds=ds, n=seen: has_seen(node, ds.StudyInstanceUID, n), seconds=100)
    for study in {str(ds.StudyInstanceUID) for ds in films}:
        assert_one_in_force(node, study)
        assert len(node.index.results(study)) == 2


def test_a_frontal_film_that_comes_late_amends_what_was_refused_without_it(node: Node) -> None:
    study, patient = generate_uid(), generate_uid()[-16:]
    lateral = film(study_uid=study, patient_id=patient, view="LATERAL", corner=0.0)
    assert node.send(lateral) == SUCCESS
    until(lambda: has_seen(node, study, 1), seconds=100)
    assert node.send(film(study_uid=study, patient_id=patient)) == SUCCESS
    until(lambda: has_seen(node, study, 2), seconds=100)
    assert_one_in_force(node, study)
    assert [one.status for one in node.index.results(study)] == ["refused", "ok"]


def has_seen(node: Node, study: str, revision: int) -> bool:
    result = node.index.current_result(study)
    return result is not None and result.revision == revision


def assert_one_in_force(node: Node, study: str) -> None:
    """Each result supersedes the one before; only the last has seen everything."""
    results = node.index.results(study)
    assert [one.supersedes for one in results] == [None, *(r.result_id for r in results[:-1])]
    revisions = [one.revision for one in results]
    assert revisions == sorted(set(revisions))
    assert results[-1] == node.index.current_result(study)
