"""What a peer sends within an association: counted, and films read straight to where they are kept.

pynetdicom copies each P-DATA-TF PDU (PS3.8 9.3.5) several times before its bytes are part of a
message in memory. Here the fragments of a C-STORE data set go from the socket through one small
buffer to their `Reception`; commands and everything else take pynetdicom's way.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import cast

from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.pdu_primitives import P_DATA

from service.dicom.association import WaitingSocket, WaitingUpperLayer
from service.dicom.reception import Reception

_PIECE_BYTES = 128 << 10  # the largest PDU that is asked for
_BUFFER_BYTES = 2 * _PIECE_BYTES  # still within the processor's second cache
_PDU_HEADER, _FRAGMENT_HEADER = struct.Struct(">BxL"), struct.Struct(">LBB")
_LENGTH_BYTES, _IDS_BYTES = 4, 2  # of a fragment: its length, then context and message control
_P_DATA_TF = 0x04
_ESTABLISHED = "Sta6"  # PS3.8 9.2.1
_COMMAND, _LAST = 0b01, 0b10  # PS3.8 E.2


class FragmentError(ValueError):
    """The peer does not keep to the form of a P-DATA-TF PDU, or to the order of fragments."""


class MessageBudget:
    """Bytes that one association may still send before its message must be complete."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = self._left = limit_bytes

    def spend(self, count: int) -> None:
        """Count bytes in.

        Raises
        ------
        OSError : the message has outgrown every object that would be taken in.
        """
        self._left -= count
        if self._left < 0:
            raise OSError("a DICOM message outgrew the largest object that is taken in")

    def renew(self) -> None:
        """Begin the next message."""
        self._left = self._limit


