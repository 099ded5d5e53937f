"""Storage commitment, asked for by pynetdicom and by Orthanc."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt

from service.dicom.commitment import (
    ALL_KEPT,
    ANOTHER_CLASS,
    NO_SUCH_INSTANCE,
    PUSH_MODEL,
    SOME_MISSING,
    WELL_KNOWN,
    Commitments,
    event_of,
)
from service.dicom.deliver import send
from service.errors import DeliveryError, OutOfResourcesError, UsageError
from service.jobs.commitment import report_due
from service.jobs.delivery import MOST_ATTEMPTS, default_outbox
from service.records import Commitment
from service.settings import Settings
from tests import orthanc
from tests.service.dicom.films import as_file, film

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CR = "1.2.840.10008.5.1.4.1.1.1"


def question(*references: tuple[str, str], transaction: str = "") -> Dataset:
    asked = Dataset()
    asked.TransactionUID = transaction or generate_uid()
    asked.ReferencedSOPSequence = []
    for sop_class, sop_instance in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_instance
        asked.ReferencedSOPSequence.append(item)
    return asked


def ask(port: int, asked: Dataset, calling: str = "PACS") -> int | None:
    """Status of one N-ACTION; None where commitments are not offered."""
    ae = AE(ae_title=calling)
    ae.add_requested_context(PUSH_MODEL)
    ae.add_requested_context("1.2.840.10008.1.1")
    assoc = ae.associate("127.0.0.1", port, ae_title="CARINA")
    assert assoc.is_established
    try:
        if not any(one.abstract_syntax == PUSH_MODEL for one in assoc.accepted_contexts):
            return None
        status, _ = assoc.send_n_action(asked, 1, PUSH_MODEL, WELL_KNOWN)
        return int(status.Status)
    finally:
        assoc.release()


class Node:
    """A PACS that takes reports."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, Dataset]] = []
        self.status = 0x0000
        ae = AE(ae_title="PACS")
        ae.add_supported_context(PUSH_MODEL, scu_role=False, scp_role=True)
        self.server = ae.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._take)]
        )

    def _take(self, event: evt.Event) -> tuple[int, None]:
        self.reports.append((event.event_type, event.event_information))
        return self.status, None

    @property
    def address(self) -> str:
        return f"PACS@127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def node():
    node = Node()
    yield node
    node.server.shutdown()


@pytest.fixture
def asked_of(ward, listen):
    """Open a port that takes commitments of some nodes; gives the port and what was asked."""

    def start(*nodes: str):
        asked: list[str] = []
        commitments = Commitments(ward.index, nodes, asked.append, lambda: NOW)
        return listen(None, commitments), asked

    return start


def answer_due(ward, *nodes: str, at: datetime = NOW) -> int:
    box = default_outbox(Settings(nodes=nodes))
    return report_due(ward.index, ward.objects, box.commit, at)


def test_a_node_is_told_that_its_film_is_kept(ward, node, asked_of):
    (listener, asked), ds = asked_of(node.address), film()
    send(as_file(ds), f"CARINA@127.0.0.1:{listener.port}", "PACS")

    assert ask(listener.port, question((CR, ds.SOPInstanceUID), transaction="1.2.9")) == 0x0000
    assert asked == ["1.2.9"]
    assert answer_due(ward, node.address) == 1

    ((event_type, told),) = node.reports
    assert event_type == ALL_KEPT
    assert told.TransactionUID == "1.2.9"
    assert told.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == ds.SOPInstanceUID
    assert "FailedSOPSequence" not in told
    assert ward.index.commitment("1.2.9").state == "reported"
    assert answer_due(ward, node.address) == 0


def test_what_is_missing_and_what_is_of_another_class_is_told_apart(ward, node, asked_of):
    (listener, _), ds = asked_of(node.address), film()
    send(as_file(ds), f"CARINA@127.0.0.1:{listener.port}", "PACS")
    mr = "1.2.840.10008.5.1.4.1.1.4"
    ask(listener.port, question((CR, "1.2.3.999"), (mr, ds.SOPInstanceUID)))
    answer_due(ward, node.address)

    ((event_type, told),) = node.reports
    assert event_type == SOME_MISSING
    reasons = {item.ReferencedSOPInstanceUID: item.FailureReason for item in told.FailedSOPSequence}
    assert reasons == {"1.2.3.999": NO_SUCH_INSTANCE, ds.SOPInstanceUID: ANOTHER_CLASS}


def test_an_object_whose_bytes_were_lost_is_not_said_to_be_kept(ward, node, asked_of):
    (listener, _), films = asked_of(node.address), [film(), film()]
    for ds in films:
        send(as_file(ds), f"CARINA@127.0.0.1:{listener.port}", "PACS")
    lost, held = (ds.SOPInstanceUID for ds in films)
    ward.objects.delete(ward.index.instance(lost).object_key)
    ask(listener.port, question((CR, lost), (CR, held)))
    answer_due(ward, node.address)

    ((event_type, told),) = node.reports
    assert event_type == SOME_MISSING
    assert [item.ReferencedSOPInstanceUID for item in told.ReferencedSOPSequence] == [held]
    assert [
        (item.ReferencedSOPInstanceUID, item.FailureReason) for item in told.FailedSOPSequence
    ] == [(lost, NO_SUCH_INSTANCE)]


