"""Peers that are broken or mean harm: useless connections by the thousand, a C-ECHO between."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import build_context

from benchmarks.bars import Bar
from benchmarks.node.memory import growth, resident_mb
from benchmarks.node.peers import Peer, carina
from service.dicom.deliver import echo
from service.dicom.header import IMPLEMENTATION_CLASS_UID
from service.dicom.sop_classes import VERIFICATION
from service.errors import DeliveryError

MOST_ECHO_S, MOST_GROWTH = 1.0, 0.05
_HELD = 300  # half-open sockets held at a time, several times what one listener serves
_SLOW = 20  # senders that trickle
_ECHO_EVERY_S = 0.2
_ABORT = struct.pack(">BBLBBBB", 7, 0, 4, 0, 0, 0, 0)  # PS3.8 9.3.8: by the service user
BARS = [
    Bar(
        "C-ECHO answered, s, longest, under useless connections", "strain/echo_s", high=MOST_ECHO_S
    ),
    Bar("C-ECHO unanswered", "strain/echo_failures", high=0),
    Bar("memory grew by the share", "strain/growth", high=MOST_GROWTH),
]


class Echoes(threading.Thread):
    """Asks for a sign of life again and again, and notes how long each answer took."""

    def __init__(self, peer: Peer) -> None:
        super().__init__(daemon=True)
        self._destination = f"{peer.ae_title}@127.0.0.1:{peer.port}"
        self._ended = threading.Event()
        self.seconds: list[float] = []
        self.failures = 0

    def run(self) -> None:
        """Ask until told to end."""
        while not self._ended.wait(_ECHO_EVERY_S):
            begin = time.perf_counter()
            try:
                echo(self._destination, "WATCH")
                self.seconds.append(time.perf_counter() - begin)
            except DeliveryError:
                self.failures += 1

    def end(self) -> None:
        """Ask no more."""
        self._ended.set()
        self.join()


def measure(folder: Path, connections: int) -> dict[str, Any]:
    """The figures after so many connections of each kind, with one kind after the other."""
    folder.mkdir(parents=True)
    with carina(folder) as node:
        assert node.process is not None
        group = node.process.pid
        for misbehave in _KINDS.values():  # warms up what grows once
            misbehave(node.peer, connections // 10)
        before_mb, echoes = resident_mb(group), Echoes(node.peer)
        echoes.start()
        begin = time.perf_counter()
        for misbehave in _KINDS.values():
            misbehave(node.peer, connections)
        seconds = time.perf_counter() - begin
        echoes.end()
        after_mb = resident_mb(group)
    return {
        "connections": connections * len(_KINDS),
        "seconds": round(seconds),
        "echoes": len(echoes.seconds),
        "echo_s": max(echoes.seconds, default=float("inf")),
        "echo_median_s": round(float(np.median(echoes.seconds or [float("inf")])), 4),
        "echo_failures": echoes.failures,
        "memory_before_mb": round(before_mb),
        "memory_after_mb": round(after_mb),
        "growth": growth(before_mb, after_mb),
    }


def _connect(peer: Peer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", peer.port), timeout=30)


def bare(peer: Peer, count: int) -> None:
    """Connect and hang up."""
    for _ in range(count):
        _connect(peer).close()


def aborted(peer: Peer, count: int) -> None:
    """Ask for an association, then abort it: half of them in words, half by a reset."""
    request = _request(peer)
    for number in range(count):
        with _connect(peer) as connection, suppress(OSError):
            connection.sendall(request)
            if number % 2:
                connection.sendall(_ABORT)
            else:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def half_open(peer: Peer, count: int) -> None:
    """Connect and say nothing, so many held at a time."""
    held: list[socket.socket] = []
    for _ in range(count):
        held.append(_connect(peer))
        if len(held) == _HELD:
            held.pop(0).close()
    for connection in held:
        connection.close()


def slow(peer: Peer, count: int) -> None:
    """Be granted associations and trickle a PDU that never becomes whole, a byte at a time."""
    request, unfinished = _request(peer), struct.pack(">BBL", 4, 0, 1 << 20)
    senders = [_connect(peer) for _ in range(_SLOW)]
    for connection in senders:
        connection.sendall(request + unfinished)
    for _ in range(count // _SLOW):
        for connection in senders:
            with suppress(OSError):
                connection.sendall(b"\0")
        time.sleep(0.01)
    for connection in senders:
        connection.close()


def _request(peer: Peer) -> bytes:
    """An A-ASSOCIATE-RQ (PS3.8 9.3.2) as it goes over the wire."""
    primitive, length = A_ASSOCIATE(), MaximumLengthNotification()
    implementation = ImplementationClassUIDNotification()
    length.maximum_length_received = 16384
    implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = "USELESS", peer.ae_title
    context = build_context(VERIFICATION)
    context.context_id = 1
    primitive.presentation_context_definition_list = [context]
    primitive.user_information = [length, implementation]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return bytes(pdu.encode())


_KINDS: dict[str, Callable[[Peer, int], None]] = {
    "bare": bare,
    "aborted": aborted,
    "half_open": half_open,
    "slow": slow,
}
