"""A real Orthanc on free ports, for tests that need a PACS."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

DICOM_WEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A running Orthanc: its AE title and ports."""

    ae_title: str
    dicom_port: int
    http_port: int

    @property
    def destination(self) -> str:
        """As in `Settings.destinations`."""
        return f"{self.ae_title}@127.0.0.1:{self.dicom_port}"

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def instances(self) -> list[dict[str, object]]:
        """Tags of every stored instance."""
        answer = httpx.get(f"{self.base}/instances", params={"expand": ""}, timeout=10)
        return list(answer.raise_for_status().json())

    @property
    def dicom_web(self) -> str:
        """Where its DICOMweb plugin answers."""
        return f"{self.base}/dicom-web"

    def ask(self, method: str, path: str, body: object = None, timeout_s: float = 60) -> Any:
        """A request to its REST API; the JSON it answers, None where it answers none."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = None if body is None else content
        answer = httpx.request(method, f"{self.base}{path}", content=sent, timeout=timeout_s)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content[:1] in (b"{", b"[") else None

    def upload(self, data: bytes) -> str:
        """Store a DICOM file; its Orthanc identifier."""
        return str(self.ask("POST", "/instances", data)["ID"])

    def modified(self, orthanc_id: str, body: object) -> bytes:
        """The DICOM file of an instance with other values, which is not stored."""
        answer = httpx.post(f"{self.base}/instances/{orthanc_id}/modify", json=body, timeout=30)
        return answer.raise_for_status().content

    def file(self, orthanc_id: str) -> bytes:
        """The DICOM file of an instance."""
        return httpx.get(f"{self.base}/instances/{orthanc_id}/file", timeout=30).content


@contextmanager
def running(folder: Path, *, dicom_web: bool = False) -> Iterator[Orthanc]:
    """Start Orthanc with an empty store in `folder`; skips when it is not installed."""
    if dicom_web and not DICOM_WEB.is_file():
        pytest.skip("left out: no DICOMweb in Orthanc (Debian: apt install orthanc-dicomweb)")
    program = shutil.which("Orthanc", path=_PATH)
    if program is None:
        pytest.skip("left out: Orthanc is not installed (Debian: apt install orthanc)")
    peer = Orthanc("ORTHANC", _free_port(), _free_port())
    config = {
        "Name": "peer",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": peer.http_port,
        "DicomPort": peer.dicom_port,
        "DicomAet": peer.ae_title,
        "DicomServerEnabled": True,
        "DicomAlwaysAllowStore": True,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "OverwriteInstances": True,  # a name that was changed comes in place of the old one
        "Plugins": [str(DICOM_WEB)] if dicom_web else [],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    file = folder / "orthanc.json"
    file.write_text(json.dumps(config))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([program, str(file)], stdout=log, stderr=log)
    try:
        _wait(peer, process, folder / "orthanc.log")
        yield peer
    finally:
        process.kill()  # its farewell takes seconds, and nothing is to be kept
        process.wait(timeout=20)


def _wait(peer: Orthanc, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        with suppress(httpx.HTTPError):
            if httpx.get(f"{peer.base}/system", timeout=2).status_code == httpx.codes.OK:
                return
        time.sleep(0.1)
    raise AssertionError(f"Orthanc did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
