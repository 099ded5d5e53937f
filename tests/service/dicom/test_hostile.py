"""Hundreds of broken and hostile files through the one way in: kept, or refused in plain words."""

from __future__ import annotations

import random
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    RLELossless,
)

from service.decoder import Decoder
from service.decoding import InProcess
from service.dicom import bulk_data, header, wado
from service.dicom.description import Look
from service.dicom.header import read_file_header, read_header
from service.errors import InvalidObjectError, NotFoundError, UsageError
from tests.service.dicom.conftest import Ward
from tests.service.dicom.films import as_file, film
from tests.service.dicom.hostile import SYNTAXES, data_set_start, deep, whole

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

# Unlike those of hostile.py these also break the preamble and the file meta group.


def truncated(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data))]


def flipped(data: bytes, dice: random.Random) -> bytes:
    broken = bytearray(data)
    for _ in range(dice.choice([1, 3, 30])):
        broken[dice.randrange(128, min(len(broken), 1500))] = dice.randrange(256)
    return bytes(broken)


def huge_length(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(132, min(len(data), 1200))
    return data[:at] + dice.choice([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f"]) + data[at + 4 :]


def spliced(data: bytes, dice: random.Random) -> bytes:
    at, until = sorted(dice.randrange(132, len(data)) for _ in range(2))
    return data[:at] + data[until:]


def renamed(data: bytes, dice: random.Random) -> bytes:
    """A UID made of path and control characters, of the same length."""
    at = data.find(b"1.2.826.", 600)
    evil = dice.choice([b"../../..", b"/etc/pas", b"\0\0\0\0\0\0\0\0", b"a\nb\rc\td", b"\xff" * 8])
    return data[:at] + evil + data[at + 8 :] if at > 0 else data


MUTATIONS = [whole, truncated, flipped, huge_length, spliced, deep, renamed]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.__name__)
def test_mutated_files_are_kept_or_refused_and_nothing_else(ward: Ward, mutation):
    dice = random.Random(mutation.__name__)
    originals = [as_file(film(syntax=syntax, shape=(8, 8))) for syntax in SYNTAXES]
    before = outside(ward)
    kept = 0
    for number in range(60):
        data = mutation(originals[number % len(originals)], dice)
        try:
            outcome = ward.ingest.take(data, source="import", actor="X").outcome
        except InvalidObjectError:
            pass
        else:
            kept += outcome != "duplicate"
    assert len(ward.files()) == kept
    assert outside(ward) == before
    assert all(path.is_relative_to(ward.folder / "objects") for path in ward.files())


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.__name__)
def test_what_was_kept_is_served_or_refused_and_nothing_else(ward: Ward, mutation):
    dice = random.Random(mutation.__name__)
    originals = [as_file(film(syntax=syntax, shape=(8, 8))) for syntax in SYNTAXES]
    originals.append(as_file(compressed()))
    served, here = 0, InProcess()
    for number in range(40):
        data = mutation(originals[number % len(originals)], dice)
        with suppress(InvalidObjectError):
            uid = ward.ingest.take(data, source="import", actor="X").sop_instance_uid
            instance = ward.index.instance(uid)
            for answer in (
                lambda i=instance: Look(ward.descriptions()).header(i),
                lambda d=data: wado.frames(d, [1], as_stored=True, decoding=here),
                lambda d=data: wado.frames(d, [1], as_stored=False, decoding=here),
                lambda d=data: wado.value(d, "7FE00010", here),
                lambda d=data: wado.rendered(d, "image/png", 90, None, here),
            ):
                with suppress(InvalidObjectError, NotFoundError):
                    served += bool(answer())
    assert served or mutation in (truncated, spliced)


def compressed():
    ds = film(shape=(8, 8))
    ds.compress(RLELossless, generate_instance_uid=False)
    return ds


def outside(ward: Ward) -> set[Path]:
    """Everything beside the objects and the database."""
    return {
        path
        for path in ward.folder.parent.rglob("*")
        if not path.is_relative_to(ward.folder / "objects") and "carina.sqlite" not in path.name
    }


@pytest.mark.parametrize("syntax", [*SYNTAXES, "", "1.2.3", "nonsense"])
def test_noise_is_no_data_set(syntax):
    dice = random.Random(str(syntax))
    for size in (0, 1, 7, 8, 100, 5000):
        noise = dice.randbytes(size)
        try:
            found = read_header(noise, syntax)
        except InvalidObjectError:
            continue
        assert found["SOPInstanceUID"] == ""


def test_a_deflated_bomb_is_inflated_only_as_far_as_its_header():
    ds = film(syntax=DeflatedExplicitVRLittleEndian)
    data = as_file(ds)
    start = 144 + int.from_bytes(data[140:144], "little")
    plain = zlib.decompress(data[start:], -zlib.MAX_WBITS)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(plain) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(64))
    bomb += packer.flush()

    found = read_file_header(data[:start] + bomb)

    assert found["SOPInstanceUID"] == ds.SOPInstanceUID


def test_a_header_of_more_parts_than_are_read_is_refused(monkeypatch):
    monkeypatch.setattr(header, "_MOST_READS", 1000)
    data = as_file(film(shape=(8, 8)))
    start = data_set_start(data)
    opened = b"\x08\x00\x06\x00SQ\0\0\xff\xff\xff\xff"
    items, closed = b"\xfe\xff\x00\xe0\0\0\0\0" * 1000, b"\xfe\xff\xdd\xe0\0\0\0\0"
    for before in (opened + items + closed, b"\x08\x00\x01\x00LO\0\0" * 1000):
        with pytest.raises(InvalidObjectError, match="found OSError"):
            read_file_header(data[:start] + before + data[start:])
    assert read_file_header(data)["PatientID"] == "P1"


def test_a_value_of_many_megabytes_is_cut_not_kept():
    value = b"A" * (4 << 20)
    element = struct.pack("<HH2sHI", 0x0010, 0x0010, b"UN", 0, len(value)) + value
    assert len(read_header(element, ExplicitVRLittleEndian)["PatientName"]) <= 1024


@pytest.mark.parametrize("decoder", [InProcess(), Decoder()], ids=["here", "there"])
def test_a_frame_that_is_asked_for_many_times_is_decoded_and_held_once(decoder):
    parts = wado.frames(as_file(compressed()), [1] * 200, as_stored=False, decoding=decoder)
    assert len(parts) == 200
    assert len({id(part.body) for part in parts}) == 1
    if isinstance(decoder, Decoder):
        decoder.close()


def test_more_frames_than_can_be_held_are_refused(monkeypatch):
    monkeypatch.setattr(bulk_data, "MOST_DECODED_BYTES", 150)
    ds = film(shape=(8, 8))
    ds.NumberOfFrames = 2
    ds.PixelData = ds.PixelData * 2
    data, here = as_file(ds), InProcess()
    assert len(wado.frames(data, [2], as_stored=False, decoding=here)) == 1
    with pytest.raises(UsageError, match="fewer frames"):
        wado.frames(data, [1, 2], as_stored=False, decoding=here)
