"""Hostile files through both doors of a running service: it refuses or keeps, and goes on.

`HOSTILE_FILES` sends another number of them than two thousand.
"""

from __future__ import annotations

import io
import os
import re
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.uid import ComputedRadiographyImageStorage
from pynetdicom import AE, Association, build_context
from pynetdicom.dimse_primitives import C_STORE

from models.refusal import Refusal
from service.decoder import Decoder
from service.dicom.sop_classes import VERIFICATION
from service.jobs.pipeline import UNREADABLE
from service.records import SCORED_CLASSES
from service.store.index import Index
from tests.e2e.node import Node, wait_for
from tests.service.dicom.hostile import MUTATIONS, Hostile, association_request, generate

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
DECODER_TIMEOUT_S = 1.0  # a bomb takes all of it
OWN_FILE = re.compile(
    r"(carina|jobs)\.sqlite(-wal|-shm|\.turn)?|worker-\d+\.lock|session-secret|objects(/[0-9a-f]{2}"
    r"(/[0-9a-f]{32}(\.\w+)?)?)?"
)
EVIL_TITLES = [b"../../etc/passwd", b"A\r\nB\0C\x1b[2J", b"\xff" * 16, b" " * 16, b"CARINA"]


@dataclass
class Told:
    """What the service said of the files that it was sent."""

    acknowledged: dict[str, Hostile] = field(default_factory=dict)
    """By the SOP Instance UID that it named: a flipped bit may have changed that of a file."""
    reasons: list[str] = field(default_factory=list)

    def count(self) -> int:
        return len(self.acknowledged) + len(self.reasons)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A service deep in a tree of its own, with everything that it could write to beside it."""
    places = {name: tmp_path / name for name in ("home", "temporary", "working")}
    data = tmp_path / "a" / "b" / "c" / "d" / "data"
    for folder in (data, *places.values()):
        folder.mkdir(parents=True)
    settings = {
        "CARINA_DECODER_TIMEOUT_S": str(DECODER_TIMEOUT_S),
        "HOME": str(places["home"]),
        "TMPDIR": str(places["temporary"]),
        "XDG_CACHE_HOME": str(places["home"] / "cache"),
    }
    found = Node(data, settings=settings, folder=places["working"])
    found.command("user", "add", "admin", "--role", "admin")
    found.start()
    yield found
    found.kill()


@contextmanager
def association(node: Node, *syntaxes: str) -> Iterator[Association]:
    ae = AE(ae_title="HOSTILE")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 120
    contexts = [build_context(ComputedRadiographyImageStorage, uid) for uid in syntaxes]
    contexts.append(build_context(VERIFICATION))
    assoc = ae.associate("127.0.0.1", node.dicom_port, contexts, ae_title="CARINA")
    assert assoc.is_established
    # Its own thread would take an answer now and then: pausing it for each message is a race.
    assoc._reactor_checkpoint.clear()
    wait_for("the association's own thread to rest", lambda: assoc._is_paused)
    yield assoc
    assoc._reactor_checkpoint.set()
    assoc.release()


def stored(assoc: Association, one: Hostile, told: Told) -> None:
    """C-STORE of bytes as they are: pynetdicom would read and write them first."""
    context = next(c for c in assoc.accepted_contexts
                   if c.transfer_syntax[0] == one.transfer_syntax_uid
                   and c.abstract_syntax == one.sop_class_uid)  # fmt: skip
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID = one.sop_class_uid
    request.AffectedSOPInstanceUID = one.sop_instance_uid
    request.DataSet = io.BytesIO(one.data_set)
    assert context.context_id is not None
    assoc.dimse.send_msg(request, context.context_id)
    _, answer = assoc.dimse.get_msg(block=True)
    assert isinstance(answer, C_STORE), one.name
    if answer.Status == 0x0000:
        told.acknowledged[one.sop_instance_uid] = one
    else:
        assert answer.Status in (0xA700, 0xC000), one.name
        told.reasons.append(str(answer.ErrorComment))


def posted(client: httpx.Client, one: Hostile, told: Told) -> None:
    """STOW-RS of one file."""
    body = b"--x\r\nContent-Type: application/dicom\r\n\r\n" + one.data + b"\r\n--x--\r\n"
    kind = 'multipart/related; type="application/dicom"; boundary=x'
    answer = client.post("/dicom-web/studies", content=body, headers={"content-type": kind})
    assert answer.status_code < 500, one.name
    said: dict[str, Any] = answer.json()
    told.acknowledged |= {
        row["00081155"]["Value"][0]: one for row in said.get("00081199", {}).get("Value", ())
    }
    told.reasons += [
        row["00000902"]["Value"][0] for row in said.get("00081198", {}).get("Value", ())
    ]


def knock(node: Node, calling: bytes, called: bytes = b"CARINA") -> None:
    """An association with a title that no library would send."""
    with socket.create_connection(("127.0.0.1", node.dicom_port), timeout=60) as peer:
        peer.sendall(association_request(called, calling))
        assert peer.recv(1) in (b"\2", b"\3", b"\7", b"")  # accepted, rejected, aborted, closed


def send(node: Node, files: list[Hostile]) -> Told:
    """Every other file through each door; the next round of mutations through the other one."""
    told, doors = Told(), ([], [])
    for number, one in enumerate(files):
        doors[(number + number // len(MUTATIONS)) % 2].append(one)
    syntaxes = sorted({one.transfer_syntax_uid for one in doors[0]})
    with association(node, *syntaxes) as assoc:
        for one in doors[0]:
            stored(assoc, one, told)
    with closing(node.client("admin")) as client:
        client.timeout = httpx.Timeout(120)
        for one in doors[1]:
            posted(client, one, told)
    for title in EVIL_TITLES:
        knock(node, title)
        knock(node, b"HOSTILE", title)
    return told


def outside(node: Node) -> set[str]:
    """Every file and folder of the tree around the data directory, and the names at its roots."""
    root = node.data_dir.parents[4]
    around = {str(path) for path in root.rglob("*") if not path.is_relative_to(node.data_dir)}
    return around | {str(path) for place in ("/", "/etc") for path in Path(place).iterdir()}


def inside(node: Node) -> list[str]:
    """What lies in the data directory and is none of Carina's own files and objects."""
    found = [path.relative_to(node.data_dir) for path in node.data_dir.rglob("*")]
    return [str(path) for path in found if not OWN_FILE.fullmatch(str(path))]


