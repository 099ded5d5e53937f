"""One client and every way to ask for the list; nothing is remembered between two requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, get_args

import httpx
import numpy as np

from benchmarks.ward.house import House
from service.dashboard.lists import PAGE_ROWS, SORTS
from service.store.worklist import Sort

PATIENTS = 10_000
NARROWED: tuple[Mapping[str, Any], ...] = (
    {"ward": "Ward 07"},
    {"band": "high"},
    {"band": "low", "sort": "spo2"},
    {"search": "cedar"},
    {"search": "N-0071"},
    {"search": "nobody-of-this-name"},
)


def measure(house: House, rounds: int) -> dict[str, Any]:
    """Milliseconds of page and API: over all ways to ask, and of the slowest way."""
    found: dict[str, Any] = {}
    with httpx.Client(base_url=house.base, cookies=house.cookies(), timeout=60) as client:
        for kind, ways in (("page", _pages()), ("api", _calls())):
            times = {str(way): _times(house, client, kind, way, rounds) for way in ways}
            slowest = max(times, key=lambda way: float(np.percentile(times[way], 95)))
            found[kind] = spread([one for way in times.values() for one in way])
            found[f"{kind}_slowest"] = {"way": slowest, **spread(times[slowest])}
    return found


def spread(milliseconds: list[float]) -> dict[str, Any]:
    """Median, 95th percentile and maximum."""
    middle, high, most = np.percentile(milliseconds, (50, 95, 100))
    return {
        "count": len(milliseconds),
        "median_ms": round(float(middle), 1),
        "p95_ms": round(float(high), 1),
        "most_ms": round(float(most), 1),
    }


def _pages() -> list[Mapping[str, Any]]:
    deep = PATIENTS // PAGE_ROWS
    ways: list[Mapping[str, Any]] = [{"sort": sort} for sort in SORTS]
    return [*ways, *NARROWED, {"page": deep // 2}, {"page": deep}, {"sort": "spo2", "page": deep}]


def _calls() -> list[Mapping[str, Any]]:
    ways: list[Mapping[str, Any]] = [{"sort": sort} for sort in get_args(Sort)]
    return [*ways, *NARROWED, {"offset": PATIENTS // 2}, {"offset": PATIENTS - 50}, {"limit": 50}]


def _times(
    house: House, client: httpx.Client, kind: str, way: Mapping[str, Any], rounds: int
) -> list[float]:
    path = "/" if kind == "page" else "/api/v1/worklist"
    return [_timed(house, n, lambda: client.get(path, params=dict(way))) for n in range(rounds)]


def _timed(house: House, number: int, ask: Callable[[], httpx.Response]) -> float:
    house.tell(number)
    begun = time.perf_counter()
    answer = ask()
    passed = 1e3 * (time.perf_counter() - begun)
    if answer.status_code != httpx.codes.OK:
        raise SystemExit(f"expected the list, found {answer.status_code} for {answer.url}")
    return passed
