"""Processes that may die: their task is lost, the others are not."""

from __future__ import annotations

import math
import os
import time
from functools import partial

import pytest

from service.errors import CarinaError
from service.jobs import crew

# Work is given by name to a fresh process, hence functions of the standard library.


def test_every_task_comes_back_with_its_number():
    found = dict(crew.run(math.sqrt, [4.0, 9.0, 16.0, 25.0], 2))
    assert found == {0: 2.0, 1: 3.0, 2: 4.0, 3: 5.0}


def test_no_task_needs_no_process():
    assert list(crew.run(math.sqrt, [], 2)) == []


def test_a_task_that_raises_is_lost_alone():
    found = dict(crew.run(math.sqrt, [4.0, -1.0, 9.0], 1))
    assert (found[0], found[2]) == (2.0, 3.0)
    assert found[1].reason.startswith("error: ")
    assert "ValueError" in found[1].reason


def test_a_process_that_dies_loses_its_task_alone():
    found = dict(crew.run(os._exit, [3, 4], 2))
    assert [one.reason.split(":")[0] for one in found.values()] == ["worker_died", "worker_died"]
    assert found[0].reason.endswith("ended with status 3")


def test_a_task_that_takes_too_long_is_ended():
    started = time.monotonic()
    found = dict(crew.run(time.sleep, [60.0, 0.0], 1, limit_s=0.5))
    assert found[0].reason.startswith("timeout: ")
    assert found[1] is None
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("prepare", "words"),
    [(partial(int, "weights"), "ValueError"), (partial(os._exit, 5), "ended with status 5")],
)
def test_a_process_that_cannot_start_is_an_error_not_a_loop(prepare, words):
    with pytest.raises(CarinaError, match=words):
        list(crew.run(math.sqrt, [4.0], 1, prepare=prepare))
