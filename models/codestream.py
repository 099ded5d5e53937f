"""What a compressed frame says about itself before anyone decodes it.

The size in a JPEG, JPEG-LS or JPEG 2000 code stream is what the decoder will allocate, whatever
the data set around it declares; and a code stream without its end marker was cut off.
"""

from __future__ import annotations

import struct

from pydicom.uid import UID, JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

END_OF_IMAGE = b"\xff\xd9"  # EOI (ISO 10918-1, 14495-1) and EOC (ISO 15444-1) alike
_J2K_START = b"\xff\x4f\xff\x51"  # SOC, SIZ
# SOF0-SOF15 without DHT, JPG and DAC; SOF55 belongs to JPEG-LS.
_START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_HTJ2K = "1.2.840.10008.1.2.4.20"  # .201, .202, .203


def has_markers(syntax: UID) -> bool:
    """Whether frames of this transfer syntax are JPEG-like code streams."""
    families = (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes)
    return syntax in families or syntax.startswith(_HTJ2K)


def is_complete(frame: bytes) -> bool:
    """Whether the end marker is there, be it followed by padding."""
    return END_OF_IMAGE in frame[-64:] or frame.rstrip(b"\0").endswith(END_OF_IMAGE)


def shape(frame: bytes) -> tuple[int, int] | None:
    """(rows, columns) that the code stream declares; None when it has no readable header."""
    try:
        return _j2k_shape(frame) or _jpeg_shape(frame)
    except struct.error:
        return None


def _j2k_shape(frame: bytes) -> tuple[int, int] | None:
    start = frame.find(_J2K_START, 0, 4096)  # after the boxes of a JP2 file, should there be any
    if start < 0:
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", frame, start + 8)
    return max(0, bottom - top), max(0, right - left)


def _jpeg_shape(frame: bytes) -> tuple[int, int] | None:
    if frame[:2] != b"\xff\xd8":
        return None
    position = 2
    while position + 4 <= len(frame):
        if frame[position] != 0xFF:
            return None
        marker = frame[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _START_OF_FRAME:
            rows, columns = struct.unpack_from(">HH", frame, position + 5)
            return rows, columns
        position += 2 + struct.unpack_from(">H", frame, position + 2)[0]
    return None
