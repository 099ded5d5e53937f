"""The DICOM port, spoken to by pynetdicom and by dcmtk."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.uid import (
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    JPEG2000Lossless,
    JPEGLosslessSV1,
)
from pynetdicom import AE, build_context
from structlog.testing import capture_logs

from service.dicom import listener as listener_module
from service.dicom.deliver import echo, send
from service.dicom.sop_classes import STORAGE_CLASSES, TRANSFER_SYNTAXES
from service.errors import DeliveryError
from service.settings import Settings
from tests.service.dicom.films import as_file, film
from tests.service.dicom.hostile import association_request
from tests.service.dicom.wire import Wire, command, cut, data_set, pdu

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def dcmtk(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"left out: {program} is not installed (Debian: apt install dcmtk)")
    return found


def destination(listener, called="CARINA"):
    return f"{called}@127.0.0.1:{listener.port}"


def store(listener, ds):
    """One C-STORE with pynetdicom; the answer's status."""
    ae = AE(ae_title="TESTER")
    context = build_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)
    assoc = ae.associate("127.0.0.1", listener.port, [context], ae_title="CARINA")
    assert assoc.is_established
    answer = assoc.send_c_store(ds)
    assoc.release()
    return answer


def answers(listener):
    try:
        echo(destination(listener))
    except DeliveryError:
        return False
    return True


def eventually(true: Callable[[], bool]) -> bool:
    """Ask until it is so: threads of a released association take a moment to end."""
    end = time.monotonic() + 20
    while not true():
        if time.monotonic() > end:
            return False
    return True


def test_a_film_is_durable_when_success_is_answered(ward, listen):
    ds = film()

    send(as_file(ds), destination(listen()), "MODALITY1")

    instance = ward.index.instance(ds.SOPInstanceUID)
    assert instance.source == "c-store:MODALITY1"
    assert len(ward.objects.get(instance.object_key)) == instance.size_bytes
    assert ward.arrived == [ds.StudyInstanceUID]
    assert ward.index.audits(patient_id="P1")[0].address == "127.0.0.1"


def test_sending_again_is_success_and_so_is_a_conflict(ward, listen):
    listener, ds = listen(), film()
    assert store(listener, ds).Status == 0x0000
    assert store(listener, ds).Status == 0x0000
    ds.PatientName = "Other"
    assert store(listener, ds).Status == 0x0000
    assert len(ward.files()) == 2


def test_a_full_disk_and_an_absent_database_answer_out_of_resources_and_recover(
    ward, listen, monkeypatch
):
    listener, ds = listen(), film()
    with monkeypatch.context() as patch:
        patch.setattr(ward.objects, "free_mb", lambda: 0)
        answer = store(listener, ds)
    assert answer.Status == 0xA700
    assert "free disk space" in answer.ErrorComment

    database = ward.folder / "carina.sqlite"
    ward.index.close()
    database.rename(ward.folder / "away")
    database.mkdir()
    assert store(listener, ds).Status == 0xA700
    database.rmdir()
    (ward.folder / "away").rename(database)

    assert store(listener, ds).Status == 0x0000
    assert len(ward.files()) == 1


def test_a_fault_of_our_own_never_answers_success(ward, listen, monkeypatch):
    def broken(*arguments, **named):
        raise ZeroDivisionError

    monkeypatch.setattr(ward.index, "add_instance", broken)
    assert store(listen(), film()).Status == 0x0110


def test_an_object_without_a_study_is_refused_with_a_reason(listen):
    ds = film()
    del ds.StudyInstanceUID
    answer = store(listen(), ds)
    assert answer.Status == 0xC000
    assert "StudyInstanceUID" in answer.ErrorComment


def test_only_the_called_title_and_the_allowed_callers_get_an_association(listen):
    listener = listen(allowed_ae_titles=("MODALITY1",))

    echo(destination(listener), "MODALITY1")
    with pytest.raises(DeliveryError, match="rejected"):
        echo(destination(listener), "STRANGER")
    with pytest.raises(DeliveryError, match="rejected"):
        echo(destination(listener, "OTHER"), "MODALITY1")


@pytest.mark.parametrize(
    ("called", "calling", "why"),
    [
        ("OTHER", "MODALITY1", "called AE title is not CARINA_AE_TITLE"),
        ("CARINA", "STRANGER", "calling AE title is not in CARINA_ALLOWED_AE_TITLES"),
    ],
)
def test_who_is_turned_away_and_why_is_in_the_log(listen, called, calling, why):
    listener = listen(allowed_ae_titles=("MODALITY1",))

    def is_told() -> bool:
        return any(line["event"] == "association rejected" for line in log)

    with capture_logs() as log:
        with pytest.raises(DeliveryError, match="rejected"):
            echo(destination(listener, called), calling)
        assert eventually(is_told)
    (told,) = (line for line in log if line["event"] == "association rejected")
    assert (told["source"], told["called"], told["why"]) == (calling, called, why)
    assert told["address"] == "127.0.0.1"