def test_a_node_that_is_away_or_busy_is_told_later(ward, node, asked_of):
    listener, _ = asked_of(node.address)
    ask(listener.port, question((CR, "1.2.3"), transaction="1.2.9"))
    node.status = 0x0110
    assert answer_due(ward, node.address) == 0
    waiting = ward.index.commitment("1.2.9")
    assert (waiting.state, waiting.attempts) == ("waiting", 1)
    assert "0x0110" in waiting.message
    assert answer_due(ward, node.address) == 0  # not due again yet
    node.status = 0x0000
    assert answer_due(ward, node.address, at=NOW.replace(hour=13)) == 1


def test_who_is_not_a_node_of_ours_is_not_offered_commitment(node, asked_of):
    listener, asked = asked_of(node.address)
    assert ask(listener.port, question((CR, "1.2.3")), calling="STRANGER") is None
    assert asked == []


def test_a_question_without_a_name_or_without_objects_is_refused(node, asked_of):
    listener, asked = asked_of(node.address)
    nameless = question((CR, "1.2.3"))
    del nameless.TransactionUID
    for wrong in (nameless, question(), question((CR, ""))):
        assert ask(listener.port, wrong) == 0x0115
    assert asked == []


def test_nothing_is_promised_while_the_queue_is_away(ward, listen, node):
    def away(_uid: str) -> None:
        raise OutOfResourcesError("the queue is away")

    listener = listen(None, Commitments(ward.index, [node.address], away, lambda: NOW))
    assert ask(listener.port, question((CR, "1.2.3"))) == 0x0213


def test_a_node_that_never_answers_is_given_up_at_last(ward):
    asked = Commitment("1.2.9", "PACS", ((CR, "1.2.3"),), "waiting", MOST_ATTEMPTS - 1, NOW)
    ward.index.add_commitment(asked, ward.audit())

    def away(_question, _kept):
        raise DeliveryError("nobody answers")

    report_due(ward.index, ward.objects, away, NOW)
    assert ward.index.commitment("1.2.9").state == "failed"


def test_a_node_does_not_take_the_question_of_another(ward):
    asked = Commitment("2.25.1", "ARCHIVE", (("1.2", "1.2.3"),), "waiting", 0, NOW)
    ward.index.add_commitment(asked, ward.audit())
    with pytest.raises(UsageError, match="another node"):
        ward.index.add_commitment(replace(asked, ae_title="OTHER", references=()), ward.audit())
    assert ward.index.commitment("2.25.1") == asked


def test_the_same_transaction_again_is_answered_again(ward):
    asked = Commitment("1.2.9", "PACS", ((CR, "1.2.3"),), "waiting", 0, NOW)
    ward.index.add_commitment(asked, ward.audit())
    ward.index.set_commitment(replace(asked, state="reported", attempts=1))
    ward.index.add_commitment(asked, ward.audit())
    told = []
    assert report_due(ward.index, ward.objects, lambda *said: told.append(said), NOW) == 1
    assert told[0][0].references == ((CR, "1.2.3"),)


@given(
    kept=st.dictionaries(st.sampled_from(["1", "2", "3", "4"]), st.sampled_from(["A", "B"])),
    named=st.lists(st.tuples(st.sampled_from(["A", "B"]), st.sampled_from(["1", "2", "3"]))),
)
def test_every_object_named_is_told_of_exactly_once(kept, named):
    event_type, said = event_of(Commitment("1", "PACS", tuple(named), "waiting", 0, NOW), kept)
    present = said.get("ReferencedSOPSequence", [])
    absent = said.get("FailedSOPSequence", [])
    assert len(present) + len(absent) == len(named)
    assert event_type == (SOME_MISSING if absent else ALL_KEPT)
    assert all(kept[one.ReferencedSOPInstanceUID] == one.ReferencedSOPClassUID for one in present)


def test_orthanc_asks_and_believes_the_answer(ward, listen, tmp_path):
    asked: list[str] = []
    with orthanc.running(tmp_path) as pacs:
        # Orthanc's modalities know us by title, so that its port takes our report.
        commitments = Commitments(ward.index, [pacs.destination], asked.append, lambda: NOW)
        listener, ds = listen(None, commitments), film()
        send(as_file(ds), f"CARINA@127.0.0.1:{listener.port}", "PACS")
        httpx.put(
            f"{pacs.base}/modalities/carina",
            json={"AET": "CARINA", "Host": "127.0.0.1", "Port": listener.port},
        ).raise_for_status()
        known = {"SOPClassUID": CR, "SOPInstanceUID": ds.SOPInstanceUID}
        absent = {"SOPClassUID": CR, "SOPInstanceUID": "1.2.3.999"}
        said = [
            _orthanc_is_told(pacs, ward, asked, [known]),
            _orthanc_is_told(pacs, ward, asked, [known, absent]),
        ]
    assert said == ["Success", "Failure"]


def _orthanc_is_told(pacs, ward, asked, instances) -> str:
    answer = httpx.post(
        f"{pacs.base}/modalities/carina/storage-commitment", json={"DicomInstances": instances}
    )
    transaction = answer.raise_for_status().json()["ID"]
    assert asked[-1] == transaction
    assert answer_due(ward, pacs.destination) == 1
    waiting = threading.Event()
    end = time.monotonic() + 20
    while time.monotonic() < end:
        status = httpx.get(f"{pacs.base}/storage-commitment/{transaction}").json()["Status"]
        if status != "Pending":
            return str(status)
        waiting.wait(0.1)
    raise AssertionError("Orthanc heard nothing")
