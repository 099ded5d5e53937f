"""Connections whose peer has not said anything yet; they cost no thread.

A scanner, a load balancer that looks whether the port is open, or a flood of either is done with
here. Who begins to speak is handed on, in the order of speaking.
"""

from __future__ import annotations

import select
import socket
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass

_GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
REST_S = 0.05  # before it is tried again to accept, for want of file descriptors
_ACCEPTED_AT_ONCE = 64  # then those who speak have their turn


@dataclass(frozen=True, slots=True)
class Caller:
    """A connection and where it comes from."""

    connection: socket.socket
    address: tuple[str, int]
    since: float


class Antechamber:
    """Accepts everyone on a port, and tells who speaks.

    Parameters
    ----------
    listening : accepted from without waiting; other processes may do so too.
    most : so many wait at a time; whoever came first gives way to the next.
    patience_s : silence longer than this ends a connection.
    """

    def __init__(self, listening: socket.socket, most: int, patience_s: float) -> None:
        self._listening = listening
        self._most = most
        self._patience_s = patience_s
        self._silent: OrderedDict[int, Caller] = OrderedDict()
        self._stirring = select.epoll()
        self._stirring.register(listening, select.EPOLLIN)

    def speaking(self, wait_s: float) -> list[Caller]:
        """Wait a moment for callers; give those who began to speak, and are still there."""
        found = []
        for fd, event in self._stirring.poll(wait_s):
            if fd == self._listening.fileno():
                self._accept()
            elif (caller := self._let_go(fd)) is not None:
                if event & _GONE:
                    caller.connection.close()
                else:
                    found.append(caller)
        self._lose_patience()
        return found

    def close(self) -> None:
        """Hang up on everyone who waits; the port stays open for others who hold it."""
        for fd in list(self._silent):
            self._hang_up(fd)
        self._stirring.close()

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, address = self._listening.accept()
            except (BlockingIOError, ConnectionAbortedError):  # none left, or others were first
                return
            except OSError:  # no file descriptor left: the port would stir again and again
                self._make_room()
                return
            if len(self._silent) >= self._most:
                self._hang_up(next(iter(self._silent)))
            try:
                self._stirring.register(connection, select.EPOLLIN | select.EPOLLRDHUP)
            except OSError:  # the system watches as many as it will
                connection.close()
                return
            self._silent[connection.fileno()] = Caller(connection, address, time.monotonic())

    def _make_room(self) -> None:
        """Hang up on whoever was silent longest; with nobody there, leave others time to end."""
        if self._silent:
            self._hang_up(next(iter(self._silent)))
        else:
            time.sleep(REST_S)

    def _lose_patience(self) -> None:
        before = time.monotonic() - self._patience_s
        while self._silent and next(iter(self._silent.values())).since < before:
            self._hang_up(next(iter(self._silent)))

    def _hang_up(self, fd: int) -> None:
        if (caller := self._let_go(fd)) is not None:
            caller.connection.close()

    def _let_go(self, fd: int) -> Caller | None:
        caller = self._silent.pop(fd, None)
        if caller is not None:
            with suppress(OSError):
                self._stirring.unregister(fd)
        return caller
