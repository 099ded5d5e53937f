"""News for every open page from one poller, however many pages are open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import anyio.to_thread
import structlog

from service.errors import OutOfResourcesError
from service.records import NewsEvent

_log = structlog.get_logger(__name__)
T = TypeVar("T")
MOST_MISSED = 1000  # a page that missed more loads itself again
QUEUE = 1000  # a listener that lags this far behind is cut off and comes back


@dataclass(frozen=True, slots=True)
class Joined:
    """The listener hears everything after this number from now on."""

    number: int


class Reset:
    """More was missed than is worth sending: the page should load itself again."""


class Heartbeat:
    """Nothing new; keeps proxies from closing the connection."""


Heard = NewsEvent | Joined | Reset | Heartbeat


class NewsSource(Protocol):
    """The part of the index that the feed reads."""

    def news(self, after: int, limit: int = 100) -> tuple[NewsEvent, ...]:
        """The news numbered above `after`, in order."""

    def last_news(self) -> int:
        """The number of the newest piece of news."""


class Feed:
    """Reads the index once per interval, as long as anybody listens, and tells all listeners.

    Parameters
    ----------
    index : where the news is.
    interval_s : between two looks.
    heartbeat_s : a silent listener gets a `Heartbeat` this often.
    """

    def __init__(
        self, index: NewsSource, interval_s: float = 1.0, heartbeat_s: float = 15.0
    ) -> None:
        self._index = index
        self._interval_s = interval_s
        self._heartbeat_s = heartbeat_s
        self._listeners: set[asyncio.Queue[NewsEvent | None]] = set()
        self._position = 0
        self._poller: asyncio.Task[None] | None = None
        self._joining = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def listen(self, after: int | None) -> AsyncGenerator[Heard]:
        """Yield what is missed since number `after`, then everything new, in order, once.

        Parameters
        ----------
        after : the last number that the listener saw; None to begin with what comes next.
        """
        queue: asyncio.Queue[NewsEvent | None] = asyncio.Queue(QUEUE)
        sent = await self._join(queue, after)
        try:
            yield Joined(sent)
            if self._position - sent > MOST_MISSED:
                yield Reset()
                sent = self._position
            while missed := await self._patiently(partial(self._index.news, sent)):
                for event in missed:
                    yield event
                    sent = event.number
            while not self._closed:
                try:
                    new = await asyncio.wait_for(queue.get(), self._heartbeat_s)
                except TimeoutError:
                    yield Heartbeat()
                    continue
                if new is None:
                    return
                if new.number > sent:
                    yield new
                    sent = new.number
        finally:
            self._leave(queue)

    def close(self) -> None:
        """End all listeners, now and later; from any thread, a signal handler too."""
        self._closed = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cut_all_off)

    def _cut_all_off(self) -> None:
        for queue in self._listeners:
            _cut_off(queue)

    async def _join(self, queue: asyncio.Queue[NewsEvent | None], after: int | None) -> int:
        """Subscribe first and read history afterwards, so that nothing falls in between."""
        async with self._joining:
            self._loop = asyncio.get_running_loop()
            self._listeners.add(queue)
            if self._poller is None:
                try:
                    self._position = await self._patiently(self._index.last_news)
                except BaseException:
                    self._listeners.discard(queue)
                    raise
                self._poller = asyncio.create_task(self._poll())
        # A number from before a restore may lie ahead of us: begin with what comes next then.
        return self._position if after is None else min(after, self._position)

    def _leave(self, queue: asyncio.Queue[NewsEvent | None]) -> None:
        self._listeners.discard(queue)
        if not self._listeners and self._poller is not None:
            self._poller.cancel()
            self._poller = None

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            for event in await self._patiently(partial(self._index.news, self._position)):
                self._tell(event)
                self._position = event.number

    async def _patiently(self, read: Callable[[], T]) -> T:
        """Read the index on a thread; again after a while, where it is away."""
        while True:
            try:
                return await anyio.to_thread.run_sync(read)
            except OutOfResourcesError as error:
                _log.warning("the news cannot be read now", message=error.message)
                await asyncio.sleep(self._interval_s)

    def _tell(self, event: NewsEvent) -> None:
        for queue in self._listeners:
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:
                _cut_off(queue)


def _cut_off(queue: asyncio.Queue[NewsEvent | None]) -> None:
    """Make room for the end and put it there; the browser comes back with the last number."""
    while True:
        with suppress(asyncio.QueueFull):
            queue.put_nowait(None)
            return
        with suppress(asyncio.QueueEmpty):
            while True:
                queue.get_nowait()
