"""The nodes that are measured, each as its users run it: Carina, Orthanc, dcmtk's storescp."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests import orthanc
from tests.e2e.node import Node, free_port


@dataclass(frozen=True, slots=True)
class Peer:
    """Where films are pushed to."""

    ae_title: str
    port: int


class Carina(Node):
    """`carina serve` with a worker; its environment may be changed for one measurement."""

    def __init__(self, folder: Path, **environment: str) -> None:
        super().__init__(folder / "data")
        folder.mkdir(parents=True, exist_ok=True)
        self._environment = environment

    def environment(self) -> dict[str, str]:
        """The environment of the service, with what this measurement changes."""
        return {**super().environment(), **self._environment}

    @property
    def peer(self) -> Peer:
        """Its DICOM port."""
        return Peer("CARINA", self.dicom_port)


@contextmanager
def carina(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Carina]:
    """A running Carina with an empty data directory."""
    node = Carina(folder, **(environment or {}))
    node.start()
    try:
        yield node
    finally:
        node.kill()


@contextmanager
def its_port(node: Carina) -> Iterator[Peer]:
    """The DICOM port of a Carina that runs anyway."""
    yield node.peer


@contextmanager
def orthanc_peer(folder: Path) -> Iterator[Peer]:
    """Orthanc of Debian with its default storage: files and index are synced."""
    folder.mkdir(parents=True)
    with orthanc.running(folder) as running:
        yield Peer(running.ae_title, running.dicom_port)


@contextmanager
def storescp(folder: Path) -> Iterator[Peer]:
    """dcmtk's receiver as it comes: files without an index, and none of them synced."""
    folder.mkdir(parents=True)
    port = free_port()
    words = [program("storescp"), "--fork", "--unique-filenames", "--max-pdu", "131072"]
    words += ["--aetitle", "STORESCP", "--output-directory", str(folder), str(port)]
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _wait_for_port(port)
        yield Peer("STORESCP", port)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        process.wait()


def program(name: str) -> str:
    """Where a program of Debian is.

    Raises
    ------
    SystemExit : it is not installed.
    """
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"expected dcmtk's {name} on the path, found none: apt install dcmtk")
    return found


def _wait_for_port(port: int) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
            return
        time.sleep(0.05)
    raise SystemExit(f"expected a node on port {port}, found none after 30 s")
