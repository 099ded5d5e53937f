"""A DICOMweb PACS may answer anything: it becomes films that were asked for, or one clear error."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydicom.uid import generate_uid

from service.dicom.pacs import OfferedFilm, OfferedStudy, Question
from service.dicom.pacs_web import WebPacs
from service.errors import DeliveryError
from tests.service.dicom.films import as_file, film

QUESTION = Question("P1", "", "1.1", date(2026, 3, 1), 365)
JSON, PARTS = "application/dicom+json", 'multipart/related; type="application/dicom"; boundary=b'
Answering = Callable[..., WebPacs]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """Start a server that gives one answer to everything; what it was asked is in `asked`."""
    servers: list[ThreadingHTTPServer] = []

    def start(body: bytes, kind: str = JSON, status: int = 200, location: str = "") -> WebPacs:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append((self.path, self.headers.get("Authorization", "")))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                if location:
                    self.send_header("Location", location)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_given: object) -> None:
                """Nothing is told on the terminal."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return WebPacs(f"http://127.0.0.1:{server.server_port}/web", "Bearer good")

    asked: list[tuple[str, str]] = []
    start.asked = asked  # type: ignore[attr-defined]
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def parts(*files: bytes) -> bytes:
    head = b"--b\r\nContent-Type: application/dicom\r\n\r\n"
    return b"".join(head + data + b"\r\n" for data in files) + b"--b--\r\n"


def test_a_study_is_read_with_patient_day_and_modalities(answering: Answering) -> None:
    found = {"0020000D": {"vr": "UI", "Value": ["1.2"]}, "00100020": {"Value": ["P1"]},
             "00080020": {"Value": ["20260201"]}, "00080061": {"Value": ["DX", "SR", None]},
             "00100021": {"vr": "LO"}, "00100010": {"Value": [{"Alphabetic": "Doe"}]}}  # fmt: skip
    pacs = answering(json.dumps([found]).encode())
    study = OfferedStudy("1.2", "P1", "", date(2026, 2, 1), ("DX", "SR"))
    assert pacs.studies(QUESTION) == (study,)
    ((path, authorization),) = answering.asked  # type: ignore[attr-defined]
    assert path.startswith("/web/studies?PatientID=P1&StudyDate=20250301-20260228")
    assert authorization == "Bearer good"


def test_no_content_is_no_study(answering: Answering) -> None:
    assert answering(b"", status=204).studies(QUESTION) == ()


@pytest.mark.parametrize(
    "answer",
    [
        b'{"0020000D": {"Value": 5}}',
        b'[{"0020000D": {"Value": 5}}]',
        b'[{"0020000D": 5}]',
        b'[{"0020000D": {"Value": [{"a": 1}]}}]',
        b'[{"0020000D": {"Value": ["../../secret"]}}]',
        b'[{"0020000D": {"Value": ["1.2\\n3"]}}]',
        b"[{}]",
        b"[5]",
        b"<html>JANE DOE</html>",
        b"[" * 100_000,
        b'[{"0020000D": {"Value": ["1.2"]}}' + b', {"0020000D": {"Value": ["1.2"]}}' * 600 + b"]",
        b" " * (9 << 20),
    ],
)
def test_a_malformed_answer_is_one_clear_error(answering: Answering, answer: bytes) -> None:
    with pytest.raises(DeliveryError, match="expected") as told:
        answering(answer).studies(QUESTION)
    assert "JANE" not in str(told.value)


@pytest.mark.parametrize("status", [302, 401, 404, 500])
def test_another_status_is_an_error_and_no_redirect_is_followed(
    answering: Answering, status: int
) -> None:
    elsewhere = answering(b"[]")
    pacs = answering(b"", status=status, location=elsewhere.name)
    with pytest.raises(DeliveryError, match=str(status)):
        pacs.studies(QUESTION)
    assert len(answering.asked) == 1  # type: ignore[attr-defined]


def test_nobody_there_is_an_error() -> None:
    with pytest.raises(DeliveryError, match="ConnectError"):
        WebPacs("http://127.0.0.1:1/web").studies(QUESTION)


def test_a_film_comes_whole(answering: Answering) -> None:
    ds = film()
    taken: list[bytes] = []
    wanted = OfferedFilm(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
    answering(parts(as_file(ds)), PARTS).retrieve([wanted], taken.append)
    assert taken == [as_file(ds)]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (parts(as_file(film())), PARTS),  # another film than the one that was asked for
        (parts(), PARTS),
        (parts(b"no film"), PARTS),
        (parts(as_file(film()))[:-20], PARTS),
        (b"no multipart", PARTS),
        (b"[]", JSON),
        (b"x" * (3 << 20), "application/dicom"),
    ],
)
def test_what_is_not_the_film_that_was_asked_for_is_not_taken(
    answering: Answering, body: bytes, kind: str
) -> None:
    pacs = replace(answering(body, kind), max_object_bytes=1 << 20)
    taken: list[bytes] = []
    with pytest.raises(DeliveryError):
        pacs.retrieve([OfferedFilm("1.2", "1.2.3", generate_uid())], taken.append)
    assert taken == []


def test_an_answer_without_end_is_given_up(answering: Answering) -> None:
    pacs = replace(answering(b"[]"), limit_s=-1.0)
    with pytest.raises(DeliveryError, match="going on"):
        pacs.studies(QUESTION)