class BoundedSocket(WaitingSocket):
    """Counts what it receives, and gives it as a whole or in pieces.

    Amid a film it receives as much as there is, and does not ask for each header of a PDU and of a
    fragment on its own.
    """

    budget: MessageBudget
    _ahead = memoryview(b"")  # received, and not asked for so far

    @property
    def ready(self) -> bool:
        """Wait until there is something to read, the bell rings, or a moment has passed."""
        if self._ahead and self._is_connected and not self._is_hurried():
            return True
        return super().ready

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes, or up to the end of the connection; a PDU may claim 4 GiB."""
        self.budget.spend(nr_bytes)
        received = bytearray(self._take_ahead(nr_bytes))
        connection = cast(socket.socket, self.socket)
        while len(received) < nr_bytes:
            chunk = connection.recv(min(_PIECE_BYTES, nr_bytes - len(received)))
            if not chunk:
                break
            received += chunk
        return received

    def look_ahead(self) -> memoryview:
        """The type and length of the next PDU, which is still to be read; less at the end."""
        size = _PDU_HEADER.size
        if len(self._ahead) < size:
            self._buffer[: len(self._ahead)] = bytes(self._ahead)
            self._ahead = self._buffer[: len(self._ahead)]
            while len(self._ahead) < size and self._receive():
                pass
        return self._ahead[:size]

    def pieces(self, nr_bytes: int) -> Iterator[memoryview]:
        """Read so many bytes; a piece lasts until the next one is asked for.

        Raises
        ------
        OSError : the connection ended, or the message is too long.
        """
        self.budget.spend(nr_bytes)
        while nr_bytes:
            if not self._ahead and not self._receive():
                raise ConnectionResetError("the peer is gone amid a message")
            piece = self._take_ahead(nr_bytes)
            yield piece
            nr_bytes -= len(piece)

    @cached_property
    def _buffer(self) -> memoryview:
        """What is received ahead, made for those associations alone that send films."""
        return memoryview(bytearray(_BUFFER_BYTES))

    def _take_ahead(self, most_bytes: int) -> memoryview:
        taken, self._ahead = self._ahead[:most_bytes], self._ahead[most_bytes:]
        return taken

    def _receive(self) -> int:
        """Receive what there is behind what was received ahead; 0 at the end of the connection."""
        held = len(self._ahead)
        count = cast(socket.socket, self.socket).recv_into(self._buffer[held:])
        self._ahead = self._buffer[: held + count]
        return count


@dataclass(frozen=True, slots=True)
class Fragment:
    """A presentation data value whose bytes are the next ones on the connection."""

    context_id: int
    control: int
    size_bytes: int

    @property
    def is_command(self) -> bool:
        """Whether it belongs to a command, not to a data set."""
        return bool(self.control & _COMMAND)

    @property
    def is_last(self) -> bool:
        """Whether command or data set end with it."""
        return bool(self.control & _LAST)

    def primitive(self, value: bytes) -> P_DATA:
        """The same for pynetdicom, with the bytes that it holds."""
        made = P_DATA()
        made.presentation_data_value_list.append((self.context_id, bytes([self.control]) + value))
        return made


class DataPdu:
    """A P-DATA-TF PDU that is read while it arrives."""

    def __init__(self, connection: BoundedSocket) -> None:
        self._connection = connection
        _type, self._left = _PDU_HEADER.unpack(connection.recv(_PDU_HEADER.size))

    def fragments(self) -> Iterator[Fragment]:
        """Each fragment; its bytes are read with `pieces` or `read` before the next one.

        Raises
        ------
        FragmentError : a fragment without its header, or longer than what is left of the PDU.
        """
        while self._left:
            length, context_id, control = _FRAGMENT_HEADER.unpack(self._header())
            if not _IDS_BYTES <= length <= self._left + _IDS_BYTES:
                raise FragmentError(f"a fragment of {length} bytes with {self._left} left")
            yield Fragment(context_id, control, length - _IDS_BYTES)

    def _header(self) -> bytes:
        if self._left < _FRAGMENT_HEADER.size:
            raise FragmentError(f"a fragment within {self._left} bytes")
        return self.read(_FRAGMENT_HEADER.size)

    def pieces(self, size_bytes: int) -> Iterator[memoryview]:
        """The next bytes of the PDU."""
        self._left -= size_bytes
        return self._connection.pieces(size_bytes)

    def read(self, size_bytes: int) -> bytes:
        """The next bytes of the PDU as a whole."""
        return b"".join(map(bytes, self.pieces(size_bytes)))

    def skip(self) -> None:
        """Read on to the end of the PDU."""
        for _piece in self.pieces(self._left):
            pass


class StoringUpperLayer(WaitingUpperLayer):
    """Reads what arrives amid the data set of a C-STORE request; pynetdicom reads all else.

    Parameters
    ----------
    begin : makes what a data set is received by, from its transfer syntax and announced UID.
    """

    begin: Callable[[str, str], Reception]

    def run(self) -> None:
        """Serve the connection until it ends; a film that was cut off is not kept."""
        try:
            super().run()
        finally:
            message = self.assoc.dimse.message
            if message is not None and isinstance(message.data_set, Reception):
                message.data_set.discard()

    def _read_pdu_data(self) -> None:
        connection = cast(BoundedSocket, self.socket)
        try:
            while self._is_storing() and _is_data(connection.look_ahead()):
                self._read_fragments(DataPdu(connection))
                self._idle_timer.restart()
                if not (self._is_storing() and self._is_undisturbed() and connection.ready):
                    return
            super()._read_pdu_data()
        except OSError:  # gone, silent or too long; pynetdicom's own way catches these itself
            self.event_queue.put("Evt17")  # PS3.8 9.2: the transport connection is closed

    def _is_undisturbed(self) -> bool:
        """Whether nothing is to be sent, and nobody wants the thread to end."""
        return self.to_provider_queue.empty() and not self._kill_thread

    def _is_storing(self) -> bool:
        """Whether a data set is on its way that is kept while it arrives."""
        message = self.assoc.dimse.message
        if not isinstance(message, C_STORE_RQ) or not self.event_queue.empty():
            return False
        if self.state_machine.current_state != _ESTABLISHED:
            return False
        return isinstance(message.data_set, Reception) or self._begin(message)

    def _begin(self, message: C_STORE_RQ) -> bool:
        """Receive a data set from its first fragment on; False in a context not agreed on."""
        context = self.assoc._accepted_cx.get(cast(int, message.context_id))
        if context is None or message.data_set is None:
            return False
        announced_uid = str(message.command_set.get("AffectedSOPInstanceUID", ""))
        reception = self.begin(str(context.transfer_syntax[0]), announced_uid)
        reception.write(message.data_set.getbuffer())  # came in one PDU with the command
        message.data_set = reception
        return True

    def _read_fragments(self, pdu: DataPdu) -> None:
        try:
            for fragment in pdu.fragments():
                self._take(fragment, pdu)
                if not self.event_queue.empty():  # pynetdicom found the message invalid
                    pdu.skip()
        except FragmentError:
            pdu.skip()
            self.event_queue.put("Evt19")  # PS3.8 9.2: an invalid PDU, which ends the association

    def _take(self, fragment: Fragment, pdu: DataPdu) -> None:
        message = self.assoc.dimse.message
        if message is None or not isinstance(message.data_set, Reception):  # the next message
            self._hand_on(fragment, pdu.read(fragment.size_bytes))
            return
        if fragment.is_command or fragment.context_id != message.context_id:
            raise FragmentError("a fragment of another message amid a data set")  # PS3.8 E.1
        for piece in pdu.pieces(fragment.size_bytes):
            message.data_set.write(piece)
        if fragment.is_last:
            self._hand_on(fragment, b"")

    def _hand_on(self, fragment: Fragment, value: bytes) -> None:
        self.assoc.dimse.receive_primitive(fragment.primitive(value))


def _is_data(header: memoryview) -> bool:
    """Whether a P-DATA-TF PDU begins so; not where the connection ended before."""
    return len(header) == _PDU_HEADER.size and _PDU_HEADER.unpack(header)[0] == _P_DATA_TF
