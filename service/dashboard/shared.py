"""Parts of pages that many browsers ask for at one moment: made once, until there is news."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
LASTING_S = 10.0  # ages grow, and readings arrive before the risk that is told of
MOST = 64


@dataclass(slots=True)
class _Part(Generic[T]):
    """One part; whoever holds `lock` makes it, the others wait for it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    number: int = -1
    made_at: float = 0.0
    value: T | None = None


class Shared(Generic[T]):
    """Hands the same part to everybody as long as nothing new was told.

    A part holds all that was told before it was asked for: a browser that hears of a result and
    comes for it never gets what was there before.

    Parameters
    ----------
    newest : the number of the newest piece of news.
    clock : seconds, never going back.
    """

    def __init__(
        self, newest: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._newest = newest
        self._clock = clock
        self._parts: OrderedDict[Hashable, _Part[T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The part `key`, made by `make` where the one kept is older than the news."""
        asked_after = self._newest()
        part = self._part(key)
        with part.lock:
            fresh = self._clock() - part.made_at <= LASTING_S
            if part.value is not None and part.number >= asked_after and fresh:
                return part.value
            part.number, part.made_at = self._newest(), self._clock()  # before: news meanwhile
            part.value = None
            part.value = make()
            return part.value

    def _part(self, key: Hashable) -> _Part[T]:
        with self._lock:
            part = self._parts.setdefault(key, _Part())
            self._parts.move_to_end(key)
            if len(self._parts) > MOST:
                self._parts.popitem(last=False)
            return part
