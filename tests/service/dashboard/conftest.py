"""One filled ward for all tests of the pages; its clock stands still."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from bs4 import BeautifulSoup
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service.context import Services
from service.dashboard import views
from service.dashboard.assets import BUILT, ENTRIES, MANIFEST, Assets
from tests.service.dashboard import ward

MEMORY = Path("/dev/shm")


@pytest.fixture(scope="session")
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: every commit of the index waits for its disk."""
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def filled(memory: Path) -> Path:
    """A data folder that tests copy, because filling it takes seconds."""
    ward.make(memory / "filled")
    return memory / "filled"


@pytest.fixture(scope="session")
def services(memory: Path, filled: Path) -> Iterator[Services]:
    made = ward.services(shutil.copytree(filled, memory / "read"))
    yield made
    made.index.close()


@pytest.fixture(scope="session")
def built() -> Assets:
    """The front end as npm built it."""
    if not (BUILT / MANIFEST).is_file():
        pytest.skip("left out: the front end is not built (npm ci && npm run build)")
    return Assets.load()


def bare() -> Assets:
    """Names of a front end without its files: what HTML needs."""
    return Assets({}, {f"src/{name}.ts": {"file": f"{name}.js"} for name in ENTRIES})


@pytest.fixture(scope="session")
def app(services: Services) -> FastAPI:
    app = FastAPI()
    app.include_router(views.router(services, bare()))
    return app


class Visit:
    """A logged-in browser without scripts: pages come back parsed."""

    def __init__(self, app: FastAPI, role: str) -> None:
        self.client = TestClient(app, base_url="http://ward", follow_redirects=False)
        answer = self.client.post(
            "/login",
            data={"username": role, "password": ward.PASSWORD},
            headers={"origin": "http://ward"},
        )
        assert answer.status_code == 303, answer.text

    def page(self, path: str, status: int = 200) -> BeautifulSoup:
        answer = self.client.get(path)
        assert answer.status_code == status, answer.text
        return BeautifulSoup(answer.text, "html.parser")


@pytest.fixture(scope="session")
def clinician(app: FastAPI) -> Visit:
    return Visit(app, "clinician")


@pytest.fixture(scope="session")
def admin(app: FastAPI) -> Visit:
    return Visit(app, "admin")


@pytest.fixture(scope="session")
def researcher(app: FastAPI) -> Visit:
    return Visit(app, "researcher")
