"""A PACS asked by C-FIND and C-MOVE: what it refuses says what to do, and no wait is for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from itertools import repeat

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from service.dicom import pacs_dimse
from service.dicom.pacs import OfferedFilm, OfferedStudy, Question
from service.dicom.pacs_dimse import FIND, MOVE, DimsePacs
from service.errors import DeliveryError

QUESTION = Question("P1", "", "1.1", date(2026, 3, 1), 365)
FILM = OfferedFilm("1.2", "1.2.3", "1.2.3.4")


def match(**keys: object) -> Dataset:
    ds = Dataset()
    for keyword, value in keys.items():
        setattr(ds, keyword, value)
    return ds


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[dict[str, Callable[..., object]], DimsePacs]]:
    """A node that answers as the table says: its shutdown takes half a second."""
    answers: dict[str, Callable[..., object]] = {}
    ae = AE("PACS")
    ae.add_supported_context(FIND)
    ae.add_supported_context(MOVE)
    handlers = [
        (evt.EVT_C_FIND, lambda event: iter(answers["find"](event.identifier))),  # type: ignore[call-overload]
        (evt.EVT_C_MOVE, lambda _event: iter(answers["move"]())),  # type: ignore[call-overload]
    ]
    running = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    yield answers, DimsePacs(f"PACS@127.0.0.1:{running.server_address[1]}", "CARINA")
    running.shutdown()


@pytest.fixture
def node(server) -> Callable[..., DimsePacs]:
    """Let the node answer queries and moves with what is handed in."""
    answers, pacs = server

    def answering(find: Callable[[Dataset], object], move: object = ()) -> DimsePacs:
        answers.update(find=find, move=lambda: move)
        return pacs

    return answering


def test_a_query_names_the_patient_and_the_days_and_reads_the_answer(node) -> None:
    asked: list[Dataset] = []

    def find(identifier: Dataset) -> list[tuple[int, Dataset | None]]:
        asked.append(identifier)
        found = match(StudyInstanceUID="1.2", PatientID="P1", StudyDate="20260201",
                      ModalitiesInStudy=["DX", "SR"])  # fmt: skip
        return [(0xFF00, found)]

    study = OfferedStudy("1.2", "P1", "", date(2026, 2, 1), ("DX", "SR"))
    assert node(find).studies(QUESTION) == (study,)
    (identifier,) = asked
    assert identifier.QueryRetrieveLevel == "STUDY"
    assert (identifier.PatientID, identifier.StudyDate) == ("P1", "20250301-20260228")


def test_an_answer_without_a_study_uid_is_an_error(node) -> None:
    with pytest.raises(DeliveryError, match="StudyInstanceUID"):
        node(lambda _asked: [(0xFF00, match(StudyInstanceUID=""))]).studies(QUESTION)


def test_a_refused_query_says_its_status(node) -> None:
    with pytest.raises(DeliveryError, match="0xA700"):
        node(lambda _asked: [(0xA700, None)]).studies(QUESTION)


def test_a_pacs_that_does_not_know_us_is_told_apart(node) -> None:
    # pynetdicom answers 0xA801 where the handler gives no address.
    with pytest.raises(DeliveryError, match="enter it there"):
        node(lambda _asked: [], [(None, None)]).retrieve([FILM], lambda _data: None)


def test_films_that_do_not_reach_us_are_an_error(node) -> None:
    with pytest.raises(DeliveryError, match="CARINA_ALLOWED_AE_TITLES"):
        node(lambda _asked: [], [("127.0.0.1", 1)]).retrieve([FILM], lambda _data: None)


def test_answers_without_end_are_given_up(node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacs_dimse, "MOST_ANSWERS", 20)
    endless = node(lambda _asked: repeat((0xFF00, match(StudyInstanceUID="1.2"))))
    with pytest.raises(DeliveryError, match="at most"):
        endless.studies(QUESTION)
    with pytest.raises(DeliveryError, match="going on"):
        replace(endless, limit_s=-1.0).studies(QUESTION)


def test_nobody_there_is_an_error() -> None:
    with pytest.raises(DeliveryError, match="none"):
        DimsePacs("PACS@127.0.0.1:1", "CARINA").studies(QUESTION)
