"""Each worker has a name of its own, and the others see when its process is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from service.errors import OutOfResourcesError
from service.jobs import places as places_module
from service.jobs.places import DatabasePlaces, Places, held_places, open_places
from tests.conftest import ROOT

Open = Callable[[], Places]
CHILD = """
import sys
from pathlib import Path
from service.jobs.places import open_places
place = open_places(sys.argv[1], Path(sys.argv[2]))
print(place.name, flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def jobs_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    return str(request.getfixturevalue("postgresql_url"))


@pytest.fixture
def take(jobs_url: str, tmp_path: Path) -> Iterator[Open]:
    """Take places; they are left after the test."""
    taken: list[Places] = []

    def take() -> Places:
        taken.append(open_places(jobs_url, tmp_path))
        return taken[-1]

    yield take
    for one in taken:
        one.leave()


@contextmanager
def other_process(jobs_url: str, folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Another process that holds a place: its name, and itself."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, jobs_url, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        yield child.stdout.readline().strip(), child
        child.kill()


def test_each_worker_has_a_name_of_its_own_that_all_see(take: Open) -> None:
    one, two = take(), take()
    assert one.name != two.name
    assert one.held() == two.held() == {one.name, two.name}


def test_who_holds_no_place_sees_those_that_are_held_and_since_when(
    take: Open, jobs_url: str, tmp_path: Path
) -> None:
    assert held_places(jobs_url, tmp_path) == []
    before = datetime.now(UTC)
    one, two = take(), take()
    seen = held_places(jobs_url, tmp_path)
    assert {place.name for place in seen} == {one.name, two.name}
    assert all(abs(place.since - before) < timedelta(minutes=1) for place in seen)
    assert held_places(jobs_url, tmp_path) == seen  # a look changes nothing


def test_a_place_that_is_left_is_free(take: Open) -> None:
    one, two = take(), take()
    two.leave()
    assert_alone(one)


def assert_alone(one: Places) -> None:
    """The database hears a moment later of a connection that ended."""
    for _ in range(1000):
        if one.held() == {one.name}:
            return
    pytest.fail("the place of a worker that is gone stayed taken")


def test_a_killed_process_holds_no_place(take: Open, jobs_url: str, tmp_path: Path) -> None:
    one = take()
    with other_process(jobs_url, tmp_path) as (name, process):
        assert one.held() == {one.name, name}
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert_alone(one)


def test_a_place_is_taken_again_after_the_database_dropped_its_connection(
    postgresql_url: str,
) -> None:
    one, two = DatabasePlaces(postgresql_url), DatabasePlaces(postgresql_url)
    with psycopg.connect(postgresql_url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE application_name = 'carina-worker' AND datname = current_database()"
        )
    with pytest.raises(OutOfResourcesError):
        one.held()
    one.keep()
    assert one.held() == {one.name}
    with pytest.raises(OutOfResourcesError):
        two.keep()
    two.keep()
    assert one.held() == {one.name, two.name}
    one.leave()
    two.leave()


def test_the_workers_of_another_database_are_not_ours(
    postgresql_url: str, postgresql_module_url: str
) -> None:
    here, there = DatabasePlaces(postgresql_url), DatabasePlaces(postgresql_module_url)
    assert here.held() == {here.name}
    here.leave()
    there.leave()


def test_a_database_that_is_away_is_told_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places_module, "CONNECT_S", 2)
    with pytest.raises(OutOfResourcesError, match="check the database"):
        DatabasePlaces("postgresql://carina@127.0.0.1:1/nowhere")
