"""One poller for all listeners: nothing missed, nothing twice, in order."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from service.api.feed import MOST_MISSED, QUEUE, Feed, Heartbeat, Joined, Reset
from service.errors import OutOfResourcesError
from service.records import NewsEvent

NOW = datetime(2026, 11, 23, tzinfo=UTC)


class Journal:
    """News in memory; counts how often it is read."""

    def __init__(self, count: int = 0) -> None:
        self.count = count
        self.reads = 0
        self.away = False
        self._lock = threading.Lock()

    def news(self, after: int, limit: int = 100) -> tuple[NewsEvent, ...]:
        with self._lock:
            self.reads += 1
            if self.away:
                raise OutOfResourcesError("away")
            numbers = range(after + 1, min(self.count, after + limit) + 1)
            return tuple(NewsEvent(n, "risk", "P1", NOW) for n in numbers)

    def last_news(self) -> int:
        return self.count


async def numbers(
    feed: Feed, after: int | None, until: int, joined: asyncio.Event | None = None
) -> list[int]:
    """What one listener hears up to number `until`."""
    heard: list[int] = []
    async with aclosing(feed.listen(after)) as news:
        async for event in news:
            if isinstance(event, Joined) and joined is not None:
                joined.set()
            if isinstance(event, NewsEvent):
                heard.append(event.number)
                if event.number >= until:
                    break
    return heard


async def listener(feed: Feed, after: int | None, until: int) -> asyncio.Task[list[int]]:
    """A listener that hears everything from now on."""
    joined = asyncio.Event()
    task = asyncio.create_task(numbers(feed, after, until, joined))
    await asyncio.wait_for(joined.wait(), 20)
    return task


@settings(max_examples=15, deadline=None)
@given(
    starts=st.lists(st.integers(0, 12), min_size=1, max_size=5),
    steps=st.lists(st.integers(0, 150), max_size=5),
)
def test_every_listener_hears_everything_after_its_number_once_and_in_order(
    starts: list[int], steps: list[int]
) -> None:
    journal = Journal(12)
    last = 12 + sum(steps) + 1

    async def play() -> list[list[int]]:
        feed = Feed(journal, interval_s=0.001)
        listeners = [asyncio.create_task(numbers(feed, start, last)) for start in starts]
        for step in (*steps, 1):
            await asyncio.sleep(0.002)
            journal.count += step
        return await asyncio.wait_for(asyncio.gather(*listeners), 20)

    heard = asyncio.run(play())
    assert heard == [list(range(start + 1, last + 1)) for start in starts]


def test_many_listeners_cost_no_more_reads_than_one() -> None:
    journal = Journal()

    async def play() -> int:
        feed = Feed(journal, interval_s=0.02)
        tasks = [await listener(feed, None, 3) for _ in range(50)]
        joined = journal.reads
        for _ in range(3):
            journal.count += 1
            await asyncio.sleep(0.05)
        await asyncio.wait_for(asyncio.gather(*tasks), 20)
        return journal.reads - joined

    assert asyncio.run(play()) < 30


def test_the_poller_stops_with_the_last_listener() -> None:
    journal = Journal()

    async def play() -> tuple[int, int]:
        feed = Feed(journal, interval_s=0.001)
        task = await listener(feed, None, 1)
        journal.count = 1
        await asyncio.wait_for(task, 20)
        await asyncio.sleep(0.02)
        before = journal.reads
        await asyncio.sleep(0.05)
        return before, journal.reads

    before, after = asyncio.run(play())
    assert before == after


def test_who_missed_too_much_is_told_to_load_again() -> None:
    journal = Journal(MOST_MISSED + 5)

    async def play() -> object:
        async with aclosing(Feed(journal).listen(0)) as news:
            await anext(news)
            return await anext(news)

    assert isinstance(asyncio.run(play()), Reset)


def test_a_number_from_the_future_begins_with_what_comes_next() -> None:
    journal = Journal(5)

    async def play() -> list[int]:
        feed = Feed(journal, interval_s=0.001)
        task = await listener(feed, 900, 6)
        journal.count = 6
        return await asyncio.wait_for(task, 20)

    assert asyncio.run(play()) == [6]


def test_silence_is_filled_with_heartbeats_and_an_absent_index_is_waited_for() -> None:
    journal = Journal()

    async def play() -> tuple[object, list[int]]:
        feed = Feed(journal, interval_s=0.001, heartbeat_s=0.02)
        async with aclosing(feed.listen(None)) as news:
            await anext(news)
            first = await anext(news)
        task = await listener(feed, None, 1)
        journal.away = True
        await asyncio.sleep(0.02)
        journal.count, journal.away = 1, False
        return first, await asyncio.wait_for(task, 20)

    first, heard = asyncio.run(play())
    assert isinstance(first, Heartbeat)
    assert heard == [1]


def test_a_listener_that_sleeps_is_cut_off_and_closing_ends_all() -> None:
    journal = Journal()

    async def play() -> int:
        feed = Feed(journal, interval_s=0.001)
        async with aclosing(feed.listen(None)) as news:
            assert await anext(news) == Joined(0)
            journal.count = QUEUE + 10  # more than the queue holds, while nobody takes
            for _ in range(200):
                await asyncio.sleep(0.005)
                if feed._position == journal.count:
                    break
            rest = [event async for event in news]
        closing = await listener(feed, None, 10**6)
        feed.close()
        assert await asyncio.wait_for(closing, 20) == []
        return len(rest)

    assert asyncio.run(play()) < QUEUE
