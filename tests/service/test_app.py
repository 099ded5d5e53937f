"""How the service starts, who it lets in, and what it says when it cannot start."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import threading
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request

from service import app, web
from service.__main__ import main
from service.commands import demo
from service.errors import NotAllowedError, OutOfResourcesError, UsageError
from service.jobs.engine import Engine
from service.records import AuditEvent, Role, User
from service.settings import Settings
from tests.e2e.node import free_port
from tests.service.jobs.science import NOW


@pytest.mark.parametrize("port", ["http_port", "dicom_port"])
def test_a_port_that_is_taken_is_said_before_anything_is_started(tmp_path: Path, port: str) -> None:
    ports = {"http_port": 0, "dicom_port": 0}
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ports[port] = other.getsockname()[1]
        settings = Settings(data_dir=tmp_path / "data", dicom_host="127.0.0.1", **ports)
        with pytest.raises(UsageError, match=f"CARINA_{port.upper()}"):
            app.Running(settings)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"http_host": "192.0.2.1"}, "CARINA_HTTP_HOST"),  # RFC 5737: nobody's
        ({"dicom_host": "no such host"}, "CARINA_DICOM_HOST"),
        ({"dicom_host": "2001:db8::1"}, "CARINA_DICOM_HOST"),  # RFC 3849: nobody's
    ],
)
def test_an_address_of_another_machine_is_not_called_a_port_that_is_taken(
    tmp_path: Path, chosen: dict[str, str], told: str
) -> None:
    ports = {"http_port": free_port(), "dicom_port": free_port()}
    with pytest.raises(UsageError, match=told):
        app.Running(Settings(data_dir=tmp_path / "data", **ports, **chosen))


def test_a_port_that_the_user_may_not_open_is_not_called_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_arguments: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket.socket, "bind", refused)
    with pytest.raises(UsageError, match="CAP_NET_BIND_SERVICE"):
        app.Running(Settings(data_dir=tmp_path / "data", http_port=104))


def test_a_start_that_fails_lets_go_of_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unbuilt(_parts: app.Parts) -> None:
        raise UsageError("the pages have not been built")

    def close(parts: app.Parts) -> None:
        closed.append(parts)
        really_close(parts)

    closed: list[app.Parts] = []
    really_close = app.Parts.close
    monkeypatch.setattr(app, "web_server", unbuilt)
    monkeypatch.setattr(app.Parts, "close", close)
    with pytest.raises(UsageError, match="not been built"):
        app.Running(Settings(data_dir=tmp_path, http_port=0, dicom_port=0))
    assert len(closed) == 1


@pytest.mark.parametrize("entry", [app.work, app.listen])
def test_jobs_that_cannot_begin_let_go_of_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: Any
) -> None:
    def begin(engine: Engine) -> None:
        really_begin(engine)
        raise OutOfResourcesError("the index is away")

    def close(parts: app.Parts) -> None:
        closed.append(parts)
        really_close(parts)

    closed: list[app.Parts] = []
    really_begin, really_close = Engine.start, app.Parts.close
    monkeypatch.setattr(Engine, "start", begin)
    monkeypatch.setattr(app.Parts, "close", close)
    with pytest.raises(OutOfResourcesError, match="away"):
        entry(Settings(data_dir=tmp_path, dicom_port=0), threading.Event())
    assert len(closed) == 1


class Child:
    """A listener process as `Ports` sees it."""

    returncode = 9

    def __init__(self, *, is_alive: bool) -> None:
        self.poll = lambda: None if is_alive else 9
        self.stdout = BytesIO()

    def terminate(self) -> None: ...

    def wait(self, timeout: float | None = None) -> int:
        return 0


def test_a_listener_that_could_not_be_started_again_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spawn(*_command: Any, **_named: Any) -> Child:
        tried.append(len(tried))
        if len(tried) == 3:
            raise BlockingIOError(11, "no more processes")
        if len(tried) == 4:
            back.set()
        return Child(is_alive=len(tried) != 1)

    tried: list[int] = []
    back = threading.Event()
    settings = Settings(
        data_dir=tmp_path, dicom_host="127.0.0.1", dicom_port=0, listener_processes=2
    )
    monkeypatch.setattr(app.subprocess, "Popen", spawn)
    monkeypatch.setattr(app, "LOOK_S", 0.01)
    ports = app.Ports(SimpleNamespace(settings=settings))  # type: ignore[arg-type]  # all it needs
    assert back.wait(10)
    ports.close()


def test_a_data_folder_that_cannot_be_made_is_said_plainly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["migrate", "--data-dir", str(tmp_path / "file" / "data")]) == 2
    assert "CARINA_DATA_DIR" in capsys.readouterr().err


def test_a_log_level_that_is_none_is_said_plainly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CARINA_LOG_LEVEL", "loud")
    assert main(["serve"]) == 2
    assert "CARINA_LOG_LEVEL" in capsys.readouterr().err


def test_importing_goes_on_after_an_object_that_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    (films / "a.dcm").write_bytes(bytes(2 << 20))
    shutil.copy(demo.WARD / "P-1001-1.dcm", films / "b.dcm")
    monkeypatch.setenv("CARINA_MAX_OBJECT_MB", "1")
    monkeypatch.setenv("CARINA_MIN_FREE_DISK_MB", "0")
    assert main(["import", str(films), "--data-dir", str(tmp_path / "data")]) == 1
    assert "1 stored, 0 duplicate, 0 conflict, 1 failed" in capsys.readouterr().out


@pytest.mark.parametrize("role", list(Role))
def test_whoever_is_turned_away_from_dicomweb_is_in_the_audit(role: Role) -> None:
    rows: list[AuditEvent] = []
    user = User("ada", role, "hash", NOW)
    services: Any = SimpleNamespace(
        auth=SimpleNamespace(identify=lambda _request: user),
        clock=lambda: NOW,
        index=SimpleNamespace(add_audit=rows.append),
    )
    scope = {"type": "http", "method": "GET", "headers": [], "client": ("10.0.0.1", 5)}
    readers = (Role.CLINICIAN, Role.RADIOLOGIST)
    identify = web._somebody(services, *readers)
    if role in (*readers, Role.ADMIN):
        assert identify(Request(scope)) == user
        assert rows == []
        return
    with pytest.raises(NotAllowedError):
        identify(Request(scope))
    assert [(one.actor, one.action, one.address) for one in rows] == [("ada", "denied", "10.0.0.1")]


def test_the_demo_touches_nothing_of_a_real_installation() -> None:
    real = Settings(
        database_url="postgresql://hospital/carina",
        object_store_url="s3://hospital",
        destinations=("PACS@pacs:104",),
        http_host="0.0.0.0",
        listener_processes=2,
        workers=0,
    )
    found = demo.alone(real)
    assert found.index_url.startswith("sqlite:")
    assert (found.object_store_url, found.destinations) == ("", ())
    assert {found.http_host, found.dicom_host} == {"127.0.0.1"}
    assert found.workers == found.listener_processes == 1


def test_a_second_demo_does_not_empty_the_folder_of_the_first(tmp_path: Path) -> None:
    with demo._empty(tmp_path / "demo"):
        (tmp_path / "demo" / "carina.sqlite").touch()
        with pytest.raises(UsageError, match="stop it"):
            demo._empty(tmp_path / "demo")
        assert (tmp_path / "demo" / "carina.sqlite").exists()
    demo._empty(tmp_path / "demo").close()
    assert not (tmp_path / "demo" / "carina.sqlite").exists()
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "film.dcm").touch()
    with pytest.raises(UsageError, match="found data"):
        demo._empty(tmp_path / "films")
