"""A cohort on a Ray cluster (extra `[cluster]`): the same rows from many machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from service.errors import UsageError
from service.jobs.films import Film
from service.jobs.local import score_films
from service.jobs.scored import Row

BATCH = 64  # films that one process scores in turn: enough to outweigh loading the models


def rows(wanted: Sequence[Film], workers: int | None) -> Iterator[Row]:
    """A row for each film, as Ray delivers them. Every machine must see the files.

    Ray tries a task again for ever when it kills its process, so that each task keeps a process
    of its own for the films, and outlives it.

    Parameters
    ----------
    workers : tasks at a time; None for one per core of the cluster.

    Raises
    ------
    UsageError : Ray is not installed.
    """
    try:
        import ray  # noqa: PLC0415 - an extra
        import ray.data  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            "expected Ray for --engine ray, found it missing; install carina[cluster] or use "
            "--engine local"
        ) from error
    started = not ray.is_initialized()
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False  # the cohort has its own
        films = ray.data.from_items(
            [{"film": asdict(film)} for film in wanted],
            override_num_blocks=-(-len(wanted) // BATCH),
        )
        scored = films.map_batches(
            score_batch, batch_size=BATCH, num_cpus=1, compute=ray.data.TaskPoolStrategy(workers)
        )
        for item in scored.iter_rows():
            yield Row(**item["row"])
    finally:
        if started:
            ray.shutdown()


def score_batch(batch: dict[str, Any]) -> dict[str, Any]:
    """Films by column to rows by column, on whichever machine Ray has chosen."""
    films = [Film(**film) for film in batch["film"]]
    return {"row": [row.as_dict() for row in score_films(films, workers=1)]}