def test_a_listener_speaks_ipv6_where_its_address_is_of_that_kind(listen):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("left out: this machine has no IPv6")
    listener = listen(dicom_host="::1")
    assoc = AE("TESTER").associate(
        "::1", listener.port, [build_context("1.2.840.10008.1.1")], ae_title="CARINA"
    )
    assert assoc.is_established
    assert assoc.send_c_echo().Status == 0x0000
    assoc.release()


@pytest.mark.parametrize("lacking", ["MessageID", "AffectedSOPClassUID", "AffectedSOPInstanceUID"])
def test_a_request_that_cannot_be_answered_ends_its_association_at_once(ward, listen, lacking):
    listener, ds = listen(), film()
    with Wire(listener) as wire:
        wire.send(pdu(command(ds, without=lacking)), pdu(*cut(data_set(ds), [])))
        assert wire.ending()[:1] == b"\7"  # A-ABORT
    assert ward.files() == []
    assert answers(listener)


def test_a_command_that_is_none_ends_its_association_in_one_line_of_the_log(listen):
    listener, ds = listen(), film()
    with capture_logs() as log, Wire(listener) as wire:
        wire.send(pdu(command(ds, CommandField=0x7777)))
        wire.ending()
    assert [line["event"] for line in log] == ["an association broke on what its peer sent"]
    assert answers(listener)


def test_every_storage_class_and_transfer_syntax_is_accepted(listen):
    listener, ae = listen(), AE()
    for start in range(0, len(STORAGE_CLASSES), 100):  # a requestor may propose 128 contexts
        contexts = [build_context(uid) for uid in STORAGE_CLASSES[start : start + 100]]
        assoc = ae.associate("127.0.0.1", listener.port, contexts, ae_title="CARINA")
        assert len(assoc.accepted_contexts) == len(contexts)
        assoc.release()
    contexts = [build_context(STORAGE_CLASSES[0], uid) for uid in TRANSFER_SYNTAXES]
    assoc = ae.associate("127.0.0.1", listener.port, contexts, ae_title="CARINA")
    assert len(assoc.accepted_contexts) == len(TRANSFER_SYNTAXES)
    assert assoc.acceptor.maximum_length == 128 << 10
    assoc.release()


def test_compressed_pixel_data_is_not_touched(ward, listen):
    ds = film(syntax=ExplicitVRLittleEndian)
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
    frame = b"\xff\x4f not really a codestream"
    ds.PixelData = (
        b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0" + struct.pack("<I", len(frame)) + frame
    )
    ds.PixelData += b"\xfe\xff\xdd\xe0\0\0\0\0"
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True

    assert store(listen(), ds).Status == 0x0000

    instance = ward.index.instance(ds.SOPInstanceUID)
    assert instance.transfer_syntax_uid == JPEG2000Lossless
    assert frame in ward.objects.get(instance.object_key)


def test_two_listeners_share_one_port(ward, listen):
    port = listener_module.open_port(Settings(dicom_host="127.0.0.1", dicom_port=0))
    first, second = (listen(listening_fd=os.dup(port.fileno())) for _ in range(2))
    assert second.port == first.port
    for _ in range(8):
        send(as_file(film()), destination(first))
    first.stop()
    echo(destination(second))
    assert len(ward.files()) == 8
    port.close()


def test_a_port_that_is_not_shared_is_not_taken_twice(listen):
    first = listen()
    with pytest.raises(OSError, match="in use"):
        listen(dicom_port=first.port)


def test_beyond_the_limit_an_association_is_rejected_and_later_ones_are_served(listen):
    listener = listen(max_associations=2)
    ae = AE()
    ae.add_requested_context("1.2.840.10008.1.1")
    held = [ae.associate("127.0.0.1", listener.port, ae_title="CARINA") for _ in range(2)]
    with pytest.raises(DeliveryError, match="rejected"):
        echo(destination(listener))
    for assoc in held:
        assoc.release()
    assert eventually(lambda: answers(listener))


def test_a_pdu_that_claims_gigabytes_ends_its_connection_only(listen):
    listener = listen()
    with socket.create_connection(("127.0.0.1", listener.port), timeout=10) as peer:
        peer.sendall(struct.pack(">BBL", 0x01, 0, 0xFFFFFFF0) + bytes(64))
        peer.settimeout(10)
        try:
            while peer.recv(4096):
                pass
        except ConnectionResetError:
            pass
    echo(destination(listener))


