"""Several small writes in one commit: who comes while the disk is busy travels together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from sqlalchemy import Connection

from service.errors import OutOfResourcesError

MOST_AT_ONCE = 64  # others wait for their commit
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Passenger:
    """One write on its way."""

    work: Callable[[Connection], Any]
    has_arrived: bool = False
    answer: Any = None
    error: Exception | None = None


class Convoy:
    """Commits what several threads want written with one sync of the disk.

    Nobody waits for company: the first one leaves at once, and those who come while it commits
    leave with the next one. Each is answered after the commit that holds what it wrote.

    Parameters
    ----------
    write : opens a transaction that is durable when it ends well.
    """

    def __init__(self, write: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._write = write
        self._waiting: deque[_Passenger] = deque()
        self._leading = threading.Lock()

    def run(self, work: Callable[[Connection], T]) -> T:
        """Do some work within a transaction, and give its answer once that is durable.

        Parameters
        ----------
        work : run again in a transaction of its own where one that it shared came to nothing.

        Raises
        ------
        Exception : what the work raised, and nothing of it is kept; others are not touched by it.
        """
        passenger = _Passenger(work)
        self._waiting.append(passenger)
        with self._leading:
            while not passenger.has_arrived:
                aboard = min(len(self._waiting), MOST_AT_ONCE)
                self._carry([self._waiting.popleft() for _ in range(aboard)])
        if passenger.error is not None:
            raise passenger.error
        return cast(T, passenger.answer)

    def _carry(self, aboard: Sequence[_Passenger]) -> None:
        try:
            with self._write() as connection:
                for one in aboard:
                    one.answer = one.work(connection)
        except Exception as error:  # noqa: BLE001  # handed to the thread that it belongs to
            self._settle(aboard, error)
        for one in aboard:
            one.has_arrived = True

    def _settle(self, aboard: Sequence[_Passenger], error: Exception) -> None:
        """Nothing was written: tell the one it is about, or find out which of several it is."""
        if len(aboard) == 1:
            aboard[0].error = error
        elif isinstance(error, OutOfResourcesError) and error.__cause__ is not None:
            for one in aboard:  # the database itself is away: it is so for each
                one.error = OutOfResourcesError(error.message)
        else:
            for one in aboard:
                self._carry([one])
