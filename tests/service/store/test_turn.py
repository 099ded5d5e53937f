"""The turn to write: one at a time, an end to every wait, nothing kept by who gave up."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.errors import OutOfResourcesError
from service.store.index import Index
from service.store.turn import Turn

SHORT_S = 0.05
LONG_S = 30.0


@contextmanager
def another_process(file: Path) -> Iterator[None]:
    """Hold the lock as a stopped process does: through a file that it has opened itself."""
    with file.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def is_free(file: Path) -> bool:
    with file.open("a") as tried:
        try:
            fcntl.flock(tried, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def within(patience_s: float, is_so) -> bool:
    """Whether something comes to be so; it is asked often."""
    ended = threading.Event()
    for _ in range(int(patience_s / 0.01)):
        if is_so():
            return True
        ended.wait(0.01)
    return False


def test_a_process_that_is_stopped_while_it_writes_holds_nobody_for_ever(tmp_path):
    file = tmp_path / "turn"
    turn = Turn(file, SHORT_S)
    with another_process(file), ThreadPoolExecutor(4) as threads:

        def write() -> None:
            with turn.taken():
                pass

        told = [threads.submit(write).exception() for _ in range(8)]
    assert all(isinstance(error, OutOfResourcesError) for error in told)
    assert all(error.dicom_status == 0xA700 for error in told)


def test_who_gave_up_never_keeps_the_turn_once_it_comes(tmp_path):
    file = tmp_path / "turn"
    turn = Turn(file, SHORT_S)
    with another_process(file), pytest.raises(OutOfResourcesError), turn.taken():
        pass
    assert within(5.0, lambda: is_free(file))
    with turn.taken():
        assert not is_free(file)
    assert is_free(file)


def test_who_waits_again_after_giving_up_gets_the_turn_when_the_other_ends(tmp_path):
    file = tmp_path / "turn"
    turn = Turn(file, LONG_S)
    came = threading.Event()

    def write() -> None:
        with turn.taken():
            assert not is_free(file)
            came.set()

    with another_process(file):
        turn._patience_s = SHORT_S
        with pytest.raises(OutOfResourcesError), turn.taken():
            pass
        turn._patience_s = LONG_S
        waiting = threading.Thread(target=write)
        waiting.start()
        assert not came.wait(SHORT_S)
    waiting.join(5.0)
    assert came.is_set()
    assert is_free(file)


def test_a_turn_that_was_closed_while_it_was_waited_for_keeps_no_file(tmp_path):
    file = tmp_path / "turn"
    turn = Turn(file, SHORT_S)
    with another_process(file):
        with pytest.raises(OutOfResourcesError), turn.taken():
            pass
        turn.close()
    assert within(5.0, lambda: is_free(file))
    with turn.taken():
        assert not is_free(file)


def test_a_write_within_a_write_is_refused_at_once_and_the_outer_one_keeps_its_turn(tmp_path):
    file = tmp_path / "turn"
    turn = Turn(file, LONG_S)
    with turn.taken():
        with pytest.raises(RuntimeError, match="write within a write"), turn.taken():
            pass
        assert not is_free(file)
    assert is_free(file)


def test_threads_and_processes_are_never_inside_together(tmp_path):
    file = tmp_path / "turn"
    turns = [Turn(file, LONG_S) for _ in range(4)]  # each as one process
    inside, most = [], []

    def write(number: int) -> None:
        with turns[number % 4].taken():
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(400)))
    assert most == [1] * 400


def test_films_that_share_a_commit_are_all_told_after_one_wait(tmp_path, monkeypatch):
    monkeypatch.setattr("service.store.database.BUSY_TIMEOUT_S", SHORT_S)
    index = Index(f"sqlite:///{tmp_path / 'carina.sqlite'}")
    index.migrate()
    asked: list[int] = []
    take = index._turn._locked

    def counted(until: float):
        asked.append(1)
        return take(until)

    monkeypatch.setattr(index._turn, "_locked", counted)
    with another_process(tmp_path / "carina.sqlite.turn"), ThreadPoolExecutor(8) as senders:
        told = [senders.submit(index._write_together, lambda _: None) for _ in range(8)]
        assert all(isinstance(one.exception(), OutOfResourcesError) for one in told)
    assert len(asked) < 8
    assert index._write_together(lambda _: "kept") == "kept"
    index.close()
