"""Pages of the list that many browsers ask for at one moment: drawn once, until there is news."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from service.records import NewsEvent

LASTING_S = 10.0  # ages grow; readings arrive before the risk that is told of; the order moves
MOST_NEWS = 100  # more than that since a part was made: it is made anew without a look
MOST = 64


class NewsSource(Protocol):
    """The part of the index that tells what is new."""

    def news(self, after: int, limit: int = 100) -> tuple[NewsEvent, ...]:
        """The news numbered above `after`, in order."""

    def last_news(self) -> int:
        """The number of the newest piece of news."""


class Shown(Protocol):
    """A part that knows whom it shows."""

    @property
    def patient_ids(self) -> Collection[str]:
        """The patients on it."""


T = TypeVar("T", bound=Shown)


@dataclass(slots=True)
class _Part(Generic[T]):
    """One part; whoever holds `lock` makes it, the others wait for it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    number: int = 0
    made_at: float = 0.0
    value: T | None = None


class Shared(Generic[T]):
    """Hands the same part to everybody as long as nothing new concerns it.

    Whoever comes for a result, an admission or a study that was told of never gets what was there
    before, nor for a new risk of a patient whom the part shows. Risks of others, which in a large
    hospital come every second, can only move its order: they wait for at most `LASTING_S`.

    Parameters
    ----------
    clock : seconds, never going back.
    """

    def __init__(self, source: NewsSource, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._parts: OrderedDict[Hashable, _Part[T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The part `key`, made by `make` where the one kept may no longer be shown."""
        part = self._part(key)
        with part.lock:
            if part.value is not None and self._holds(part, part.value):
                return part.value
            part.value = None
            part.number = self._source.last_news()  # first: what arrives meanwhile counts as new
            part.made_at = self._clock()
            part.value = make()
            return part.value

    def _holds(self, part: _Part[T], value: T) -> bool:
        if self._clock() - part.made_at > LASTING_S:
            return False
        news = self._source.news(part.number, MOST_NEWS)
        if len(news) == MOST_NEWS:
            return False
        shown = frozenset(value.patient_ids)
        if any(one.kind != "risk" or one.patient_id in shown for one in news):
            return False
        part.number = news[-1].number if news else part.number
        return True

    def _part(self, key: Hashable) -> _Part[T]:
        with self._lock:
            part = self._parts.setdefault(key, _Part())
            self._parts.move_to_end(key)
            if len(self._parts) > MOST:
                self._parts.popitem(last=False)
            return part
