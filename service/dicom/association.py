"""An accepted association that waits for its peer; pynetdicom's own asks every millisecond.

Two threads serve an association: the upper layer (PS3.8) reads the socket, the other one answers
requests. Each sleeps until there is something to do, so that associations that are open and idle
cost nothing, and an answer leaves at once.
"""

from __future__ import annotations

import os
import queue
import select
import socket
import ssl
import threading
from contextlib import suppress
from typing import Any, cast

import structlog
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider

from service.dicom.transport import ClosingSocket

_log = structlog.get_logger(__name__)

_LOOK_S = 0.25  # how late a timer may be seen to have run out
_NO_MESSAGE = (None, None)
_MOST_WAITING = 2  # messages; PS3.7 D.3.3.3: a peer sends one, then waits for its answer


class Bell:
    """Wakes a thread that waits for a file descriptor."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._hanging = threading.Lock()

    def fileno(self) -> int:
        """What to wait for; -1 once it is taken down."""
        return self._fd

    def ring(self) -> None:
        """Wake who waits, now or next."""
        with self._hanging:
            if self._fd >= 0:
                os.eventfd_write(self._fd, 1)

    def hush(self) -> None:
        """Begin to wait anew."""
        with self._hanging:
            if self._fd >= 0:
                with suppress(BlockingIOError):
                    os.eventfd_read(self._fd)

    def take_down(self) -> None:
        """Let go of the file descriptor; ringing is harmless from now on."""
        with self._hanging:
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class _ForPeer(queue.Queue[Any]):
    """What shall be sent: the thread of the upper layer is woken for it."""

    def __init__(self, bell: Bell) -> None:
        super().__init__()
        self._bell = bell

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Add something to be sent."""
        super().put(item, block, timeout)
        self._bell.ring()


class _ForUser(queue.Queue[Any]):
    """What the peer asked of the association itself: who waits for messages is woken for it."""

    def __init__(self, messages: queue.Queue[Any]) -> None:
        super().__init__()
        self._messages = messages

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Add a release, an abort or an association request."""
        super().put(item, block, timeout)
        self._messages.put(_NO_MESSAGE)


class WaitingSocket(ClosingSocket):
    """Tells that there is something to read as soon as there is, or that the bell rang."""

    bell: Bell

    @property
    def ready(self) -> bool:
        """Wait until the peer said something, the bell rings, or a moment has passed."""
        connection = None if self._is_hurried() else self.socket
        if isinstance(connection, ssl.SSLSocket) and connection.pending():
            return True
        waiting = select.poll()
        waiting.register(self.bell, select.POLLIN)
        try:
            if connection is not None and self._is_connected:
                waiting.register(connection, select.POLLIN)
            wait_ms = _LOOK_S * 1000 if self.event_queue.empty() else 0
            stirring = {fd for fd, _ in waiting.poll(wait_ms)}
        except (OSError, ValueError):
            self.event_queue.put("Evt17")  # PS3.8 9.2: the transport connection is closed
            return False
        if self.bell.fileno() in stirring:
            self.bell.hush()
        return connection is not None and connection.fileno() in stirring

    def _is_hurried(self) -> bool:
        """Whether the peer does not wait for its answers; it is heard again after the next one."""
        is_established = self.assoc.dul.state_machine.current_state == "Sta6"  # PS3.8 9.2.1
        return is_established and self.assoc.dimse.msg_queue.qsize() >= _MOST_WAITING


class WaitingUpperLayer(DULServiceProvider):
    """The upper layer of an association whose socket waits."""

    bell: Bell

    def run(self) -> None:
        """Serve the connection until it ends."""
        try:
            super().run()
        except Exception as error:  # noqa: BLE001
            # The edge to the network: pynetdicom could not read it, and the connection ends.
            _log.warning("an association broke on what its peer sent", why=type(error).__name__)
        finally:
            self.bell.take_down()

    def _read_pdu_data(self) -> None:
        super()._read_pdu_data()
        asked = self.event_queue.queue and self.event_queue.queue[-1] == "Evt6"
        if self.state_machine.current_state == "Sta2" and not asked:
            # Else nobody hears of it before ACSE's timeout.
            cast("queue.Queue[Any]", self.to_user_queue).put(None)

    def kill_dul(self) -> None:
        """End the thread at its next turn, which is now."""
        super().kill_dul()
        self.bell.ring()

    def stop_dul(self) -> bool:
        """End the thread when no connection is left; whether none was."""
        if self.state_machine.current_state != "Sta1":
            return False
        self.kill_dul()
        self.join()
        return True


class WaitingAssociation(Association):
    """Serves one request after the other, and waits between them."""

    @property
    def is_silent(self) -> bool:
        """Whether the peer has connected, and not asked for an association so far."""
        return self.requestor.primitive is None

    def hang_up(self) -> None:
        """Close the connection; both threads end of that."""
        connection = cast(WaitingSocket, self.dul.socket).socket
        if connection is not None:
            with suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)

    def _run_reactor(self) -> None:
        self._is_paused = False
        while not self._kill:
            try:
                context_id, message = self.dimse.msg_queue.get(timeout=_LOOK_S)
            except queue.Empty:
                context_id, message = _NO_MESSAGE
            if message is not None:
                self._serve_or_abort(message, cast(int, context_id))
            if self._has_ended():
                self.kill()

    def _serve_or_abort(self, message: Any, context_id: int) -> None:
        """Serve a request; one that cannot be answered would leave its peer waiting."""
        if message.is_valid_request:
            self._serve_request(message, context_id)
            return
        _log.warning("a request without what it needs ended its association", what=message.msg_type)
        self.abort()

    def _has_ended(self) -> bool:
        """Whether the peer, the network or silence ended it; a release is answered here."""
        if self.is_established and self.acse.is_release_requested():
            self.acse.send_release(is_response=True)
            self.is_released, self.is_established = True, False
            evt.trigger(self, evt.EVT_RELEASED, {})
            return True
        if self.acse.is_aborted():
            self.dul.receive_pdu(wait=False)
            self.is_aborted, self.is_established = True, False
            evt.trigger(self, evt.EVT_ABORTED, {})
            return True
        if self.dul.idle_timer_expired():
            self.abort()
            return True
        return not self.dul.is_alive()


def make_waiting(assoc: Association) -> None:
    """Turn an association that pynetdicom made, and did not start yet, into one that waits."""
    bell, layer = Bell(), assoc.dul
    assoc.__class__ = WaitingAssociation
    layer.__class__ = WaitingUpperLayer
    layer._run_loop_delay = 0.0
    layer.to_provider_queue = _ForPeer(bell)
    layer.to_user_queue = _ForUser(assoc.dimse.msg_queue)
    cast(WaitingUpperLayer, layer).bell = cast(WaitingSocket, layer.socket).bell = bell
