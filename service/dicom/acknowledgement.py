"""The answer that a film was taken in (PS3.7 9.3.1.2), written out without a Dataset between.

It is the same few elements for every film; pynetdicom takes a twentieth of a small film's time to
encode them.
"""

from __future__ import annotations

import struct

from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_primitives import C_STORE, DimsePrimitiveType
from pynetdicom.pdu_primitives import P_DATA

_SUCCESS, _C_STORE_RSP, _NO_DATA_SET = 0x0000, 0x8001, 0x0101
_WHOLE_COMMAND = b"\3"  # PS3.8 E.2: the last fragment of a command
_LONGEST_BYTES = 512  # with two UIDs of 64 characters it has some 220


class AcknowledgingProvider(DIMSEServiceProvider):
    """Sends messages as pynetdicom does, and the success of a C-STORE request on a shorter way."""

    def send_msg(self, primitive: DimsePrimitiveType, context_id: int) -> None:
        """Send a message; one that does not fit into a PDU of the peer goes pynetdicom's way."""
        is_short = not 0 < self.maximum_pdu_size < _LONGEST_BYTES  # 0: of any length
        if isinstance(primitive, C_STORE) and primitive.Status == _SUCCESS and is_short:
            answer = P_DATA()
            value = _WHOLE_COMMAND + acknowledgement(primitive)
            answer.presentation_data_value_list.append((context_id, value))
            self.dul.send_pdu(answer)
        else:
            super().send_msg(primitive, context_id)


def acknowledgement(response: C_STORE) -> bytes:
    """The command set: implicit VR little endian (PS3.7 6.3.1), in the order of its tags."""
    elements = b"".join(
        (
            _uid(0x0002, str(response.AffectedSOPClassUID)),
            _short(0x0100, _C_STORE_RSP),
            _short(0x0120, response.MessageIDBeingRespondedTo or 0),
            _short(0x0800, _NO_DATA_SET),
            _short(0x0900, _SUCCESS),
            _uid(0x1000, str(response.AffectedSOPInstanceUID)),
        )
    )
    return struct.pack("<HHLL", 0x0000, 0x0000, 4, len(elements)) + elements


def _short(element: int, value: int) -> bytes:
    return struct.pack("<HHLH", 0x0000, element, 2, value)


def _uid(element: int, value: str) -> bytes:
    encoded = value.encode("latin-1")
    encoded += b"\0" * (len(encoded) % 2)
    return struct.pack("<HHL", 0x0000, element, len(encoded)) + encoded
