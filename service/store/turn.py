"""Whose turn it is to write into a SQLite file, among the threads of all processes."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.errors import OutOfResourcesError


class Turn:
    """One writer at a time, the next one woken as soon as the last is done.

    SQLite alone makes a process that finds the file taken sleep, and look again up to a tenth of a
    second later. The lock ends with its process, however that ends; a process that is stopped, as
    by a debugger, keeps it, and the others are told after `patience_s`.

    Parameters
    ----------
    file : locked while one writes; None where no other process can.
    patience_s : how long a turn is waited for.
    """

    def __init__(self, file: Path | None, patience_s: float) -> None:
        self._file = file
        self._patience_s = patience_s
        self._inside = threading.Lock()
        self._writer = 0  # the thread whose turn it is
        self._queue: _Queue | None = None

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for the turn, and pass it on when the block ends.

        Raises
        ------
        OutOfResourcesError : another writer has not ended; try again.
        RuntimeError : the thread has the turn already, so that it would wait for itself.
        """
        until = time.monotonic() + self._patience_s
        if self._writer == threading.get_ident():
            raise RuntimeError("expected no write within a write, found one: it would never begin")
        if not self._inside.acquire(timeout=self._patience_s):
            raise self._too_late()
        try:
            with self._locked(until):
                self._writer = threading.get_ident()
                try:
                    yield
                finally:
                    self._writer = 0
        finally:
            self._inside.release()

    def close(self) -> None:
        """Let go of the file; the next turn opens it again."""
        with self._inside:
            if self._queue is not None:
                self._queue.leave()
                self._queue = None

    @contextmanager
    def _locked(self, until: float) -> Iterator[None]:
        """Keep other processes out."""
        if self._file is None:
            yield
            return
        self._queue = self._queue or _Queue(self._file)
        if not self._queue.take(until - time.monotonic()):
            raise self._too_late()
        try:
            yield
        finally:
            self._queue.pass_on()

    def _too_late(self) -> OutOfResourcesError:
        error = OutOfResourcesError(
            f"expected the index to be free within {self._patience_s:g} s, found another writer "
            "that does not end; look for a process that is stopped, then send again"
        )
        error.__cause__ = TimeoutError()  # as from a database that is away: so it is for everybody
        return error


class _Queue:
    """The place of this process among those that lock a file; one thread at a time asks for it.

    Locking a file cannot be given up once begun. So a thread of its own waits where the file is
    taken, and passes the lock on at once where nobody waits for it any more.
    """

    def __init__(self, file: Path) -> None:
        self._fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._state = threading.Condition()
        self._is_asking = False  # the thread is in the queue of the kernel
        self._is_wanted = False
        self._has_come = False
        self._has_left = False

    def take(self, patience_s: float) -> bool:
        """Lock the file; whether that came about in time."""
        with self._state:
            if not self._is_asking:
                if self._is_free():
                    return True
                threading.Thread(target=self._ask, name="turn", daemon=True).start()
                self._is_asking = True
            self._is_wanted, self._has_come = True, False
            self._state.wait_for(lambda: self._has_come, patience_s)
            self._is_wanted = False
            return self._has_come

    def pass_on(self) -> None:
        """Unlock the file."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def leave(self) -> None:
        """Close the file, or have the thread do so that waits for it."""
        with self._state:
            self._has_left = True
            if not self._is_asking:
                os.close(self._fd)

    def _is_free(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _ask(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        with self._state:
            self._is_asking = False
            self._has_come = self._is_wanted
            self._state.notify()
            if self._has_left:
                os.close(self._fd)
            elif not self._is_wanted:
                self.pass_on()
