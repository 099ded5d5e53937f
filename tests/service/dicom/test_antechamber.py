"""Who has connected and not spoken waits without a thread; who speaks is handed on."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import NoReturn

import pytest

from service.dicom.antechamber import REST_S, Antechamber, Caller


@pytest.fixture
def port() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


def connected(port: socket.socket, said: bytes = b"") -> socket.socket:
    peer = socket.create_connection(port.getsockname(), timeout=20)
    peer.sendall(said)
    return peer


def spoken(antechamber: Antechamber, looks: int = 20) -> list[Caller]:
    """Everyone handed on within some looks."""
    return [caller for _ in range(looks) for caller in antechamber.speaking(0.05)]


def test_who_speaks_is_handed_on_and_who_is_silent_waits(port: socket.socket) -> None:
    with (
        closing(Antechamber(port, 10, 60.0)) as antechamber,
        connected(port),
        connected(port, b"\x01") as speaker,
    ):
        (caller,) = spoken(antechamber)
        assert caller.address == speaker.getsockname()
        assert caller.connection.recv(1) == b"\x01"
        caller.connection.close()


def test_who_has_hung_up_is_not_handed_on_whatever_was_said(port: socket.socket) -> None:
    with closing(Antechamber(port, 10, 60.0)) as antechamber:
        for said in (b"", b"\x01"):
            connected(port, said).close()
        assert spoken(antechamber) == []


def test_the_first_gives_way_when_too_many_are_silent(port: socket.socket) -> None:
    with closing(Antechamber(port, 2, 60.0)) as antechamber:
        peers = [connected(port) for _ in range(3)]
        assert spoken(antechamber, looks=5) == []
        assert peers[0].recv(1) == b""  # hung up on
        for peer in peers[1:]:
            peer.sendall(b"\x01")
        callers = spoken(antechamber, looks=5)
        assert [one.address for one in callers] == [peer.getsockname() for peer in peers[1:]]
        for one in (*peers, *(caller.connection for caller in callers)):
            one.close()


def test_silence_ends_with_patience(port: socket.socket) -> None:
    with closing(Antechamber(port, 10, 0.0)) as antechamber, connected(port) as peer:
        assert spoken(antechamber, looks=3) == []
        assert peer.recv(1) == b""


class Exhausted(socket.socket):
    """A port of a process that has no file descriptor left."""

    def accept(self) -> NoReturn:
        raise OSError(errno.EMFILE, "Too many open files")


def test_without_a_file_descriptor_left_the_silent_give_way_and_nothing_spins(
    port: socket.socket,
) -> None:
    with closing(Antechamber(port, 10, 60.0)) as antechamber, connected(port) as silent:
        assert spoken(antechamber, looks=3) == []
        exhausted = Exhausted(fileno=os.dup(port.fileno()))
        with exhausted, connected(port):
            antechamber._listening = exhausted
            antechamber._stirring.modify(port, 0)
            antechamber._stirring.register(exhausted, select.EPOLLIN)
            assert antechamber.speaking(0.0) == []
            assert silent.recv(1) == b""  # hung up on
            begun = time.monotonic()
            for _ in range(10):
                assert antechamber.speaking(0.0) == []
            assert time.monotonic() - begun >= 10 * REST_S
