"""Whose turn it is to write into a SQLite file, among the threads of all processes."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Turn:
    """One writer at a time, the next one woken as soon as the last is done.

    SQLite alone makes a process that finds the file taken sleep, and look again up to a tenth of a
    second later. The lock ends with its process, however that ends.

    Parameters
    ----------
    file : locked while one writes; None where no other process can.
    """

    def __init__(self, file: Path | None) -> None:
        self._inside = threading.RLock()
        self._file = file
        self._fd: int | None = None

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for the turn, and pass it on when the block ends."""
        with self._inside:
            fd = self._open()
            if fd is None:
                yield
                return
            fcntl.flock(fd, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file; the next turn opens it again."""
        with self._inside:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def _open(self) -> int | None:
        if self._fd is None and self._file is not None:
            self._fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._fd
