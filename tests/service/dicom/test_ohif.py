"""OHIF's requests, in its order, as a page of another origin sends them.

Written down from OHIF 3.12 in a browser (`tests/e2e/test_ohif.py` runs the viewer itself). Where it
makes them: extensions/default/src/DicomWebDataSource `qido.js` (`mapParams`, `seriesInStudy`),
`wado/retrieveMetadataLoaderAsync.js`, `retrieveBulkData.ts`, `utils/getWADORSImageId.js`, and
platform/core/src/utils/generateAcceptHeader.ts for frames.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import requests
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless

from tests.service.dicom.conftest import VIEWER, Ward
from tests.service.dicom.films import as_file, film

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
JSON = "application/dicom+json"
FRAMES = "multipart/related; type=application/octet-stream; transfer-syntax=*"
QUOTED_FRAMES = 'multipart/related; type="application/octet-stream"; transfer-syntax="*"'
BULK = 'multipart/related; type="application/octet-stream"'
PAGE = "limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060"
LISTED = ("0020000D", "00080020", "00080030", "00080050", "00100020", "00100010", "00100030",
          "00201208", "00081030", "00080061", "00080090")  # qido.js, processResults  # fmt: skip
OF_SERIES = ("0020000D", "0020000E", "00080060", "00200011", "00201209", "0008103E")
TYPED = {  # what the columns of the work list add to a query, and how many of two studies it finds
    "": 2,
    "&PatientName=*m%C3%BCl*": 1,
    "&00100020=*p1*": 1,
    "&00100020=P1": 1,
    "&AccessionNumber=*A1*": 1,
    "&StudyDescription=*che*": 1,
    "&ModalitiesInStudy=CR%2CDX": 2,
    "&StudyDate=19700102-20301231": 2,
    "&StudyInstanceUID={study}": 1,
    "&StudyInstanceUID={study}%5C1.2.3": 1,
}
VIEWPORT = {  # what the viewport and its metadata providers read, as DICOM JSON numbers and texts
    "00280010": [256], "00280011": [240], "00280100": [16], "00280101": [12], "00280102": [11],
    "00280103": [0], "00280002": [1], "00280004": ["MONOCHROME2"], "00181164": [0.2, 0.2],
    "00281050": [2048], "00281051": [4096], "00080060": ["CR"], "00200013": [1],
    "00080016": ["1.2.840.10008.5.1.4.1.1.1"], "00083002": [JPEG2000Lossless],
}  # fmt: skip


@dataclass(frozen=True)
class Viewer:
    """A browser's page that acts for a user by a bearer token."""

    url: str
    session: requests.Session

    def get(self, address: str, accept: str = JSON) -> requests.Response:
        """What a request brings, after the preflight that a browser sends before it."""
        address = address if address.startswith("http") else self.url + address
        asked = {"Origin": VIEWER, "Access-Control-Request-Method": "GET",
                 "Access-Control-Request-Headers": "accept,authorization"}  # fmt: skip
        preflight = requests.options(address, headers=asked, timeout=10)
        assert preflight.status_code == 200, preflight.text
        assert preflight.headers["Access-Control-Allow-Origin"] == VIEWER
        answer = self.session.get(address, headers={"Origin": VIEWER, "Accept": accept})
        assert answer.status_code == 200, answer.text
        assert answer.headers["Access-Control-Allow-Origin"] == VIEWER
        return answer

    def rows(self, address: str) -> list[dict[str, Any]]:
        """The rows of a JSON answer."""
        answer = self.get(address)
        assert answer.headers["Content-Type"] == JSON
        rows: list[dict[str, Any]] = answer.json()
        return rows


@pytest.fixture
def viewer(url: str, session: requests.Session) -> Viewer:
    return Viewer(url, session)


@pytest.fixture
def study(ward: Ward) -> Dataset:
    """A compressed film with a window and an overlay, beside a film of somebody else."""
    ds = film(shape=(256, 240))
    ds.WindowCenter, ds.WindowWidth = "2048", "4096"
    ds.add_new(0x60003000, "OW", bytes(range(256)) * 32)
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    other = film(patient_id="P2", seed=1)
    other.PatientName, other.StudyDescription, other.AccessionNumber = "Smith^John", "Hip", "B2"
    for one in (ds, other):
        ward.ingest.take(as_file(one), source="import", actor="X")
    return ds


def one_part(answer: requests.Response) -> tuple[str, bytes]:
    """Content type and body of a multipart message of one part."""
    found = re.fullmatch(
        rb"--(?P<edge>\w+)\r\nContent-Type: (?P<kind>[^\r]+)\r\n\r\n"
        rb"(?P<body>.*)\r\n--(?P=edge)--\r\n",
        answer.content,
        re.DOTALL,
    )
    assert found is not None
    return found["kind"].decode(), found["body"]


def test_the_work_list_finds_what_is_typed_into_its_columns(viewer, study) -> None:
    for typed, count in TYPED.items():
        found = viewer.rows(f"/studies?{PAGE}{typed.format(study=study.StudyInstanceUID)}")
        listed = {one["0020000D"]["Value"][0]: one for one in found}
        ours = listed[study.StudyInstanceUID]
        assert len(listed) == count, typed
        assert all(ours[tag]["vr"] for tag in LISTED)
    assert ours["00100010"]["Value"] == [{"Alphabetic": "Müller^Anna"}]
    assert ours["00081030"]["Value"] == ["Chest"]


def test_a_study_is_opened_as_ohif_opens_it(viewer: Viewer, study: Dataset) -> None:
    address = f"/studies/{study.StudyInstanceUID}"
    pixels = study.pixel_array.copy()

    # seriesInStudy, and the series loader
    for query in ("", "?includefield=00080021%2C00080031%2C0008103E%2C00200011"):
        (series,) = viewer.rows(f"{address}/series{query}")
        assert all(series[tag]["vr"] for tag in OF_SERIES)
    address += f"/series/{series['0020000E']['Value'][0]}"

    (instance,) = viewer.rows(f"{address}/metadata")
    assert {tag: instance[tag]["Value"] for tag in VIEWPORT} == VIEWPORT
    address += f"/instances/{instance['00080018']['Value'][0]}"

    for accept in (FRAMES, QUOTED_FRAMES):
        answer = viewer.get(f"{address}/frames/1", accept)
        assert answer.headers["Content-Type"].startswith('multipart/related; type="image/jp2"')
        kind, body = one_part(answer)
        assert kind == f"image/jp2; transfer-syntax={JPEG2000Lossless}"
        assert body.startswith(b"\xff\x4f\xff\x51")  # a JPEG 2000 code stream
    _, body = one_part(viewer.get(f"{address}/frames/1", BULK))
    assert np.array_equal(np.frombuffer(body, "<u2").reshape(pixels.shape), pixels)

    overlay = instance["60003000"]["BulkDataURI"]
    assert one_part(viewer.get(overlay, BULK))[1] == bytes(range(256)) * 32
    assert viewer.get(f"{address}/rendered", "image/jpeg").content[:2] == b"\xff\xd8"


def test_nobody_else_may_read_along(url: str, study: Dataset) -> None:
    stranger = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "GET"}
    preflight = requests.options(f"{url}/studies", headers=stranger, timeout=10)
    assert preflight.status_code == 400
    for origin in (VIEWER, "https://elsewhere.example"):
        answer = requests.get(f"{url}/studies", headers={"Origin": origin}, timeout=10)
        assert answer.status_code == 401
        assert (answer.headers.get("Access-Control-Allow-Origin") == VIEWER) == (origin == VIEWER)
        assert "Access-Control-Allow-Credentials" not in answer.headers  # no cookies
