"""A running Carina, started as an operator starts it, for the tests that go all the way."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.conftest import ROOT

PASSWORD = "correct horse battery staple"  # of the test's own users
READY_S = 60.0
Found = TypeVar("Found")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, look: Callable[[], Found | None], timeout_s: float = READY_S) -> Found:
    """Look again until there is something, or say what did not come."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"waited {timeout_s:.0f} s for {what}, in vain")


@dataclass
class Node:
    """One `carina serve` with its own folder and ports; can be killed and started again.

    Parameters
    ----------
    settings : of its environment, beside those of every node.
    folder : what it runs in; the repository where it is left out.
    """

    data_dir: Path
    destinations: tuple[str, ...] = ()
    http_port: int = field(default_factory=free_port)
    dicom_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    settings: dict[str, str] = field(default_factory=dict)
    folder: Path = ROOT

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def environment(self) -> dict[str, str]:
        listed = ",".join(f'"{one}"' for one in self.destinations)
        return {
            **os.environ,
            "CARINA_DATA_DIR": str(self.data_dir),
            "CARINA_HTTP_PORT": str(self.http_port),
            "CARINA_DICOM_PORT": str(self.dicom_port),
            "CARINA_DICOM_HOST": "127.0.0.1",
            "CARINA_DESTINATIONS": f"[{listed}]",
            "CARINA_MIN_FREE_DISK_MB": "10",
            "PYTHONPATH": str(ROOT),
            **self.settings,
        }

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "service", *words],
            cwd=self.folder,
            env={**self.environment(), "CARINA_PASSWORD": PASSWORD},
            check=True,
            capture_output=True,
            text=True,
        )

    def start(self) -> None:
        with (self.data_dir.parent / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service", "serve"],
                cwd=self.folder,
                env=self.environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for("the service to be ready", self._ready)

    def _ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            log = (self.data_dir.parent / "serve.log").read_text(errors="replace")
            raise AssertionError(
                f"carina serve ended with {self.process.returncode}:\n{log[-3000:]}"
            )
        try:
            return httpx.get(f"{self.base}/readyz", timeout=2).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        """kill -9, children included."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def client(self, username: str) -> httpx.Client:
        """A program logged in as `username`."""
        client = httpx.Client(base_url=self.base, timeout=30)
        answer = client.post("/api/v1/token", data={"username": username, "password": PASSWORD})
        if answer.status_code != httpx.codes.OK:
            answer = client.post("/api/v1/token", json={"username": username, "password": PASSWORD})
        answer.raise_for_status()
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return client


def listed(answer: Any, key: str) -> list[dict[str, Any]]:
    """The rows of a list answer."""
    answer.raise_for_status()
    body = answer.json()
    rows = body[key] if isinstance(body, dict) else body
    return list(rows)
