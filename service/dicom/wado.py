"""WADO-RS (PS3.18 10.4): stored objects as multipart messages, frames, metadata and pictures."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

import numpy as np
from PIL import Image

from models.refusal import Refusal
from service.decoding import Decoding
from service.errors import InvalidObjectError, NotAcceptableError
from service.records import Instance
from service.store.objects import ObjectStore

OCTETS = "application/octet-stream"
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


def files(objects: ObjectStore, instances: Iterable[Instance]) -> Iterator[Part]:
    """Stored files as they are, one after the other."""
    for instance in instances:
        kind = f"application/dicom; transfer-syntax={instance.transfer_syntax_uid}"
        yield Part(kind, objects.get(instance.object_key))


def frames(
    data: bytes, numbers: Sequence[int], *, as_stored: bool, decoding: Decoding
) -> list[Part]:
    """Frames of an object, counted from 1; all of them where `numbers` is empty.

    Parameters
    ----------
    as_stored : compressed frames stay so; else each becomes little-endian pixels.

    Raises
    ------
    NotFoundError : the object has no such frame, or no pixel data.
    InvalidObjectError : the pixel data cannot be decoded.
    UsageError : the frames are more than can be held at once.
    """
    try:
        found = decoding.frames(data, numbers, as_stored=as_stored)
    except Refusal as refusal:
        raise InvalidObjectError(refusal.message) from refusal
    syntax = found.transfer_syntax_uid
    kind = f"{_MEDIA_TYPES.get(syntax, OCTETS)}; transfer-syntax={syntax}"
    return [Part(kind, body) for body in found.bodies]


def value(data: bytes, way: str, decoding: Decoding) -> bytes:
    """A binary value of an object.

    Raises
    ------
    NotFoundError : no binary value lies there.
    InvalidObjectError : the object cannot be read.
    """
    try:
        return decoding.value(data, way)
    except Refusal as refusal:
        raise InvalidObjectError(refusal.message) from refusal


def rendered(
    data: bytes,
    media_type: str,
    quality: int,
    viewport: tuple[int, int] | None,
    decoding: Decoding,
) -> bytes:
    """The first frame of an image of any size as a viewer would show it at first.

    Parameters
    ----------
    media_type : image/jpeg or image/png.
    quality : 1 to 100, for JPEG.
    viewport : (width, height) that the picture must fit into.

    Raises
    ------
    InvalidObjectError : the object is no image, or cannot be decoded.
    """
    try:
        pixels = decoding.picture(data)
    except Refusal as refusal:
        raise InvalidObjectError(refusal.message) from refusal
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
    raise NotAcceptableError("expected image/jpeg or image/png to be accepted, found neither")


def accepts(accept: str, kinds: Sequence[str]) -> bool:
    """Whether a client takes one of these media types, alone or within a multipart message."""
    return any(_covers(entry, kind) for entry in accept.lower().split(",") for kind in kinds)


def _covers(entry: str, kind: str) -> bool:
    base, *parameters = (part.strip() for part in entry.split(";"))
    if base in ("multipart/related", "multipart/*"):
        inner = [part.partition("=")[2].strip('" ') for part in parameters if part[:4] == "type"]
        base = inner[0] if inner else kind
    return base in ("", "*/*", kind, f"{kind.partition('/')[0]}/*")


def wants_stored(accept: str) -> bool:
    """Whether a client takes frames in the encoding that they are stored in."""
    wanted = accept.lower().replace(" ", "").replace('"', "")
    return "transfer-syntax=*" in wanted or OCTETS not in wanted
