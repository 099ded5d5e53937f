"""Films that arrive in pieces: cut in any way, broken off, or sent against the rules."""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.pdu import P_DATA_TF

from service.dicom import listener as listener_module
from service.dicom.deliver import echo, send
from service.dicom.reception import HEAD_BYTES
from service.store import objects as objects_module
from tests.service.dicom.films import as_file, film
from tests.service.dicom.hostile import SYNTAXES, data_set_start
from tests.service.dicom.test_listener import destination, eventually, store
from tests.service.dicom.wire import COMMAND, LAST, Wire, command, cut, data_set, fragment, pdu

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
LARGE = (256, 200)
"""Shape of a film that is written while it arrives."""


def large(**named):
    return film(shape=LARGE, **named)


def kept(ward, ds):
    return ward.objects.get(ward.index.instance(ds.SOPInstanceUID).object_key)


def unnamed_files(folder: Path) -> list[str]:
    """Open files below a folder that have no name."""
    found = []
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            target = str(fd.readlink())
            if target.startswith(str(folder)) and target.endswith("(deleted)"):
                found.append(target)
    return found


def as_pynetdicom_reads(pdus):
    """The data set of a message, by pynetdicom alone."""
    message = DIMSEMessage()
    for sent in pdus:
        read = P_DATA_TF()
        read.decode(sent)
        message.decode_msg(read.to_primitive())
    return message.data_set.getvalue()


@given(places=st.lists(st.integers(0, 1 << 20), max_size=12), dice=st.randoms())
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_film_is_kept_as_pynetdicom_reads_it_however_it_is_cut(ward, listen, places, dice):
    ds = large(seed=dice.randrange(1 << 16))
    pdus: list[list[bytes]] = [[]]
    for one in [command(ds), *cut(data_set(ds), places)]:
        if dice.random() < 0.5:
            pdus.append([])
        pdus[-1].append(one)
    sent = [pdu(*fragments) for fragments in pdus]

    with Wire(listen()) as wire:
        wire.send(*sent)
        assert wire.status() == 0x0000

    assert kept(ward, ds).endswith(as_pynetdicom_reads(sent))
    assert kept(ward, ds)[data_set_start(kept(ward, ds)) :] == data_set(ds)


def test_two_films_in_one_pdu_are_both_kept(ward, listen):
    first, second = large(), large()
    begin, end = cut(data_set(first), [70_000])
    sent = pdu(command(first), begin), pdu(end, command(second), *cut(data_set(second), [5]))
    with Wire(listen()) as wire:
        wire.send(*sent)
        assert [wire.status(), wire.status()] == [0x0000, 0x0000]
    assert len(ward.files()) == 2


def test_films_that_are_sent_without_waiting_for_answers_are_all_answered(ward, listen):
    films = [large(seed=seed) for seed in range(8)]
    with Wire(listen()) as wire:
        for ds in films:
            wire.send(pdu(command(ds)), *map(pdu, cut(data_set(ds), [70_000])))
        assert [wire.status() for _ in films] == [0x0000] * 8
    assert len(ward.files()) == 8


def test_who_does_not_wait_for_answers_is_not_heard_meanwhile(ward, listen, monkeypatch):
    served, taking = threading.Event(), ward.ingest.take

    def take(*arguments, **named):
        served.wait(20)
        return taking(*arguments, **named)

    monkeypatch.setattr(ward.ingest, "take", take)
    listener, films = listen(), [large(seed=seed) for seed in range(8)]
    with Wire(listener) as wire:
        for ds in films:
            wire.send(pdu(command(ds)), *map(pdu, cut(data_set(ds), [70_000])))
        assert eventually(lambda: len(unnamed_files(ward.folder)) == 3)  # one in hand, two wait
        echo(destination(listener))
        assert len(unnamed_files(ward.folder)) == 3
        served.set()
        assert [wire.status() for _ in films] == [0x0000] * 8


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_large_film_again_is_a_duplicate_and_another_under_its_uid_a_conflict(
    ward, listen, syntax
):
    listener, ds = listen(), large(syntax=syntax)
    ward.ingest.take(as_file(ds), source="import", actor="X")
    assert store(listener, ds).Status == 0x0000
    assert len(ward.files()) == 1
    ds.PatientName = "Other"
    assert store(listener, ds).Status == 0x0000
    assert len(ward.files()) == 2
    assert ward.index.counts()["instances_conflict"] == 1
    assert unnamed_files(ward.folder) == []


def test_a_header_that_begins_with_much_else_is_read_all_the_same(ward, listen):
    ds = large()
    ds.add_new(0x00090010, "LO", "CARINA TEST")
    ds.add_new(0x00091001, "OB", bytes(HEAD_BYTES))
    assert store(listen(), ds).Status == 0x0000
    assert kept(ward, ds).endswith(data_set(ds))


def test_a_large_film_without_a_study_is_refused_with_a_reason_before_it_is_written(
    ward, listen, monkeypatch
):
    listener, ds = listen(), large()
    del ds.StudyInstanceUID
    with monkeypatch.context() as patch:
        patch.setattr(ward.objects, "draft", lambda suffix: pytest.fail("it was written"))
        answer = store(listener, ds)
    assert answer.Status == 0xC000
    assert "StudyInstanceUID" in answer.ErrorComment
    assert ward.files() == []


