"""One service with a PACS behind it and a browser before it, shared by the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import orthanc
from tests.e2e.node import Node

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="session")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[orthanc.Orthanc]:
    with orthanc.running(tmp_path_factory.mktemp("orthanc")) as peer:
        yield peer


def _with_users(node: Node) -> Node:
    for name, role in (("ward", "clinician"), ("admin", "admin")):
        node.command("user", "add", name, "--role", role)
    return node


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: orthanc.Orthanc) -> Iterator[Node]:
    """A running service that sends its results to the PACS."""
    found = Node(tmp_path_factory.mktemp("node") / "data", destinations=(pacs.destination,))
    _with_users(found).start()
    yield found
    found.kill()


@pytest.fixture
def lonely_node(tmp_path: Path) -> Iterator[Node]:
    """A service without destinations that a test may kill."""
    found = Node(tmp_path / "data")
    _with_users(found).start()
    yield found
    found.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, headless; its driver runs an event loop here, so it ends with a module."""
    if not CHROMIUM.is_file():
        pytest.skip("left out: Chromium is not installed (Debian: apt install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=str(CHROMIUM),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield chromium
        chromium.close()