@pytest.mark.parametrize("said", [b"", b"\x01\0\0", struct.pack(">BBL", 1, 0, 200) + bytes(50)])
def test_a_peer_that_falls_silent_is_hung_up_on(listen, monkeypatch, said):
    monkeypatch.setattr(listener_module, "ACSE_TIMEOUT_S", 0.3)
    monkeypatch.setattr(listener_module, "NETWORK_TIMEOUT_S", 0.3)
    listener = listen()
    with socket.create_connection(("127.0.0.1", listener.port), timeout=20) as peer:
        peer.sendall(said)
        while peer.recv(4096):
            pass
    assert eventually(lambda: not listener.server.active_associations)


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.0\r\n\r\n", struct.pack(">BBL", 1, 0, 200)])
def test_a_peer_that_hangs_up_without_an_association_leaves_nothing_behind(listen, said):
    listener, begin = listen(), time.monotonic()
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", listener.port), timeout=20) as peer:
            peer.sendall(said)
    echo(destination(listener))  # accepted after the others
    assert eventually(lambda: not listener.server.active_associations)
    assert time.monotonic() - begin < listener_module.ACSE_TIMEOUT_S


@pytest.mark.parametrize("is_reset", [False, True], ids=["in words", "by a reset"])
def test_aborted_associations_leave_nothing_behind(listen, is_reset):
    listener, begin = listen(), time.monotonic()
    before = threading.active_count()
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", listener.port), timeout=20) as peer:
            peer.sendall(association_request(b"CARINA", b"TESTER"))
            assert peer.recv(1) == b"\2"  # A-ASSOCIATE-AC (PS3.8 9.3.3)
            if is_reset:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                peer.sendall(b"\7\0\0\0\0\4\0\0\0\0")  # A-ABORT (PS3.8 9.3.8)
    echo(destination(listener))
    assert eventually(lambda: not listener.server.active_associations)
    assert eventually(lambda: threading.active_count() <= before)
    assert time.monotonic() - begin < listener_module.ACSE_TIMEOUT_S


def test_a_request_that_arrives_drop_by_drop_is_served_and_holds_up_nobody(listen):
    listener, request = listen(), association_request(b"CARINA", b"TESTER")
    with socket.create_connection(("127.0.0.1", listener.port), timeout=20) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(len(request)):
            peer.sendall(request[number : number + 1])
            if number % 100 == 50:
                echo(destination(listener))  # in the middle of it
        assert peer.recv(1) == b"\2"


def test_peers_that_connect_and_say_nothing_give_way_to_those_who_speak(listen):
    listener = listen(max_associations=8)
    silent = [socket.create_connection(("127.0.0.1", listener.port), timeout=20) for _ in range(60)]
    echo(destination(listener))
    for peer in silent:
        peer.close()


def test_a_message_that_never_ends_is_cut_off_at_the_largest_object(ward, listen):
    listener, ds = listen(), film()
    ds.PixelData = bytes(19 << 20)  # the limit of these tests is 16 MB
    with pytest.raises(DeliveryError):
        send(as_file(ds), destination(listener))
    echo(destination(listener))
    assert ward.files() == []


@pytest.mark.peer
def test_dcmtk_echoes_and_pushes_films_of_several_kinds(ward, listen, tmp_path):
    echoscu, storescu = dcmtk("echoscu"), dcmtk("storescu")
    listener = listen()
    files = []
    for number, sop_class in enumerate(
        ["1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.7"]
    ):
        files.append(tmp_path / f"{number}.dcm")
        files[-1].write_bytes(as_file(film(sop_class=sop_class)))
    state = film(sop_class=GrayscaleSoftcopyPresentationStateStorage)
    files.append(tmp_path / "state.dcm")
    files[-1].write_bytes(as_file(state))
    peer = ["-aec", "CARINA", "127.0.0.1", str(listener.port)]

    subprocess.run([echoscu, *peer], check=True, timeout=30)
    subprocess.run([storescu, *peer, *map(str, files)], check=True, timeout=30)

    assert len(ward.files()) == 4
    assert len(ward.arrived) == 3


@pytest.mark.peer
def test_dcmtk_pushes_real_films_compressed_as_they_are(ward, listen, shared_data: Path):
    storescu, listener = dcmtk("storescu"), listen()
    syntaxes = {
        "chest_cr_jpeg_baseline": "-xy",
        "chest_cr_monochrome1_jpeg2000": "-xw",
        "chest_cr_monochrome1_jpegls": "-xu",
        "hip_cr_rle": "-xr",
        "leg_cr_jpeg_lossless": "-xs",
    }
    for name, option in syntaxes.items():
        peer = ["-aec", "CARINA", "127.0.0.1", str(listener.port)]
        path = str(shared_data / "dicom" / f"{name}.dcm")
        subprocess.run([storescu, option, *peer, path], check=True, timeout=30)
    kept = [i for s in ward.index.studies() for i in ward.index.instances(s.study_uid)]
    assert len({i.transfer_syntax_uid for i in kept}) == 5
    assert JPEGLosslessSV1 in {i.transfer_syntax_uid for i in kept}
