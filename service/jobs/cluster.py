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

    Films travel in blocks. A film that kills its process takes its block along, so what is
    missing at the end is tried again, each film by itself; what is still missing has failed.

    Raises
    ------
    UsageError : Ray is not installed.
    """
    ray = _ray()
    started = not ray.is_initialized()
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    try:
        missing = {film.path: film for film in wanted}
        for alone in (False, True):
            for row in _deliver(ray, list(missing.values()), workers, alone=alone):
                missing.pop(row.path, None)
                yield row
            if not missing:
                return
        for path in missing:
            reason = "worker_died: expected a score, found its process ended"
            yield Row(path=path, status="failed", reason=reason)
    finally:
        if started:
            ray.shutdown()


def _ray() -> Any:
    try:
        import ray  # noqa: PLC0415 - an extra
        import ray.data  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            "expected Ray for --engine ray, found it missing; install carina[cluster] or use "
            "--engine local"
        ) from error
    return ray


def _deliver(ray: Any, films: Sequence[Film], workers: int | None, *, alone: bool) -> Iterator[Row]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # the cohort has its own
    context.max_errored_blocks = -1
    count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    held = ray.data.from_items(
        [{"film": asdict(film)} for film in films],
        override_num_blocks=len(films) if alone else None,
    )
    scored = held.map_batches(
        Scorer,
        batch_size=1 if alone else _BATCH,
        compute=ray.data.ActorPoolStrategy(size=min(count, len(films))),
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
