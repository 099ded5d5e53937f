"""Fifty browsers that follow the list, each as the page's script does, while results arrive."""

from __future__ import annotations

import asyncio
import json
import random
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import httpx

from benchmarks.ward.house import House
from benchmarks.ward.requests import spread

ARRIVALS_S = 0.36  # ten thousand patients, each computed every hour
# As in frontend/src/live/pace.ts: between two renewals at least, and their spread.
QUIET_S = 0.4
HERE, NEAR = (1.5, 0.3), (10.0, 3.0)
STAY_S = (10.0, 30.0)  # then somebody looks at something else
VIEWS = (
    "/", "/", "/", "/?sort=change", "/?sort=severity", "/?band=high", "/?page=2",
    *(f"/?ward=Ward+{n:02d}" for n in range(20)),
)  # fmt: skip
COMING_S = 10.0  # while they open the list one after the other
WARMTH_S = 15.0
ROWS = re.compile(r'data-row="([^"]+)"')


@dataclass(slots=True)
class Seen:
    """What the browsers met: milliseconds by kind of request, failures, news."""

    times: dict[str, list[float]] = field(default_factory=dict)
    failed: int = 0
    heard: list[int] = field(default_factory=list)
    gaps: int = 0


def measure(house: House, patients: int, browsers: int, seconds: float) -> dict[str, Any]:
    """Milliseconds of each kind of request, and whether every browser heard every piece of news."""
    stop = threading.Event()
    writer = threading.Thread(target=_arrive, args=(house, patients, stop))
    writer.start()
    try:
        seen = asyncio.run(_follow(house, browsers, seconds))
    finally:
        stop.set()
        writer.join()
    found: dict[str, Any] = {kind: spread(times) for kind, times in seen.times.items()}
    return found | {
        "failed": seen.failed,
        "news_missed": seen.gaps,
        "news_heard_by_each": round(sum(seen.heard) / max(1, len(seen.heard)), 1),
    }


def _arrive(house: House, patients: int, stop: threading.Event) -> None:
    """Risks as a worker writes them, at the pace of the whole hospital."""
    chance = random.Random(11)
    while not stop.wait(ARRIVALS_S):
        house.tell(chance.randrange(patients))


async def _follow(house: House, browsers: int, seconds: float) -> Seen:
    seen, end = Seen(), time.monotonic() + WARMTH_S + seconds
    # One client, a connection for each stream and request: fifty would each read the certificates.
    many = httpx.Limits(max_connections=None, max_keepalive_connections=browsers)
    cookies = house.cookies()
    async with httpx.AsyncClient(
        base_url=house.base, cookies=cookies, timeout=60, limits=many
    ) as client:
        following = [_Browser(client, seen, number, end).run() for number in range(browsers)]
        await asyncio.gather(_forget(seen), *following)
    return seen


async def _forget(seen: Seen) -> None:
    """The first seconds are those of fifty people who come at one moment, and a cold server."""
    await asyncio.sleep(WARMTH_S)
    for kind, times in seen.times.items():
        if kind != "stream":  # each browser opens one, at its beginning
            times.clear()


class _Browser:
    """One tab: it opens a view, follows its news, and changes the view now and then."""

    def __init__(self, client: httpx.AsyncClient, seen: Seen, number: int, end: float) -> None:
        self._chance = random.Random(number)
        self._client, self._seen, self._end = client, seen, end
        self._shown: frozenset[str] = frozenset()
        self._view, self._due, self._last = "/", float("inf"), 0.0

    async def run(self) -> None:
        """Until the end of the measurement."""
        await asyncio.sleep(self._chance.uniform(0, COMING_S))
        listening = asyncio.create_task(self._listen())
        while time.monotonic() < self._end:
            await self._stay()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)

    async def _stay(self) -> None:
        """One view: opened by a click, renewed after news."""
        self._view = self._chance.choice(VIEWS)
        await self._ask("page", self._view)
        if self._chance.random() < 0.3:
            await self._ask("api", "/api/v1/worklist")
        leaves = time.monotonic() + self._chance.uniform(*STAY_S)
        while time.monotonic() < min(leaves, self._end):
            if time.monotonic() >= self._due:
                self._due = float("inf")
                await self._ask("renewal", self._view, {"x-carina-refresh": "1"})
            await asyncio.sleep(0.05)

    async def _ask(self, kind: str, path: str, headers: dict[str, str] | None = None) -> None:
        self._last = time.monotonic()
        begun = time.perf_counter()
        try:
            answer = await self._client.get(path, headers=headers)
            self._seen.times.setdefault(kind, []).append(1e3 * (time.perf_counter() - begun))
            self._seen.failed += answer.status_code != httpx.codes.OK
        except httpx.HTTPError:
            self._seen.failed += 1
            return
        if kind == "page":
            self._shown = frozenset(_patients(answer.text))

    async def _listen(self) -> None:
        begun, numbers = time.perf_counter(), []
        try:
            async with self._client.stream("GET", "/api/v1/events") as stream:
                async for line in stream.aiter_lines():
                    if begun and line.startswith("id:"):
                        passed = 1e3 * (time.perf_counter() - begun)
                        self._seen.times.setdefault("stream", []).append(passed)
                        begun = 0.0
                    elif line.startswith("data:"):
                        numbers.append(self._hear(json.loads(line[5:])))
        except httpx.HTTPError:
            self._seen.failed += 1
        finally:
            self._seen.heard.append(len(numbers))
            self._seen.gaps += sum(after - before - 1 for before, after in pairwise(numbers))

    def _hear(self, news: dict[str, Any]) -> int:
        apart, spread = HERE if news["patient_id"] in self._shown else NEAR
        now = time.monotonic()
        wait = max(QUIET_S, apart - (now - self._last)) + spread * self._chance.random()
        self._due = min(self._due, now + wait)
        return int(news["number"])


def _patients(html: str) -> Iterable[str]:
    """Who is on the page; by a pattern, since parsing it all would cost the bench a core."""
    return ROWS.findall(html)
