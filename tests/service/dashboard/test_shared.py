"""A page of the list is drawn once for all, and never shown beyond news that concerns it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from service.dashboard.shared import LASTING_S, MOST, MOST_NEWS, Shared
from service.records import NewsEvent

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@dataclass
class Told:
    """News as the index keeps it."""

    events: list[NewsEvent] = field(default_factory=list)

    def tell(self, kind: str, patient_id: str) -> None:
        self.events.append(NewsEvent(len(self.events) + 1, kind, patient_id, NOW))  # type: ignore[arg-type]  # kinds of the test

    def news(self, after: int, limit: int = 100) -> tuple[NewsEvent, ...]:
        return tuple(self.events[after : after + limit])

    def last_news(self) -> int:
        return len(self.events)


@dataclass(frozen=True)
class Drawn:
    number: int
    patient_ids: tuple[str, ...] = ("P1", "P2")


@dataclass
class Draughtsman:
    drawn: int = 0

    def __call__(self) -> Drawn:
        self.drawn += 1
        return Drawn(self.drawn)


def test_what_was_drawn_is_shown_until_it_is_too_old() -> None:
    seconds = [100.0]
    shared: Shared[Drawn] = Shared(Told(), lambda: seconds[0])
    draw = Draughtsman()
    assert [shared.get("a", draw).number for _ in range(3)] == [1, 1, 1]
    seconds[0] += LASTING_S + 0.1
    assert shared.get("a", draw).number == 2
    assert shared.get("b", draw).number == 3


@pytest.mark.parametrize(
    ("kind", "patient_id", "drawn"),
    [("risk", "P1", 2), ("risk", "P9", 1), ("patient", "P9", 2), ("result", "P9", 2)],
)
def test_it_is_drawn_anew_for_all_news_but_the_risks_of_others(
    kind: str, patient_id: str, drawn: int
) -> None:
    told, draw = Told(), Draughtsman()
    shared: Shared[Drawn] = Shared(told)
    shared.get("a", draw)
    told.tell(kind, patient_id)
    assert shared.get("a", draw).number == drawn


def test_news_that_arrives_while_it_is_drawn_counts_as_new() -> None:
    told = Told()
    shared: Shared[Drawn] = Shared(told)

    def slowly() -> Drawn:
        told.tell("risk", "P1")
        return Drawn(1)

    shared.get("a", slowly)
    assert shared.get("a", lambda: Drawn(2)).number == 2


def test_more_news_than_is_worth_a_look_draws_it_anew() -> None:
    told, draw = Told(), Draughtsman()
    shared: Shared[Drawn] = Shared(told)
    shared.get("a", draw)
    for _ in range(MOST_NEWS):
        told.tell("risk", "P9")
    assert shared.get("a", draw).number == 2


def test_many_who_come_at_once_wait_for_one_drawing_and_a_failed_one_is_tried_again() -> None:
    shared: Shared[Drawn] = Shared(Told())
    with pytest.raises(ZeroDivisionError):
        shared.get("a", lambda: Drawn(1 // 0))
    draw, gate = Draughtsman(), threading.Barrier(8)

    def come() -> int:
        gate.wait()
        return shared.get("a", draw).number

    with ThreadPoolExecutor(8) as pool:
        assert {one.result() for one in [pool.submit(come) for _ in range(8)]} == {1}


def test_only_so_many_are_remembered() -> None:
    shared: Shared[Drawn] = Shared(Told())
    draw = Draughtsman()
    for key in range(MOST + 1):
        shared.get(key, draw)
    assert shared.get(MOST, draw).number == MOST + 1
    assert shared.get(0, draw).number == MOST + 2
