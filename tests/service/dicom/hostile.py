"""Hostile DICOM files, the same for the same seed: broken, lying, huge, deep, and badly named."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from tests.service.dicom.films import as_file, film

SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]
Mutation = Callable[[Dataset, random.Random], bytes]


@dataclass(frozen=True)
class Hostile:
    """One file: what was done to it, and what its sender says that it is."""

    name: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data: bytes

    @property
    def data_set(self) -> bytes:
        """What comes after the file meta group: the part that C-STORE sends."""
        return self.data[data_set_start(self.data) :]


def generate(seed: int, count: int) -> Iterator[Hostile]:
    """`count` files, each kind of harm in its turn."""
    dice = random.Random(seed)
    for number in range(count):
        name, mutation = list(MUTATIONS.items())[number % len(MUTATIONS)]
        ds = original(f"{seed}.{number}", dice)
        data = mutation(ds, dice)
        syntax = str(ds.file_meta.TransferSyntaxUID)
        yield Hostile(name, str(ds.SOPClassUID), str(ds.SOPInstanceUID), syntax, data)


def original(entropy: str, dice: random.Random) -> Dataset:
    """A small film that nothing was done to yet; its UIDs follow from `entropy`."""
    ds = film(syntax=dice.choice(SYNTAXES), shape=(8, 8))
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        setattr(ds, keyword, generate_uid(entropy_srcs=[entropy, keyword]))
    ds.PatientID = entropy
    return ds


def data_set_start(data: bytes) -> int:
    """Where the data set begins in a file with an intact meta group."""
    return 144 + int.from_bytes(data[140:144], "little")


def whole(data: bytes, dice: random.Random) -> bytes:
    return data


def truncated(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(data_set_start(data) + 1, len(data))]


def flipped(data: bytes, dice: random.Random) -> bytes:
    broken, start = bytearray(data), data_set_start(data)
    for _ in range(dice.choice([1, 3, 30])):
        broken[dice.randrange(start, len(broken))] = dice.randrange(256)
    return bytes(broken)


def huge_length(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(data_set_start(data), len(data))
    return data[:at] + dice.choice([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f"]) + data[at + 4 :]


def spliced(data: bytes, dice: random.Random) -> bytes:
    start = data_set_start(data)
    at, until = sorted(dice.randrange(start, len(data)) for _ in range(2))
    return data[:at] + data[until:]


def deep(data: bytes, dice: random.Random) -> bytes:
    """Sequences of undefined length, one inside the other, before the study is named."""
    level = b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    start, levels = data_set_start(data), dice.choice([10, 900, 20_000])
    return data[:start] + level * levels + closing * dice.choice([0, levels]) + data[start:]


def renamed(data: bytes, dice: random.Random) -> bytes:
    """A UID made of path and control characters, of the same length."""
    at = data.find(b"1.2.826.", data_set_start(data))
    evil = dice.choice([b"../../..", b"/etc/pas", b"\0\0\0\0\0\0\0\0", b"a\nb\rc\td", b"\xff" * 8])
    return data[:at] + evil + data[at + 8 :] if at > 0 else data


def wrong_vr(data: bytes, dice: random.Random) -> bytes:
    """One element with the VR of another."""
    right = dice.choice([b"UI", b"DA", b"PN", b"US", b"LO"])
    at = data.find(right, data_set_start(data))
    wrong = dice.choice([b"SQ", b"OB", b"FD", b"UN", b"US", b"\0\0", b"ZZ"])
    return data[:at] + wrong + data[at + 2 :] if at > 0 else data


def _of_bytes(change: Callable[[bytes, random.Random], bytes]) -> Mutation:
    return lambda ds, dice: change(as_file(ds), dice)


def _bomb(ds: Dataset, dice: random.Random) -> bytes:
    """A few hundred kilobytes that inflate to 64 MB."""
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data = as_file(ds)
    start = data_set_start(data)
    plain = zlib.decompress(data[start:], -zlib.MAX_WBITS)
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    zeros = bytes(1 << 20)
    bomb = packer.compress(plain) + b"".join(packer.compress(zeros) for _ in range(64))
    return data[:start] + bomb + packer.flush()


def _one_pixel(ds: Dataset, dice: random.Random) -> bytes:
    ds.Rows = ds.Columns = 1
    ds.PixelData = b"\1\0"
    return as_file(ds)


def _claimed_large(ds: Dataset, dice: random.Random) -> bytes:
    ds.Rows = ds.Columns = dice.choice([30_000, 65_535])
    return as_file(ds)


def _many_frames(ds: Dataset, dice: random.Random) -> bytes:
    ds.NumberOfFrames = dice.choice([1000, 2_147_483_647, 0, -1])
    return as_file(ds)


def _lying_stream(ds: Dataset, dice: random.Random) -> bytes:
    """Encapsulated pixel data whose code stream says something else than the header, or nothing."""
    syntax, stream = dice.choice(list(_STREAMS.items()))
    rows, columns = dice.choice([(512, 512), (30_000, 30_000), (1, 1)])
    size = struct.pack(">HH", *dice.choice([(512, 512), (65_535, 65_535), (0, 0)]))
    ds.file_meta.TransferSyntaxUID = syntax
    ds.Rows, ds.Columns = rows, columns
    fragment = stream(size, dice) + dice.randbytes(dice.choice([0, 2, 400]))
    ds.PixelData = encapsulate([fragment + b"\0" * (len(fragment) % 2)])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    data = as_file(ds)
    return flipped(data, dice) if dice.random() < 0.3 else data


def _jpeg(frame: bytes) -> Callable[[bytes, random.Random], bytes]:
    """A JPEG or JPEG-LS frame header (ISO 10918-1 B.2.2) and noise where its scan should be."""

    def stream(size: bytes, dice: random.Random) -> bytes:
        header = frame + b"\0\x0b\x0c" + size + b"\1\1\x11\0"
        return b"\xff\xd8" + header + b"\xff\xda\0\x08\1\1\0\1\0\0" + dice.randbytes(200)

    return stream


def _jpeg_2000(size: bytes, dice: random.Random) -> bytes:
    """An SIZ segment (ISO 15444-1 A.5.1) that promises an image, and noise instead of tiles."""
    rows, columns = struct.unpack(">HH", size)
    siz = struct.pack(">HIIIIIIIIH", 0, columns, rows, 0, 0, columns, rows, 0, 0, 1) + b"\x0b\1\1"
    return b"\xff\x4f\xff\x51" + struct.pack(">H", len(siz) + 2) + siz + dice.randbytes(200)


def _rle(size: bytes, dice: random.Random) -> bytes:
    """An RLE header (PS3.5 G.5) whose segments lie beyond the end, or overlap."""
    count = dice.choice([0, 2, 15, 4_000_000_000])
    offsets = [dice.choice([64, 0, 4_294_967_295]) for _ in range(15)]
    return struct.pack("<16I", count, *offsets) + dice.randbytes(200)


_STREAMS: dict[UID, Callable[[bytes, random.Random], bytes]] = {
    JPEGBaseline8Bit: _jpeg(b"\xff\xc0"),
    JPEGLosslessSV1: _jpeg(b"\xff\xc3"),
    JPEGLSLossless: _jpeg(b"\xff\xf7"),
    JPEG2000Lossless: _jpeg_2000,
    RLELossless: _rle,
}
OF_BYTES = [whole, truncated, flipped, huge_length, spliced, deep, renamed, wrong_vr]
MUTATIONS: dict[str, Mutation] = {
    **{one.__name__: _of_bytes(one) for one in OF_BYTES},
    "bomb": _bomb,
    "one pixel": _one_pixel,
    "claimed large": _claimed_large,
    "many frames": _many_frames,
    "lying stream": _lying_stream,
    "another lying stream": _lying_stream,
}


def association_request(
    called: bytes,
    calling: bytes,
    sop_class_uid: str = "1.2.840.10008.1.1",
    transfer_syntax_uid: str = "1.2.840.10008.1.2",
) -> bytes:
    """A-ASSOCIATE-RQ (PS3.8 9.3.2) for one context, number 1, whatever the AE titles hold."""
    uid = b"1.2.840.10008.3.1.1.1"
    syntaxes = _item(0x30, sop_class_uid.encode()) + _item(0x40, transfer_syntax_uid.encode())
    context = b"\1\0\0\0" + syntaxes
    user = _item(0x51, struct.pack(">I", 16384)) + _item(0x52, b"1.2.3")
    titles = called[:16].ljust(16) + calling[:16].ljust(16) + bytes(32)
    items = _item(0x10, uid) + _item(0x20, context) + _item(0x50, user)
    body = struct.pack(">HH", 1, 0) + titles + items
    return struct.pack(">BBI", 1, 0, len(body)) + body


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(value)) + value
