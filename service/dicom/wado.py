"""WADO-RS (PS3.18 10.4): stored objects as multipart messages, frames, metadata and pictures."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from models.part10 import parse
from models.refusal import Refusal
from models.tags import whole
from service.decoding import Decoding
from service.errors import InvalidObjectError, NotFoundError, UsageError
from service.records import Instance
from service.store.objects import ObjectStore

OCTETS = "application/octet-stream"
NATIVE = "1.2.840.10008.1.2.1"
_MEDIA_TYPES = {  # PS3.18 table 8.7.3-5
    "1.2.840.10008.1.2.5": "image/dicom-rle",
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.201": "image/jphc",
    "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc",
}
MOST_DECODED_BYTES = 512 << 20
_PICTURES = {"image/jpeg": "JPEG", "image/png": "PNG"}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart message."""

    content_type: str
    body: bytes


def multipart(parts: Iterable[Part], boundary: str) -> Iterator[bytes]:
    """A multipart message (RFC 2387), part by part."""
    for part in parts:
        yield f"--{boundary}\r\nContent-Type: {part.content_type}\r\n\r\n".encode()
        yield part.body
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def new_boundary() -> str:
    """A boundary that no part contains, but for a chance of 2^-122."""
    return uuid4().hex


def header(objects: ObjectStore, instance: Instance) -> Dataset:
    """Header of a stored object, without pixel data.

    Raises
    ------
    InvalidObjectError : the stored bytes cannot be read as a data set.
    """
    path = objects.path(instance.object_key)
    if path is None or instance.transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        return _parse(objects.get(instance.object_key))  # inflates within bounds
    with _plainly("expected a stored object that can be read"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote values of the patient
        return dcmread(path, stop_before_pixels=True)


def files(objects: ObjectStore, instances: Iterable[Instance]) -> Iterator[Part]:
    """Stored files as they are, one after the other."""
    for instance in instances:
        kind = f"application/dicom; transfer-syntax={instance.transfer_syntax_uid}"
        yield Part(kind, objects.get(instance.object_key))


def frames(data: bytes, numbers: list[int], *, as_stored: bool, decoding: Decoding) -> list[Part]:
    """Frames of an object, counted from 1.

    Parameters
    ----------
    as_stored : compressed frames stay so; else each becomes little-endian pixels.

    Raises
    ------
    NotFoundError : the object has no such frame, or no pixel data.
    InvalidObjectError : the pixel data cannot be decoded.
    UsageError : the frames are more than can be held at once.
    """
    ds = _parse(data)
    count = max(whole(ds, "NumberOfFrames", 1), 1)
    if "PixelData" not in ds or not all(1 <= number <= count for number in numbers):
        raise NotFoundError(f"expected frames of 1 to {count} of an image, found none such")
    syntax = UID(ds.file_meta.TransferSyntaxUID)
    if syntax.is_encapsulated and as_stored:
        kind = f"{_MEDIA_TYPES.get(syntax, OCTETS)}; transfer-syntax={syntax}"
        with _plainly("expected frames that can be told apart"):
            stored = dict(enumerate(generate_frames(ds.PixelData, number_of_frames=count), 1))
            return [Part(kind, stored[number]) for number in numbers]
    decoded: dict[int, bytes] = {}
    for number in numbers:
        if number not in decoded:
            decoded[number] = _pixels(ds, number, syntax, data, decoding)
            _bound(decoded.values())
    return [Part(f"{OCTETS}; transfer-syntax={NATIVE}", decoded[number]) for number in numbers]


def _bound(held: Iterable[bytes]) -> None:
    if sum(map(len, held)) > MOST_DECODED_BYTES:
        raise UsageError(
            f"expected frames of at most {MOST_DECODED_BYTES >> 20} MB together, found more; "
            "ask for fewer frames at once"
        )


def rendered(
    data: bytes,
    media_type: str,
    quality: int,
    viewport: tuple[int, int] | None,
    decoding: Decoding,
) -> bytes:
    """The first frame as a picture in its own window, as a viewer would show it at first.

    Parameters
    ----------
    media_type : image/jpeg or image/png.
    quality : 1 to 100, for JPEG.
    viewport : (width, height) that the picture must fit into.

    Raises
    ------
    InvalidObjectError : the object is no film, or cannot be decoded.
    """
    try:
        pixels = decoding.read(data).pixels
    except Refusal as refusal:
        raise InvalidObjectError(f"expected a film to render, found {refusal.message}") from refusal
    picture = Image.fromarray(np.round(pixels * 255).astype(np.uint8))
    if viewport is not None:
        picture.thumbnail(viewport)
    buffer = io.BytesIO()
    options = {"quality": quality} if media_type == "image/jpeg" else {}
    picture.save(buffer, _PICTURES[media_type], **options)
    return buffer.getvalue()


def picture_type(accept: str) -> str:
    """The picture type that a client asked for; JPEG where it does not say (PS3.18 8.7.4)."""
    wanted = [entry.partition(";")[0].strip().lower() for entry in accept.split(",")]
    for kind in wanted:
        if kind in _PICTURES:
            return kind
        if kind in ("", "*/*", "image/*"):
            return "image/jpeg"
    raise UsageError("expected image/jpeg or image/png to be accepted, found neither")


def wants_stored(accept: str) -> bool:
    """Whether a client takes frames in the encoding that they are stored in."""
    wanted = accept.lower().replace(" ", "").replace('"', "")
    return "transfer-syntax=*" in wanted or OCTETS not in wanted


def _pixels(ds: Dataset, number: int, syntax: UID, data: bytes, decoding: Decoding) -> bytes:
    size = _frame_bytes(ds)
    if not syntax.is_encapsulated and syntax != ExplicitVRBigEndian and size is not None:
        frame = bytes(ds.PixelData[(number - 1) * size : number * size])
        if len(frame) == size:
            return frame
    try:
        return decoding.frame(data, number)
    except Refusal as refusal:
        raise InvalidObjectError(refusal.message) from refusal


def _frame_bytes(ds: Dataset) -> int | None:
    """Size of one native frame, None where frames do not begin at whole bytes."""
    shape = [whole(ds, keyword) for keyword in ("Rows", "Columns", "BitsAllocated")]
    bits = shape[0] * shape[1] * shape[2] * whole(ds, "SamplesPerPixel", 1)
    if bits > 8 * MOST_DECODED_BYTES:
        raise InvalidObjectError(
            f"expected a frame of at most {MOST_DECODED_BYTES >> 20} MB, found a larger one"
        )
    return bits // 8 if bits % 8 == 0 else None


def _parse(data: bytes) -> Dataset:
    try:
        return parse(data)
    except Refusal as refusal:
        raise InvalidObjectError(refusal.message) from refusal


@contextmanager
def _plainly(expected: str) -> Iterator[None]:
    """The edge to parsers and decoders: whatever hostile bytes make them raise is one error."""
    try:
        yield
    except Exception as error:
        raise InvalidObjectError(
            f"{expected}, found {type(error).__name__} in its bytes"
        ) from error
