"""A cohort on a Ray cluster (extra `[cluster]`): the same rows from many machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from service.errors import UsageError
from service.jobs.films import Film
from service.jobs.scored import Row, score_film, warm_up

_BATCH = 4  # films that travel together; small, so that a lost actor loses little


class Scorer:
    """What runs on each Ray worker: the models are loaded once."""

    def __init__(self) -> None:
        warm_up()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Films by column to rows by column; a row for each film, whatever the film."""
        rows = [_score(Film(**film)) for film in batch["film"]]
        return {"row": [row.as_dict() for row in rows]}


def rows(wanted: Sequence[Film], workers: int | None) -> Iterator[Row]:
    """A row for each film, as Ray delivers them. Every machine must see the files.

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
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    films = ray.data.from_items([{"film": asdict(film)} for film in wanted])
    scored = films.map_batches(
        Scorer, batch_size=_BATCH, concurrency=workers or 1, max_restarts=-1, max_task_retries=2
    )
    for item in scored.iter_rows():
        yield Row(**item["row"])


def _score(film: Film) -> Row:
    try:
        return score_film(film)
    except Exception as error:  # noqa: BLE001 - the edge: one film may not cost its neighbours
        return Row(
            path=film.path,
            status="failed",
            reason=f"error: expected a score, found {type(error).__name__}",
        )
