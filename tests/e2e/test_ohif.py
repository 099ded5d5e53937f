"""OHIF itself, in a browser, lists the studies of a running service and shows a film.

`npm pack @ohif/app` brings the built viewer; unpacked, its folder `dist` is named by `OHIF_DIST`.
"""

from __future__ import annotations

import functools
import http.server
import io
import json
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from PIL import Image

from models.structures.anatomy import STRUCTURES
from service.dicom.objects import structures_segmentation
from tests.conftest import ROOT
from tests.e2e.conftest import CHROMIUM
from tests.e2e.films import WARD
from tests.e2e.node import PASSWORD, Node, free_port, wait_for
from tests.service.dicom.results import scored

DIST = Path(os.environ.get("OHIF_DIST", ""))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.peer,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not CHROMIUM.is_file(), reason="left out: Chromium is not installed"),
    pytest.mark.skipif(
        not (DIST / "app-config.js").is_file(), reason="left out: OHIF_DIST names no built OHIF"
    ),
]
GREY = """async ([bytes]) => {
    const picture = await createImageBitmap(new Blob([new Uint8Array(bytes)]));
    const canvas = new OffscreenCanvas(picture.width, picture.height).getContext('2d');
    canvas.drawImage(picture, 0, 0);
    return new Set(canvas.getImageData(0, 0, picture.width, picture.height).data).size;
}"""


def configured(root: str) -> str:
    """The configuration of docs/operations.md, for a DICOMweb address."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    script = text.partition("```js\n")[2].partition("```")[0]
    return script.replace("https://carina.hospital.example/dicom-web", root)


class Files(http.server.SimpleHTTPRequestHandler):
    """The viewer's files; DICOMweb is passed on, as a proxy of one origin does."""

    carina = root = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/dicom-web"):
            kept = {name: self.headers[name] for name in ("Cookie", "Accept") if self.headers[name]}
            answer = httpx.get(self.carina + self.path, headers=kept, timeout=60)
            self._answer(answer.content, answer.headers["content-type"], answer.status_code)
        elif path.endswith("app-config.js"):
            self._answer(configured(self.root).encode(), "text/javascript", 200)
        else:
            self.path = self.path if (DIST / path.lstrip("/")).is_file() else "/index.html"
            super().do_GET()

    def _answer(self, body: bytes, kind: str, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        pass


@dataclass
class Viewer:
    """A served OHIF beside its Carina."""

    node: Node
    origin: str
    study_uid: str

    def configure(self, root: str) -> None:
        Files.carina, Files.root = self.node.base, root


@pytest.fixture(scope="module")
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture(scope="module")
def viewer(stack: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    node = Node(tmp_path_factory.mktemp("ohif") / "data")
    node.settings = {"CARINA_DICOMWEB_ORIGINS": json.dumps([origin]), "CARINA_WORKERS": "0"}
    for name, role in (("reader", "radiologist"), ("admin", "admin")):
        node.command("user", "add", name, "--role", role)
    stack.callback(node.kill)
    node.start()
    film = WARD / "P-1001-1.dcm"
    with closing(node.client("admin")) as sender:
        kind = {"content-type": "application/dicom"}
        for data in (film.read_bytes(), segmentation(pydicom.dcmread(film))):
            sender.post("/dicom-web/studies", content=data, headers=kind).raise_for_status()
    handler = functools.partial(Files, directory=str(DIST))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Viewer(node, origin, str(pydicom.dcmread(film).StudyInstanceUID))
        server.shutdown()


def segmentation(film: pydicom.Dataset) -> bytes:
    """A SEG of the film as `CARINA_SEGMENTATION_PLANE` has it made; structures overlap."""
    drawn = np.zeros((len(STRUCTURES), film.Rows, film.Columns), np.bool_)
    for number, mask in enumerate(drawn):
        mask[40 + 30 * number : 130 + 30 * number, 100 + 20 * number : 260 + 20 * number] = True
    return structures_segmentation(film, scored(), drawn, plane=True)


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    opened.asked = []
    opened.on("response", lambda one: opened.asked.append((one.url, one.status)))
    yield opened
    context.close()


def shows_film(page: Any) -> bool:
    """Whether the viewport has many shades of grey."""
    canvas = page.locator(".cornerstone-canvas").first
    return bool(page.evaluate(GREY, [list(canvas.screenshot())]) > 100)


def test_a_page_of_another_origin_shows_a_film_with_a_token(viewer: Viewer, page: Any) -> None:
    viewer.configure(f"{viewer.node.base}/dicom-web")
    with closing(viewer.node.client("reader")) as reader:
        token = reader.headers["Authorization"].partition(" ")[2]
    page.goto(f"{viewer.origin}/viewer?StudyInstanceUIDs={viewer.study_uid}&token={token}")
    page.locator(".cornerstone-canvas").first.wait_for(timeout=120_000)
    wait_for("the film", lambda: shows_film(page), 120)
    assert {status for address, status in page.asked if "/dicom-web" in address} == {200}


def colours(page: Any) -> int:
    """How many pixels of the viewport are not grey."""
    canvas = page.locator(".cornerstone-canvas").first
    shown = np.asarray(Image.open(io.BytesIO(canvas.screenshot())).convert("RGB"), np.int16)
    return int((np.ptp(shown, axis=2) > 20).sum())


def test_a_segmentation_in_a_plane_is_shown_over_its_film(viewer: Viewer, page: Any) -> None:
    viewer.configure(f"{viewer.node.base}/dicom-web")
    with closing(viewer.node.client("reader")) as reader:
        token = reader.headers["Authorization"].partition(" ")[2]
    page.goto(f"{viewer.origin}/viewer?StudyInstanceUIDs={viewer.study_uid}&token={token}")
    wait_for("the film", lambda: shows_film(page), 120)
    for words in ("Skip all", "Confirm and hide"):
        page.get_by_text(words, exact=True).first.click()
    before = colours(page)  # the viewer's own marks
    page.get_by_text("Carina structures (research use only)").first.dblclick()
    page.get_by_text("Yes", exact=True).first.click(timeout=60_000)
    wait_for("the structures", lambda: colours(page) > before + 10_000, 60)


def test_a_page_of_the_same_origin_needs_the_login_alone(viewer: Viewer, page: Any) -> None:
    viewer.configure("/dicom-web")
    with httpx.Client(base_url=viewer.node.base) as login:
        form = {"username": "reader", "password": PASSWORD}
        login.post("/login", data=form, headers={"Origin": viewer.node.base})
        held = [{"name": one.name, "value": one.value or "", "url": viewer.origin}
                for one in login.cookies.jar]  # fmt: skip
    page.context.add_cookies(held)
    page.goto(viewer.origin)
    page.get_by_text("P-1001").first.wait_for(timeout=60_000)
    page.goto(f"{viewer.origin}/viewer?StudyInstanceUIDs={viewer.study_uid}")
    page.locator(".cornerstone-canvas").first.wait_for(timeout=120_000)
    wait_for("the film", lambda: shows_film(page), 120)
    assert {status for address, status in page.asked if "/dicom-web" in address} == {200}
