"""Frames and values of one stored object, as WADO-RS serves them.

What is here reads whole data sets from the network: only a `service.decoding_process` calls it.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian

from models.part10 import parse
from models.radiograph import show
from models.refusal import Refusal
from models.tags import whole
from service.errors import NotFoundError, UsageError

MOST_DECODED_BYTES = 512 << 20
WAY = re.compile(r"[0-9A-F]{8}(/\d{1,5}/[0-9A-F]{8}){0,16}")
"""From the data set to a value: its tag, with sequence and item before it, as `dicom_json` says."""

_WORDS = {"OW": "u2", "OF": "u4", "OL": "u4", "OD": "u8", "OV": "u8"}


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames of an object in the order asked for, and the transfer syntax that they are in."""

    transfer_syntax_uid: str
    bodies: tuple[bytes, ...]


def frames(data: bytes, numbers: Sequence[int], *, as_stored: bool) -> Frames:
    """Frames of a DICOM file, counted from 1.

    Parameters
    ----------
    numbers : none for every frame that there is.
    as_stored : compressed frames stay so; else each becomes little-endian pixels.

    Raises
    ------
    Refusal : the pixel data cannot be decoded.
    NotFoundError : the object has no such frame, or no pixel data.
    UsageError : the frames are more than can be held at once.
    """
    ds = parse(data)
    count = max(whole(ds, "NumberOfFrames", 1), 1)
    if "PixelData" not in ds or not all(1 <= number <= count for number in numbers):
        raise NotFoundError(f"expected frames of 1 to {count} of an image, found none such")
    syntax = UID(ds.file_meta.TransferSyntaxUID)
    if syntax.is_encapsulated and as_stored:
        return Frames(syntax, tuple(_stored(ds, numbers, count)))
    decoded: dict[int, bytes] = {}
    for number in numbers or range(1, count + 1):
        if number not in decoded:
            decoded[number] = _pixels(ds, number)
            _bound(decoded.values())
    wanted = numbers or sorted(decoded)
    return Frames(ExplicitVRLittleEndian, tuple(decoded[number] for number in wanted))


def picture(data: bytes) -> NDArray[np.float32]:
    """The first frame of a DICOM image as a viewer shows it at first: see `radiograph.show`.

    Raises
    ------
    Refusal : the file is no image that can be decoded.
    """
    ds = parse(data)
    if whole(ds, "NumberOfFrames", 1) > 1:
        ds = _first_frame(ds)
    return show(ds)


def _first_frame(ds: Dataset) -> Dataset:
    """The data set with its first frame alone."""
    count = whole(ds, "NumberOfFrames", 1)
    if "PixelData" not in ds:
        raise Refusal("truncated", "expected frames after the image's header, found none")
    first = copy.copy(ds)
    first.NumberOfFrames = 1
    if UID(ds.file_meta.TransferSyntaxUID).is_encapsulated:
        (frame,) = _stored(ds, [1], count)
        first.PixelData = encapsulate([frame])
    else:
        first.PixelData = ds.PixelData[: _frame_bytes(ds)]
    return first


def value(data: bytes, way: str) -> bytes:
    """A binary value of a DICOM file, in little-endian order.

    Raises
    ------
    Refusal : the file cannot be read.
    NotFoundError : no binary value lies there.
    """
    ds = parse(data)
    element = _element_at(ds, way)
    found = element.value if element is not None else None
    if not isinstance(found, bytes):
        raise NotFoundError("expected a binary value under this address, found none")
    if ds.file_meta.TransferSyntaxUID == ExplicitVRBigEndian and element is not None:
        word = _WORDS.get(element.VR, "u1")
        return np.frombuffer(found, f">{word}").astype(f"<{word}").tobytes()
    return found


def _element_at(ds: Dataset, way: str) -> DataElement | None:
    *above, tag = way.split("/")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values of the patient
            for sequence, item in zip(above[::2], above[1::2], strict=True):
                ds = ds[int(sequence, 16)].value[int(item)]
            return ds[int(tag, 16)]
    except Exception:  # noqa: BLE001
        # The edge to a parser and hostile bytes: whatever it raises, nothing lies there.
        return None


def _stored(ds: Dataset, numbers: Sequence[int], count: int) -> Iterator[bytes]:
    with _plainly("expected frames that can be told apart"):
        stored = dict(enumerate(generate_frames(ds.PixelData, number_of_frames=count), 1))
        yield from [stored[number] for number in numbers or stored]


def _pixels(ds: Dataset, number: int) -> bytes:
    """Little-endian pixels of one frame."""
    syntax, size = UID(ds.file_meta.TransferSyntaxUID), _frame_bytes(ds)
    if not syntax.is_encapsulated and syntax != ExplicitVRBigEndian and size is not None:
        frame = bytes(ds.PixelData[(number - 1) * size : number * size])
        if len(frame) == size:
            return frame
    with _plainly("expected pixel data that can be decoded"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote values of the patient
        pixels = pixel_array(ds, index=number - 1, raw=True)
        return bytes(pixels.astype(pixels.dtype.newbyteorder("<")).tobytes())


def _frame_bytes(ds: Dataset) -> int | None:
    """Size of one native frame, None where frames do not begin at whole bytes."""
    shape = [whole(ds, keyword) for keyword in ("Rows", "Columns", "BitsAllocated")]
    bits = shape[0] * shape[1] * shape[2] * whole(ds, "SamplesPerPixel", 1)
    if bits > 8 * MOST_DECODED_BYTES:
        raise Refusal(
            "undecodable",
            f"expected a frame of at most {MOST_DECODED_BYTES >> 20} MB, found a larger one",
        )
    return bits // 8 if bits % 8 == 0 else None


def _bound(held: Iterable[bytes]) -> None:
    if sum(map(len, held)) > MOST_DECODED_BYTES:
        raise UsageError(
            f"expected frames of at most {MOST_DECODED_BYTES >> 20} MB together, found more; "
            "ask for fewer frames at once"
        )


@contextmanager
def _plainly(expected: str) -> Iterator[None]:
    """The edge to decoders: whatever hostile bytes make them raise is one refusal."""
    try:
        yield
    except Refusal:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit | MemoryError):
            raise
        # As in models.radiograph: Rust panics are no Exception.
        raise Refusal(
            "undecodable", f"{expected}, found {type(error).__name__} in its bytes"
        ) from error
