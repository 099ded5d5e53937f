"""The few elements of an object that Carina indexes, read from its bytes without the pixel data.

Everything here faces hostile bytes: reading stops before the pixel data and after so many parts, a
deflated data set is inflated only as far as its header, values are read as raw bytes and decoded
leniently, and whatever a parser raises becomes one `InvalidObjectError` that quotes no value of the
patient.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from pydicom.charset import decode_bytes, python_encoding
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

import service.dicom.character_sets  # noqa: F401  # how pydicom reads text from now on
from service.errors import InvalidObjectError

# 2.25.<UUID>, made once for Carina (PS3.5 B.2).
IMPLEMENTATION_CLASS_UID = "2.25.192317362004111499606771120081496652363"
IMPLEMENTATION_VERSION = "CARINA_0_1"

INDEXED = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyDate",
    "SeriesDate",
    "AcquisitionDate",
    "ContentDate",
    "AcquisitionDateTime",
    "StudyTime",
    "SeriesTime",
    "AcquisitionTime",
    "ContentTime",
    "AccessionNumber",
    "Modality",
    "StudyDescription",
    "TimezoneOffsetFromUTC",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "SeriesInstanceUID",
)
_TAGS = {keyword: Tag(keyword) for keyword in INDEXED}
_LAST_TAG = max(int(tag) for tag in _TAGS.values())
_MAX_VALUE_BYTES = 1024  # the longest indexed value (a PN of three groups) has 194 characters
_MAX_INFLATED_BYTES = 8 << 20  # a header of a film has some 10 kB
_MOST_READS = 1_000_000  # some four seconds; a key object note on 10,000 images has 100,000
_GROUP_0002 = b"\x02\x00"
_MAGIC = b"DICM"


@dataclass(frozen=True, slots=True)
class Header:
    """Indexed elements as stripped text by keyword; "" where absent or unreadable."""

    values: Mapping[str, str]
    transfer_syntax_uid: str

    def __getitem__(self, keyword: str) -> str:
        return self.values.get(keyword, "")


class _Counted(io.BytesIO):
    """Bytes that are read from so many times: empty elements cost little to send, but time here."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)  # shares the bytes
        self._left = _MOST_READS

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes.

        Raises
        ------
        OSError : asked once too often.
        """
        self._left -= 1
        if self._left < 0:
            raise OSError("a header of more parts than are read")
        return super().read(size)


def with_preamble(data: bytes) -> bytes:
    """The file with the preamble that some writers leave out; other bytes as they are."""
    headless = data[:2] == _GROUP_0002 and data[128:132] != _MAGIC
    return bytes(128) + _MAGIC + data if headless else data


def read_file_header(data: bytes) -> Header:
    """Read the header of a whole file (PS3.10): preamble, file meta group, data set.

    Raises
    ------
    InvalidObjectError : the bytes are no DICOM file.
    """
    if data[128:132] != _MAGIC:
        raise InvalidObjectError(
            "expected a DICOM file (DICM after 128 bytes), found other data; send a Part 10 file"
        )
    meta, start = _file_meta(data)
    syntax = _uid(meta.get(Tag("TransferSyntaxUID")))
    if not syntax:
        raise InvalidObjectError(
            "expected Transfer Syntax UID (0002,0010) in the file meta header, found none"
        )
    header = _read(data, start, syntax)
    named = {  # the file meta header stands in where the data set does not name itself
        "SOPClassUID": _uid(meta.get(Tag("MediaStorageSOPClassUID"))),
        "SOPInstanceUID": _uid(meta.get(Tag("MediaStorageSOPInstanceUID"))),
    }
    fallback = {keyword: value for keyword, value in named.items() if not header[keyword]}
    return Header({**header.values, **fallback}, syntax)


def same_data_set(one: bytes, other: bytes) -> bool:
    """Whether two files differ in preamble and file meta group alone, which each program writes.

    Raises
    ------
    InvalidObjectError : one of them is no DICOM file.
    """
    (meta, start), (other_meta, other_start) = _file_meta(one), _file_meta(other)
    syntax = Tag("TransferSyntaxUID")
    return (
        _uid(meta.get(syntax)) == _uid(other_meta.get(syntax))
        and memoryview(one)[start:] == memoryview(other)[other_start:]
    )


def read_header(data_set: bytes, transfer_syntax_uid: str) -> Header:
    """Read the header of an encoded data set without preamble, as C-STORE carries it.

    Raises
    ------
    InvalidObjectError : the bytes are no data set in that transfer syntax.
    """
    return _read(data_set, 0, transfer_syntax_uid)


def read_leading_header(head: bytes, transfer_syntax_uid: str) -> Header | None:
    """Read the header from the first bytes of a data set, as `read_header` does from all of it.

    Returns
    -------
    None where they do not reach beyond the last indexed element, or are deflated.
    """
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        return None
    end = _End()
    try:
        header = _read(head, 0, transfer_syntax_uid, end)
    except InvalidObjectError:  # perhaps cut off within an element
        return None
    return header if end.is_reached else None


class _End:
    """Stops a parser behind the last indexed element, and tells whether it came so far."""

    is_reached = False

    def __call__(self, tag: BaseTag, vr: str | None, length: int) -> bool:
        self.is_reached = int(tag) > _LAST_TAG
        return self.is_reached


def _read(data: bytes, start: int, transfer_syntax_uid: str, end: _End | None = None) -> Header:
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        data, start = _inflate(memoryview(data)[start:]), 0
    source = _Counted(data)
    source.seek(start)
    try:
        ds = read_dataset(
            source,
            is_implicit_VR=transfer_syntax_uid == ImplicitVRLittleEndian,
            is_little_endian=transfer_syntax_uid != ExplicitVRBigEndian,
            stop_when=end or _End(),
            specific_tags=list(_TAGS.values()),
        )
        elements = _raw_elements(ds)
    except Exception as error:
        # The edge to a parser and hostile bytes: whatever it raises, there is no header.
        raise InvalidObjectError(
            f"expected a data set in {transfer_syntax_uid}, found {type(error).__name__} "
            "while reading its header"
        ) from error
    encodings = _encodings(elements.get(_TAGS["SpecificCharacterSet"]))
    values = {
        keyword: _uid(elements.get(tag))
        if keyword.endswith("UID")
        else _text(elements.get(tag), encodings)
        for keyword, tag in _TAGS.items()
    }
    return Header(values, transfer_syntax_uid)


def file_meta(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Preamble and file meta group (PS3.10 7.1) that turn a received data set into a file."""
    elements = b"".join(
        (
            struct.pack("<HH2sHIH", 0x0002, 0x0001, b"OB", 0, 2, 0x0100),
            _meta_element(0x0002, b"UI", sop_class_uid, b"\0"),
            _meta_element(0x0003, b"UI", sop_instance_uid, b"\0"),
            _meta_element(0x0010, b"UI", transfer_syntax_uid, b"\0"),
            _meta_element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID, b"\0"),
            _meta_element(0x0013, b"SH", IMPLEMENTATION_VERSION, b" "),
        )
    )
    length = struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(elements))
    return bytes(128) + _MAGIC + length + elements


