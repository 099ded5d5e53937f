"""Listener, pages and workers as separate processes on one PostgreSQL and one S3, by settings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pydicom
import pytest

from service.dicom.deliver import send
from tests.conftest import ROOT
from tests.e2e import films
from tests.e2e.node import PASSWORD, free_port, listed
from tests.service.jobs.test_engine import until

pytestmark = [pytest.mark.slow, pytest.mark.peer, pytest.mark.timeout(2400)]
WAIT_S = 800.0  # three studies by the shipped models on a busy machine
BUSY = (
    "SELECT count(*) FROM dbos.workflow_status WHERE status = 'PENDING' AND name = 'carina_study'"
)
PLACES = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'carina-worker'"


class Ward:
    """What the processes have in common, and how one is started."""

    def __init__(self, folder: Path, database_url: str, s3_endpoint: str) -> None:
        self.folder = folder
        self.database_url = database_url
        self.http_port, self.dicom_port = free_port(), free_port()
        self.environment = {
            **os.environ,
            "CARINA_DATABASE_URL": database_url,
            "CARINA_OBJECT_STORE_URL": f"s3://carina/{folder.name}",
            "CARINA_OBJECT_STORE_ENDPOINT": s3_endpoint,
            "CARINA_HTTP_PORT": str(self.http_port),
            "CARINA_DICOM_HOST": "127.0.0.1",
            "CARINA_PASSWORD": PASSWORD,
        }

    @contextmanager
    def process(self, name: str, *words: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
        """A process with a data directory of its own, as on a machine of its own."""
        environment = self.environment | {"CARINA_DATA_DIR": str(self.folder / name)} | more
        with (self.folder / f"{name}.log").open("wb") as log:
            one = subprocess.Popen(
                [sys.executable, "-m", "service", *words],
                cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            yield one
        finally:
            one.kill()
            one.wait()

    def count(self, query: str) -> int:
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute(query).fetchone()
        return int(row[0]) if row else 0

    def answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.http_port}/readyz").is_success
        except httpx.HTTPError:
            return False

    def client(self) -> httpx.Client:
        client = httpx.Client(base_url=f"http://127.0.0.1:{self.http_port}", timeout=60)
        login = {"username": "admin", "password": PASSWORD}
        token = client.post("/api/v1/token", json=login).raise_for_status().json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        return client


def test_a_worker_killed_with_a_study_in_hand_is_replaced_by_the_others(
    postgresql_url: str, s3_endpoint: str, tmp_path: Path
) -> None:
    ward = Ward(tmp_path, postgresql_url, s3_endpoint)
    now = datetime.now()
    files = [
        films.dated(path.name, tmp_path / "films", now - timedelta(days=number))
        for number, path in enumerate(sorted(films.WARD.glob("*.dcm"))[:3])
    ]
    with ExitStack() as stack:
        with ward.process("admin", "user", "add", "admin", "--role", "admin") as adding:
            assert adding.wait(timeout=WAIT_S) == 0
        start = lambda *words, **more: stack.enter_context(ward.process(*words, **more))  # noqa: E731
        listener = start("listener", "listen", CARINA_DICOM_PORT=str(ward.dicom_port))
        pages = start("pages", "serve", CARINA_WORKERS="0", CARINA_DICOM_PORT="0")
        first = start("first", "worker")
        until(lambda: ward.count(PLACES) == 1 and ward.answers(), seconds=WAIT_S)
        for file in files:
            until(lambda file=file: sent(file, ward.dicom_port), seconds=WAIT_S)
        others = [start(name, "worker") for name in ("second", "third")]
        until(lambda: ward.count(PLACES) == 3 and ward.count(BUSY) >= 1, seconds=WAIT_S)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        studies = {str(pydicom.dcmread(f, stop_before_pixels=True).StudyInstanceUID) for f in files}
        with closing(ward.client()) as client:
            until(lambda: all(judged(client, study) for study in studies), seconds=WAIT_S)
            until(lambda: ward.count(BUSY) == 0, seconds=WAIT_S)
            for study in studies:
                rows = listed(client.get("/api/v1/results", params={"study_uid": study}), "results")
                assert [one["status"] for one in rows] == ["ok"] * len(rows)
                assert sum(one["current"] for one in rows) == 1
        assert [one.poll() for one in (listener, pages, *others)] == [None] * 4


def sent(file: Path, port: int) -> bool:
    """Whether the film was taken; the listener may still be starting."""
    from service.errors import DeliveryError

    try:
        send(file.read_bytes(), f"CARINA@127.0.0.1:{port}", "SENDER")
    except DeliveryError:
        return False
    return True


def judged(client: httpx.Client, study: str) -> bool:
    answer = client.get(f"/api/v1/studies/{study}")
    return answer.is_success and answer.json()["result"] is not None