def test_a_disk_that_fills_amid_a_film_answers_out_of_resources_and_recovers(
    ward, listen, monkeypatch
):
    listener, ds = listen(), large()

    def full(_handle, _piece):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(objects_module, "_write", full)
        answer = store(listener, ds)
    assert answer.Status == 0xA700
    assert "No space left" in answer.ErrorComment
    assert unnamed_files(ward.folder) == []
    assert store(listener, ds).Status == 0x0000
    assert len(ward.files()) == 1


def test_the_room_on_the_disk_is_looked_at_again_amid_a_film(ward, listen, monkeypatch):
    monkeypatch.setattr("service.dicom.reception._ADMITTED_BYTES", 1)
    room = iter([1000])
    monkeypatch.setattr(ward.objects, "free_mb", lambda: next(room, 3))
    answer = store(listen(), large(syntax=SYNTAXES[0]))
    assert answer.Status == 0xA700
    assert "3 MB" in answer.ErrorComment
    assert ward.files() == []


ENDINGS = {
    "a fragment longer than its PDU": pdu(struct.pack(">LBB", 5000, 1, 0) + bytes(100)),
    "a fragment of one byte": pdu(struct.pack(">LBB", 1, 1, 0) + bytes(100)),
    "a fragment of no bytes": pdu(struct.pack(">LBB", 0, 1, 0) + bytes(100)),
    "a PDU that ends within a fragment's header": pdu(b"\0\0\0"),
    "a command amid the data set": pdu(fragment(bytes(10), COMMAND)),
    "a command that ends amid the data set": pdu(fragment(bytes(10), COMMAND | LAST)),
    "another context": pdu(fragment(bytes(10), 0, context_id=3)),
    "an unknown context": pdu(fragment(bytes(10), LAST, context_id=250)),
    "a PDU of an unknown type": struct.pack(">BxL", 9, 10) + bytes(10),
    "an association request": struct.pack(">BxL", 1, 10) + bytes(10),
    "a PDU of gigabytes": struct.pack(">BxL", 4, 0xFFFFFFF0),
    "a fragment of gigabytes": struct.pack(">BxLLBB", 4, 0xFFFFFFFF, 0xFFFFFF00, 1, 0) + bytes(99),
    "an abort": b"\7\0\0\0\0\4\0\0\0\0",  # PS3.8 9.3.8
    "a release": b"\5\0\0\0\0\4\0\0\0\0",  # PS3.8 9.3.6
    "half a PDU header": b"\4\0\0",
    "half a PDU": pdu(fragment(bytes(5000), 0))[:2000],
    "nothing": b"",
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_film_that_does_not_end_as_films_do_leaves_nothing(ward, listen, ending):
    listener, ds = listen(), large()
    with Wire(listener) as wire:
        wire.send(pdu(command(ds)), pdu(fragment(data_set(ds)[: HEAD_BYTES + 100], 0)), ending)
        wire.socket.shutdown(socket.SHUT_WR)
        said = wire.ending()

    assert said[:1] in (b"", b"\6", b"\7")  # nothing, A-RELEASE-RP or A-ABORT, but no answer
    assert eventually(lambda: not listener.server.active_associations)
    assert ward.files() == []
    assert unnamed_files(ward.folder) == []
    echo(destination(listener))


def test_a_peer_that_falls_silent_amid_a_film_is_hung_up_on(ward, listen, monkeypatch):
    monkeypatch.setattr(listener_module, "NETWORK_TIMEOUT_S", 0.3)
    monkeypatch.setattr(listener_module, "ACSE_TIMEOUT_S", 0.3)
    listener, ds = listen(), large()
    for said in (b"", b"\4\0", pdu(fragment(bytes(5000), 0))[:2000]):
        with Wire(listener) as wire:
            wire.send(pdu(command(ds), fragment(data_set(ds)[: HEAD_BYTES + 100], 0)), said)
            wire.ending()
    assert eventually(lambda: not listener.server.active_associations)
    assert unnamed_files(ward.folder) == []
    assert ward.files() == []


def test_a_listener_that_stops_amid_a_film_keeps_nothing_of_it(ward, listen):
    listener, ds = listen(), large()
    with Wire(listener) as wire:
        wire.send(pdu(command(ds)), pdu(fragment(data_set(ds)[: HEAD_BYTES + 100], 0)))
        assert eventually(lambda: unnamed_files(ward.folder) != [])
        listener.stop()
        wire.ending()
    assert unnamed_files(ward.folder) == []
    assert ward.files() == []


def test_a_film_larger_than_memory_is_spent_on_is_written_while_it_arrives(ward, listen):
    ds = film(shape=(2000, 2000))  # 8 MB
    send(as_file(ds), destination(listen()))
    assert kept(ward, ds).endswith(data_set(ds))


def test_a_deflated_film_is_kept_as_sent(ward, listen):
    ds = large(syntax=DeflatedExplicitVRLittleEndian)
    assert store(listen(), ds).Status == 0x0000
    assert data_set(ds) in kept(ward, ds)
