"""Processes that work off a list, one task each at a time, and may die without harm.

`concurrent.futures` gives up the whole pool when one process dies. Here a task that kills its
process, or takes too long, is reported as lost, and another process takes its place.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Generic, TypeVar

from service.errors import CarinaError

LOG = logging.getLogger(__name__)
MEMORY_BYTES = 12 << 30  # address space of one process: weights, one film, and the decoders' slack
_START_S = 300.0  # loading the weights on a busy machine
Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Lost:
    """A task without a result.

    Parameters
    ----------
    reason : a code, a colon and words; no data of the task.
    """

    reason: str


@dataclass(slots=True)
class _Worker(Generic[Task]):
    process: BaseProcess
    pipe: Connection
    place: int
    ready: bool = False
    task: int | None = None
    since: float = 0.0


def run(
    work: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int,
    *,
    prepare: Callable[[], None] | None = None,
    limit_s: float = 120.0,
) -> Iterator[tuple[int, Result | Lost]]:
    """Yield (number of the task, its result) as they finish.

    Parameters
    ----------
    work, prepare : importable by name in a fresh process; `prepare` is called once in each.
    limit_s : a task that takes longer is lost, and its process ended.

    Raises
    ------
    CarinaError : a process could not be made ready at all.
    """
    queue = deque(enumerate(tasks))
    crew = [_start(work, prepare, place, workers) for place in range(min(workers, len(queue)))]
    try:
        while crew:
            for worker in _stirring(crew, limit_s):
                yield from _hear(worker, limit_s)
                if not worker.ready or worker.task is not None:
                    continue
                if not queue:
                    crew.remove(worker)
                    _end(worker)
                elif worker.process.is_alive():
                    _give(worker, *queue.popleft())
                else:
                    crew[crew.index(worker)] = _start(work, prepare, worker.place, workers)
                    _end(worker)
    finally:
        for worker in crew:
            _end(worker, at_once=True)


def _start(
    work: Callable[[Task], Result],
    prepare: Callable[[], None] | None,
    place: int,
    workers: int,
) -> _Worker[Task]:
    context = get_context("spawn")  # the inference engine's threads do not survive a fork
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_serve, args=(theirs, work, prepare, place, workers), daemon=True
    )
    process.start()
    theirs.close()
    return _Worker(process, ours, place, since=time.monotonic())


def _stirring(crew: Sequence[_Worker[Task]], limit_s: float) -> list[_Worker[Task]]:
    """Workers that said something, died, or are late."""
    woken = set(connection.wait([worker.pipe for worker in crew], timeout=min(1.0, limit_s)))
    return [
        worker
        for worker in crew
        if worker.pipe in woken or _is_late(worker, limit_s) or not worker.process.is_alive()
    ]


def _is_late(worker: _Worker[Task], limit_s: float) -> bool:
    return time.monotonic() - worker.since > (limit_s if worker.ready else _START_S) and (
        worker.task is not None or not worker.ready
    )


def _hear(worker: _Worker[Task], limit_s: float) -> Iterator[tuple[int, Result | Lost]]:
    """What a stirring worker has to report on its task, if anything."""
    try:
        if worker.pipe.poll():
            kind, said = worker.pipe.recv()
            if kind == "cannot start":
                raise CarinaError(f"expected the models to load, found: {said}")
            worker.ready = True
            if kind != "ready" and worker.task is not None:
                number, worker.task = worker.task, None
                yield number, said
            return
    except (EOFError, OSError):
        LOG.debug("a worker closed its pipe")
    late = _is_late(worker, limit_s)
    if late:
        worker.process.kill()
    worker.process.join()
    if not worker.ready:
        raise CarinaError(
            f"expected a scoring process to start, found it {_how_it_ended(worker.process)}; "
            "free some memory or use fewer workers"
        )
    if worker.task is not None:
        number, worker.task = worker.task, None
        if late:
            reason = f"timeout: expected an answer within {limit_s:g} s, found none"
        else:
            ended = _how_it_ended(worker.process)
            reason = f"worker_died: expected a score, found its process {ended}"
        yield number, Lost(reason)


def _how_it_ended(process: BaseProcess) -> str:
    code = process.exitcode
    if code is not None and code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"ended with status {code}"


def _give(worker: _Worker[Task], number: int, task: Task) -> None:
    worker.task, worker.since = number, time.monotonic()
    try:
        worker.pipe.send(task)
    except (BrokenPipeError, ConnectionResetError):
        LOG.debug("a worker died between two tasks")  # heard of in the next round


def _end(worker: _Worker[Task], at_once: bool = False) -> None:
    worker.pipe.close()  # the process leaves its loop at the end of the pipe
    if at_once:
        worker.process.kill()
    worker.process.join()
    worker.process.close()


def _serve(
    pipe: Connection,
    work: Callable[[Task], Result],
    prepare: Callable[[], None] | None,
    place: int,
    workers: int,
) -> None:
    """The life of one process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    _keep_to_its_share(place, workers)
    try:
        if prepare is not None:
            prepare()
    except Exception as error:  # noqa: BLE001 - the edge: the parent tells the user
        pipe.send(("cannot start", f"{type(error).__name__}: {error}"))
        return
    try:
        pipe.send(("ready", None))
        while True:
            task = pipe.recv()
            try:
                said: Result | Lost = work(task)
            except Exception as error:
                LOG.exception("a task failed")
                said = Lost(f"error: expected a result, found {type(error).__name__}")
            pipe.send(("done", said))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is done, or gone


def _keep_to_its_share(place: int, workers: int) -> None:
    """Bound memory, and give each process its own cores so that they do not wait for each other."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    bound = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (bound, hard))
    cores = sorted(os.sched_getaffinity(0))
    share = cores[place % len(cores) :: max(1, min(workers, len(cores)))]
    os.sched_setaffinity(0, share)
