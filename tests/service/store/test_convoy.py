"""Writes that share a commit: each has its own answer, and none pays for another's mistake."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from service.errors import NotFoundError, OutOfResourcesError
from service.records import AuditEvent
from service.store.index import Index
from service.store.journal import write_audit
from tests.service.store.conftest import NOW


@pytest.fixture
def index(tmp_path: Path) -> Index:
    found = Index(f"sqlite:///{tmp_path / 'carina.sqlite'}")
    found.migrate()
    yield found
    found.close()


def note(connection: Connection, word: str) -> str:
    write_audit(connection, AuditEvent(NOW, word, "read", "success"))
    return word


def commits(index: Index) -> list[int]:
    seen: list[int] = []
    event.listen(index._engine, "commit", lambda _: seen.append(1))
    return seen


def test_each_of_many_writers_gets_its_own_answer_with_fewer_commits_than_writes(index):
    seen, words = commits(index), [f"word {n}" for n in range(200)]
    with ThreadPoolExecutor(16) as writers:
        answers = list(
            writers.map(lambda word: index._write_together(lambda c: note(c, word)), words)
        )
    assert answers == words
    assert len(seen) < len(words)
    assert sorted(row.actor for row in index.audits(limit=1000)) == sorted(words)


def test_a_write_that_fails_leaves_nothing_and_harms_nobody_beside_it(index):
    def write(number: int) -> str:
        def work(connection: Connection) -> str:
            note(connection, f"word {number}")
            if number % 3 == 0:
                raise NotFoundError(f"expected another number, found {number}")
            return "written"

        try:
            return index._write_together(work)
        except NotFoundError as error:
            return error.message

    with ThreadPoolExecutor(12) as writers:
        answers = list(writers.map(write, range(60)))
    for number, answer in enumerate(answers):
        assert answer.endswith(f"found {number}") if number % 3 == 0 else answer == "written"
    assert {row.actor for row in index.audits(limit=1000)} == {
        f"word {number}" for number in range(60) if number % 3
    }


def test_a_database_that_is_away_is_told_to_each_and_comes_back_by_itself(index, monkeypatch):
    with monkeypatch.context() as away:
        away.setattr(index._turn, "taken", lambda: _full(index))
        with ThreadPoolExecutor(4) as writers:
            told = [
                writers.submit(index._write_together, lambda c: note(c, "lost")) for _ in range(8)
            ]
            assert all(isinstance(one.exception(), OutOfResourcesError) for one in told)
    assert index._write_together(lambda connection: note(connection, "kept")) == "kept"
    assert [row.actor for row in index.audits()] == ["kept"]


def _full(index: Index):
    raise OutOfResourcesError("expected room, found none") from OSError("no space")


def _write_some(url: str, name: str) -> None:
    other = Index(url)
    for number in range(20):
        other._write_together(lambda connection, n=number: note(connection, f"{name} {n}"))
    other.close()


def test_processes_that_write_at_once_all_get_their_turn(index, tmp_path):
    url = f"sqlite:///{tmp_path / 'carina.sqlite'}"
    start = multiprocessing.get_context("spawn")
    others = [start.Process(target=_write_some, args=(url, str(n))) for n in range(2)]
    for one in others:
        one.start()
    for one in others:
        one.join()
        assert one.exitcode == 0
    assert len(index.audits(limit=1000)) == 40