def undecodable(told: Told) -> set[str]:
    """The films that were acknowledged and that a decoder of the same bounds refuses."""
    found = set()
    with closing(Decoder(timeout_s=DECODER_TIMEOUT_S)) as decoder:
        for uid, one in told.acknowledged.items():
            try:
                decoder.read(one.data)
            except Refusal as refusal:
                if refusal.code in UNREADABLE:
                    found.add(uid)
    return found


def listed(node: Node) -> set[str]:
    """What the service lists as undecodable, one by one."""
    found: set[str] = set()
    with closing(node.client("admin")) as client:
        while True:
            page = {"state": "undecodable", "offset": len(found), "limit": 1000}
            rows = client.get("/api/v1/instances", params=page).raise_for_status().json()
            if not rows["instances"]:
                return found
            found |= {one["sop_instance_uid"] for one in rows["instances"]}


def check(node: Node, files: list[Hostile], told: Told, *, wait_s: float) -> None:
    assert told.count() == len(files)
    assert all(reason.startswith("expected") for reason in told.reasons)
    with association(node) as assoc:
        assert assoc.send_c_echo().Status == 0x0000
    assert httpx.get(f"{node.base}/healthz", timeout=60).is_success
    with closing(Index(f"sqlite:///{node.data_dir / 'carina.sqlite'}")) as index:
        wait_for("every study to be judged", lambda: not index.pending_studies(), wait_s)
        kept = {uid for uid in told.acknowledged if index.instance(uid)}
        assert kept == set(told.acknowledged)
        scored = {uid for uid in kept if index.instance(uid).sop_class_uid in SCORED_CLASSES}
        marked = undecodable(told) & scored
        results = {uid: index.current_result(index.instance(uid).study_uid) for uid in marked}
    assert marked
    assert listed(node) == marked
    assert all(one and one.status == "refused" for one in results.values())
    assert inside(node) == []
    log = (node.data_dir.parent / "serve.log").read_text(errors="replace")
    for fault in ("by a fault", "study failed", "study given up"):
        assert fault not in log
    others = [line for line in log.splitlines() if not line.startswith("{")]
    assert [line for line in others if not line.startswith("carina: pages on")] == []
    assert node.process is not None
    assert node.process.poll() is None


@pytest.mark.timeout(600)
def test_a_hostile_file_of_each_kind_leaves_the_service_as_it_was(node: Node) -> None:
    files, before = list(generate(6, len(MUTATIONS))), outside(node)
    check(node, files, send(node, files), wait_s=300)
    assert outside(node) == before


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_two_thousand_hostile_files_leave_the_service_as_it_was(node: Node) -> None:
    files, before = (
        list(generate(2020, int(os.environ.get("HOSTILE_FILES", "2000")))),
        outside(node),
    )
    check(node, files, send(node, files), wait_s=5000)
    assert outside(node) == before
