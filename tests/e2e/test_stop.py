"""Stopped in order, or killed: the next start finds its ports free."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.e2e.node import Node, wait_for

pytestmark = [pytest.mark.peer, pytest.mark.timeout(300)]


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGKILL, -9)])
def test_listeners_end_with_the_service_however_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, status: int
) -> None:
    monkeypatch.setenv("CARINA_LISTENER_PROCESSES", "2")
    node = Node(tmp_path / "data")
    node.start()
    assert node.process is not None
    try:
        wait_for("the listeners", lambda: not is_free(node.dicom_port))
        os.kill(node.process.pid, number)  # the service alone, not its listeners
        assert node.process.wait(timeout=60) == status
        wait_for("the DICOM port to be free", lambda: is_free(node.dicom_port))
    finally:
        if node.process.poll() is None:
            node.kill()
