"""C-STORE over a bare socket: every PDU as the test wants it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable

from pydicom import Dataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.pdu import P_DATA_TF

from service.dicom.listener import Listener
from tests.service.dicom.films import as_file
from tests.service.dicom.hostile import association_request, data_set_start

COMMAND, LAST = 0b01, 0b10
"""Bits of the message control header (PS3.8 E.2)."""

_CONTEXT = 1


class Wire:
    """An open association for computed radiographs in explicit VR little endian."""

    def __init__(self, listener: Listener) -> None:
        self.socket = socket.create_connection(("127.0.0.1", listener.port), timeout=30)
        self.socket.sendall(
            association_request(
                b"CARINA", b"TESTER", ComputedRadiographyImageStorage, ExplicitVRLittleEndian
            )
        )
        assert self._pdu()[:1] == b"\2"  # A-ASSOCIATE-AC

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_error: object) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(b"".join(parts))

    def status(self) -> int:
        """The status that the next answer holds."""
        pdu, message = P_DATA_TF(), DIMSEMessage()
        pdu.decode(self._pdu())
        primitive = pdu.to_primitive()
        assert message.decode_msg(primitive)
        return int(message.command_set.Status)

    def ending(self) -> bytes:
        """What still comes until the connection ends."""
        said = b""
        try:
            while more := self.socket.recv(4096):
                said += more
        except ConnectionResetError:
            pass
        return said

    def _pdu(self) -> bytes:
        header = self._exactly(6)
        return header + self._exactly(int.from_bytes(header[2:], "big"))

    def _exactly(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            more = self.socket.recv(size - len(read))
            assert more, "the connection ended"
            read += more
        return read


def pdu(*fragments: bytes) -> bytes:
    """A P-DATA-TF PDU (PS3.8 9.3.5)."""
    body = b"".join(fragments)
    return struct.pack(">BxL", 4, len(body)) + body


def fragment(value: bytes, control: int, context_id: int = _CONTEXT) -> bytes:
    """A presentation data value."""
    return struct.pack(">LBB", len(value) + 2, context_id, control) + value


def command(ds: Dataset, without: str = "", **other: int) -> bytes:
    """The whole command of a C-STORE request, as one fragment; with other elements, or one less."""
    request, message = C_STORE(), C_STORE_RQ()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID = ds.SOPClassUID
    request.AffectedSOPInstanceUID = ds.SOPInstanceUID
    message.primitive_to_message(request)
    message.command_set.CommandDataSetType = 1
    message.command_set.CommandGroupLength = 0
    message.command_set.update(other)
    if without:
        del message.command_set[without]
    return fragment(encode(message.command_set, True, True) or b"", COMMAND | LAST)


def data_set(ds: Dataset) -> bytes:
    """What a C-STORE request carries of a film."""
    data = as_file(ds)
    return data[data_set_start(data) :]


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Data set fragments that end at these places, the last one marked so."""
    ends = [*sorted({place % len(data) for place in places}), len(data)]
    begins = [0, *ends[:-1]]
    pieces = [data[begin:end] for begin, end in zip(begins, ends, strict=True)]
    return [fragment(piece, 0) for piece in pieces[:-1]] + [fragment(pieces[-1], LAST)]
