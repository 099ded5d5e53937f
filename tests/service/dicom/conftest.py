"""A real index, real files and a real DICOM port on a free number."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from dicomweb_client import DICOMwebClient
from fastapi import FastAPI, Request

from service.api.headers import install_security_headers
from service.api.problems import install_error_handlers
from service.decoder import Decoder
from service.decoding import InProcess
from service.dicom import web
from service.dicom.commitment import Commitments
from service.dicom.description import Descriptions
from service.dicom.find import Finder
from service.dicom.ingest import Ingest
from service.dicom.listener import Listener, serve
from service.dicom.origins import install_origins
from service.errors import NotAuthenticatedError
from service.records import AuditEvent, Role, User
from service.settings import Settings
from service.store.index import Index
from service.store.objects import FileObjects
from tests.service.served import served

VIEWER = "https://viewer.hospital.example"
"""Origin of a web viewer that may use DICOMweb."""

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass
class Ward:
    """The parts of a service that a DICOM test looks at."""

    folder: Path
    index: Index
    objects: FileObjects
    ingest: Ingest
    arrived: list[str] = field(default_factory=list)

    def descriptions(self) -> Descriptions:
        """What reads the headers of the objects."""
        return Descriptions(self.index, self.objects, InProcess())

    def audit(self) -> AuditEvent:
        """An audit row of no importance."""
        return AuditEvent(NOW, "TESTER", "test", "success")

    def files(self) -> list[Path]:
        """Every object on the disk."""
        return sorted(path for path in (self.folder / "objects").rglob("*") if path.is_file())


@pytest.fixture(scope="session")
def empty_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without rows, to copy: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("index") / "empty.sqlite"
    index = Index(f"sqlite:///{path}")
    index.migrate()
    index.close()
    return path


@pytest.fixture
def ward(tmp_path: Path, empty_index: Path) -> Iterator[Ward]:
    shutil.copy(empty_index, tmp_path / "carina.sqlite")
    index = Index(f"sqlite:///{tmp_path / 'carina.sqlite'}")
    objects = FileObjects(tmp_path / "objects")
    arrived: list[str] = []
    ingest = Ingest(index, objects, arrived.append, lambda: NOW, max_object_mb=16)
    yield Ward(tmp_path, index, objects, ingest, arrived)
    index.close()


@pytest.fixture
def listen(ward: Ward) -> Iterator[Callable[..., Listener]]:
    """Open a DICOM port with some settings; it is closed after the test."""
    open_ports: list[Listener] = []

    def start(
        finder: Finder | None = None, commitments: Commitments | None = None, **chosen: object
    ) -> Listener:
        defaults = {"dicom_host": "127.0.0.1", "dicom_port": 0}
        settings = Settings.model_validate({**defaults, **chosen})
        open_ports.append(serve(settings, ward.ingest, finder, commitments))
        return open_ports[-1]

    yield start
    for listener in open_ports:
        listener.stop()


@pytest.fixture(scope="session")
def decoder() -> Iterator[Decoder]:
    """A decoding process for all tests, with little patience."""
    with closing(Decoder(timeout_s=20.0)) as made:
        yield made


def user(request: Request) -> User:
    if request.headers.get("authorization") != "Bearer good":
        raise NotAuthenticatedError("log in first")
    return User("reader", Role.RADIOLOGIST, "", NOW)


@pytest.fixture
def url(ward: Ward, decoder: Decoder) -> Iterator[str]:
    """Address of a running server over the ward."""
    app = FastAPI()
    app.include_router(
        web.router(
            ward.index,
            ward.objects,
            ward.ingest,
            user,
            max_request_mb=8,
            decoding=decoder,
            clock=lambda: NOW,
        )
    )
    install_error_handlers(app)
    install_security_headers(app)
    install_origins(app, Settings(dicomweb_origins=(VIEWER,)))
    with served(app) as address:
        yield f"{address}/dicom-web"


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        opened.headers["Authorization"] = "Bearer good"
        yield opened


@pytest.fixture
def client(url: str, session: requests.Session) -> DICOMwebClient:
    return DICOMwebClient(url, session=session)
