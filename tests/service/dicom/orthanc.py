"""A real Orthanc on free ports, as the PACS of a test."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Orthanc:
    """Where a running Orthanc answers."""

    dicom_port: int
    http_port: int

    @property
    def destination(self) -> str:
        return f"ORTHANC@127.0.0.1:{self.dicom_port}"

    def get(self, path: str) -> Any:
        """JSON of its REST interface."""
        url = f"http://127.0.0.1:{self.http_port}{path}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)


def executable() -> str | None:
    """The program, wherever Debian put it."""
    return shutil.which("Orthanc") or shutil.which("/usr/sbin/Orthanc")


@contextmanager
def running(folder: Path) -> Iterator[Orthanc]:
    """Start Orthanc with an empty storage below `folder`."""
    program = executable()
    assert program is not None
    dicom_port, http_port = _free_ports(2)
    config = folder / "orthanc.json"
    config.write_text(
        json.dumps(
            {
                "Name": "Carina test",
                "StorageDirectory": str(folder / "storage"),
                "IndexDirectory": str(folder / "storage"),
                "DicomAet": "ORTHANC",
                "DicomPort": dicom_port,
                "HttpPort": http_port,
                "DicomCheckCalledAet": True,
                "RemoteAccessAllowed": False,
                "AuthenticationEnabled": False,
            }
        )
    )
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([program, str(config)], stdout=log, stderr=subprocess.STDOUT)
    orthanc = Orthanc(dicom_port, http_port)
    try:
        _wait(orthanc, process)
        yield orthanc
    finally:
        process.kill()  # its storage is thrown away
        process.wait(30)


def _wait(orthanc: Orthanc, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        try:
            orthanc.get("/system")
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
        else:
            return
    raise AssertionError("Orthanc did not start")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in sockets]
