"""A real PostgreSQL and a real (small) S3 for the tests that run on both set-ups."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest


def _postgresql_programs() -> Path | None:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("pg_ctl")
    folders += [Path(found).parent] if found else []
    return next((folder for folder in folders if (folder / "initdb").is_file()), None)


def _as_unprivileged(command: list[str]) -> list[str]:
    """PostgreSQL refuses to run as root: become the user that its package made."""
    return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else command


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Cluster:
    """A temporary PostgreSQL cluster that can be stopped and started again."""

    programs: Path
    folder: Path
    port: int = field(default_factory=_free_port)

    @property
    def address(self) -> str:
        """Its address, without a database name."""
        return f"postgresql://carina@127.0.0.1:{self.port}"

    def make(self) -> None:
        self.folder.chmod(0o777)
        names = ("-U", "carina", "-A", "trust", "-E", "UTF8", "--no-sync")
        self._run("initdb", "-D", str(self._data), *names)

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self._data), "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """As in a crash: no checkpoint, no farewell to the clients."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _run(self, *command: str) -> None:
        subprocess.run(
            _as_unprivileged([str(self.programs / command[0]), *command[1:]]),
            check=True,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
        )


@contextmanager
def _cluster() -> Iterator[Cluster]:
    programs = _postgresql_programs()
    if programs is None:
        pytest.skip("left out: PostgreSQL is not installed (Debian: apt install postgresql)")
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        pytest.skip("left out: PostgreSQL does not run as root and runuser is missing")
    cluster = Cluster(programs, Path(tempfile.mkdtemp(prefix="carina-pg-")))
    cluster.make()
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(cluster.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The address of a temporary PostgreSQL cluster, without a database name."""
    with _cluster() as cluster:
        yield cluster.address


@pytest.fixture
def postgresql_cluster() -> Iterator[Cluster]:
    """A running cluster of this test's own, which it may stop and start."""
    with _cluster() as cluster:
        yield cluster


@contextmanager
def _database(server: str) -> Iterator[str]:
    import psycopg

    name = f"test_{uuid4().hex}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield f"{server}/{name}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """The address of an empty PostgreSQL database of this test's own."""
    with _database(postgresql_server) as url:
        yield url


@pytest.fixture(scope="module")
def postgresql_module_url(postgresql_server: str) -> Iterator[str]:
    """The address of an empty PostgreSQL database that the tests of one module share."""
    with _database(postgresql_server) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def index_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database: each test that asks for it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'carina.sqlite'}"
    return str(request.getfixturevalue("postgresql_url"))


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3-compatible server in this process with one bucket, `carina`."""
    moto_server = pytest.importorskip("moto.server", reason="left out: moto is not installed")
    import boto3

    saved = {name: os.environ.get(name) for name in _AWS}
    os.environ.update(_AWS)
    server = moto_server.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}".replace("0.0.0.0", "127.0.0.1")
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="carina")
    yield endpoint
    server.stop()
    for name, value in saved.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


_AWS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}
