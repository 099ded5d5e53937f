"""Every minute is told, and a worker that is gone is seen, whatever the clock does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from service.jobs.watch import MINUTE, MOST_MINUTES, Watch

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Ward:
    """Workers in memory, and a clock that goes where a test sets it."""

    name = "me"

    def __init__(self) -> None:
        self.now = NOON
        self.busy: set[str] = set()
        self.alive = {"me"}
        self.taken: list[list[str]] = []
        self.told: list[datetime] = []
        self.watch = Watch(
            self, lambda: self.now, lambda: set(self.busy), self.taken.append, self.told.append
        )

    def keep(self) -> None:
        self.alive.add("me")

    def held(self) -> set[str]:
        return set(self.alive)

    def leave(self) -> None:
        self.alive.discard("me")


def test_jobs_left_by_the_dead_are_taken_over_at_start() -> None:
    ward = Ward()
    ward.busy = {"dead", "other"}
    ward.alive |= {"other"}
    ward.watch.start()
    ward.watch.stop()
    assert ward.taken == [["dead"]]


def test_a_worker_is_gone_when_two_looks_miss_it() -> None:
    ward = Ward()
    ward.busy = {"me", "other"}
    ward.watch.look()
    assert ward.taken == []
    ward.watch.look()
    assert ward.taken == [["other"]]


def test_a_worker_that_is_back_at_the_next_look_keeps_its_jobs() -> None:
    ward = Ward()
    ward.busy = {"other"}
    ward.watch.look()
    ward.alive |= {"other"}
    ward.watch.look()
    ward.alive -= {"other"}
    ward.watch.look()
    assert ward.taken == []


def test_an_idle_worker_that_is_gone_leaves_nothing_to_take_over() -> None:
    ward = Ward()
    for _ in range(3):
        ward.watch.look()
    assert ward.taken == []


@given(st.lists(st.integers(min_value=0, max_value=1800), max_size=30))
def test_each_minute_is_told_once_and_none_is_left_out(steps_s: list[int]) -> None:
    ward = Ward()
    for step_s in steps_s:
        ward.now += timedelta(seconds=step_s)
        ward.watch.tell()
    count = int((ward.now - NOON) / MINUTE)
    assert ward.told == [NOON + number * MINUTE for number in range(1, count + 1)]


def test_a_clock_that_is_set_back_is_followed() -> None:
    ward = Ward()
    ward.now -= timedelta(hours=1)
    ward.watch.tell()
    ward.watch.tell()
    ward.now += timedelta(minutes=1)
    ward.watch.tell()
    back = NOON - timedelta(hours=1)
    assert ward.told == [back, back + MINUTE]


def test_a_machine_that_slept_for_days_makes_up_for_an_hour() -> None:
    ward = Ward()
    ward.now += timedelta(days=3)
    ward.watch.tell()
    assert len(ward.told) == MOST_MINUTES
    assert ward.told[-1] == ward.now
