"""The bytes of a DICOM file as a data set (PS3.10), within bounds."""

from __future__ import annotations

import copy
import io
import struct
import warnings
import zlib

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from models.refusal import Refusal

MAX_FILE_BYTES = 512 << 20
_LONG_LENGTH = (b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC", b"UR", b"OF", b"OD", b"OL")
_FIRST_GROUPS = (b"\x08\x00", b"\x02\x00", b"\x00\x08")  # group 0008 in either byte order


def parse(data: bytes) -> Dataset:
    """Parse a DICOM file, with or without its preamble.

    Raises
    ------
    Refusal : `undecodable` when it is no DICOM, `truncated` when it ends too early.
    """
    if data[128:132] != b"DICM" and data[:2] not in _FIRST_GROUPS:
        found = "nothing" if not data.strip(b"\0") else "something else"
        raise Refusal("undecodable", f"expected DICOM, PNG or JPEG, found {found}")
    _check_inflated_size(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values of the patient
            ds = dcmread(io.BytesIO(data), force=True)
    except (EOFError, struct.error, zlib.error) as error:
        raise Refusal(
            "truncated", "expected a whole DICOM file, found its end missing; send it again"
        ) from error
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
            raise
        # The edge to a parser and hostile bytes: whatever it raises, there is no data set.
        raise Refusal(
            "undecodable",
            f"expected a DICOM file, found {type(error).__name__} while reading it",
        ) from error
    if not len(ds):  # pydicom gives nothing back where an element runs past the end
        raise Refusal(
            "truncated", "expected a whole DICOM file, found its end missing; send it again"
        )
    return ds


def with_transfer_syntax(ds: Dataset) -> Dataset:
    """The data set with a file meta header that names a transfer syntax; a copy where it lacked."""
    if getattr(getattr(ds, "file_meta", None), "TransferSyntaxUID", ""):
        return ds
    named = copy.copy(ds)
    named.file_meta = FileMetaDataset()
    # PS3.5 section 10: implicit little endian is the default.
    implicit = ds.original_encoding[0] is not False
    named.file_meta.TransferSyntaxUID = (
        ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    )
    return named


def _check_inflated_size(data: bytes) -> None:
    """Refuse a deflated data set that unfolds beyond the limit, before pydicom unfolds it."""
    syntax, start = _meta_of(data)
    if syntax != DeflatedExplicitVRLittleEndian:
        return
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflater.decompress(data[start:], MAX_FILE_BYTES)
    except zlib.error as error:
        raise Refusal("undecodable", "expected a deflated data set, found other data") from error
    if inflater.unconsumed_tail:
        raise Refusal("undecodable", f"expected at most {MAX_FILE_BYTES >> 20} MiB after inflating")


def _meta_of(data: bytes) -> tuple[str, int]:
    """Transfer syntax, and where the file meta group (explicit, little endian) ends."""
    position, syntax = (132 if data[128:132] == b"DICM" else 0), ""
    while data[position : position + 2] == b"\x02\x00" and position + 12 <= len(data):
        element, vr = data[position + 2 : position + 4], data[position + 4 : position + 6]
        if vr in _LONG_LENGTH:
            length, head = struct.unpack_from("<I", data, position + 8)[0], 12
        else:
            length, head = struct.unpack_from("<H", data, position + 6)[0], 8
        value = data[position + head : position + head + length]
        if element == b"\x10\x00":
            syntax = value.decode("ascii", "replace").strip(" \0")
        position += head + length
    return syntax, position