def _meta_element(element: int, vr: bytes, value: str, pad: bytes) -> bytes:
    encoded = value.encode("ascii")
    encoded += pad * (len(encoded) % 2)
    return struct.pack("<HH2sH", 0x0002, element, vr, len(encoded)) + encoded


def _file_meta(data: bytes) -> tuple[dict[BaseTag, RawDataElement], int]:
    """Raw elements of group 0002 (always explicit little endian) and where the data set starts."""
    source = _Counted(data)
    source.seek(132)
    try:
        group = read_dataset(source, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    except Exception as error:
        # The edge to a parser and hostile bytes, as above.
        raise InvalidObjectError(
            f"expected a file meta header, found {type(error).__name__} while reading it"
        ) from error
    return _raw_elements(group), source.tell()


def _raw_elements(ds: Dataset) -> dict[BaseTag, RawDataElement]:
    """Elements as the bytes that were sent; pydicom would warn, with the value, on converting."""
    tags = list(ds.keys())
    found: list[tuple[BaseTag, object]] = [
        (tag, ds.get_item(tag, keep_deferred=True)) for tag in tags
    ]
    return {tag: element for tag, element in found if isinstance(element, RawDataElement)}


def _inflate(data_set: memoryview) -> bytes:
    try:
        # PS3.5 A.5: a raw deflate stream (RFC 1951), no zlib header.
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data_set, _MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise InvalidObjectError(
            "expected a deflated data set, found a stream that does not inflate"
        ) from error


def _encodings(element: RawDataElement | None) -> list[str]:
    """Python encodings of Specific Character Set; unknown ones read as Latin-1, losing nothing."""
    named = _text(element, ["latin-1"]).split("\\")
    return [python_encoding[name.strip()] for name in named if name.strip() in python_encoding] or [
        "latin-1"
    ]


def _uid(element: RawDataElement | None) -> str:
    """A UID as sent, less its padding; what else does not belong there is left for validation."""
    return _bytes(element).decode("latin-1").strip(" \0")


def _text(element: RawDataElement | None, encodings: list[str]) -> str:
    """A value as text; control characters become spaces, bytes that do not decode a mark."""
    value = _bytes(element)
    try:
        if b"\x1b" in value and len(encodings) > 1:
            text = decode_bytes(value, encodings, set(b"\\^="))
        else:
            text = value.decode(encodings[0], errors="replace")
    except (UnicodeError, LookupError, UserWarning):
        text = value.decode("latin-1")
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else " " for letter in text)
    return text.strip()


def _bytes(element: RawDataElement | None) -> bytes:
    if element is None or not isinstance(element.value, bytes):
        return b""
    return element.value[:_MAX_VALUE_BYTES]
