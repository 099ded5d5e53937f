"""Films scored by processes of this machine, each of which may die without harm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from service.jobs import crew
from service.jobs.films import Film
from service.jobs.scored import Row, score_film, warm_up

LIMIT_S = 120.0  # for one film; a hostile file may not hold up a cohort


def score_films(films: Sequence[Film], workers: int) -> Iterator[Row]:
    """A row for each film, as they are done; what cost its process is a row that says so."""
    for number, said in crew.run(score_film, films, workers, prepare=warm_up, limit_s=LIMIT_S):
        if isinstance(said, crew.Lost):
            yield Row(path=films[number].path, status="failed", reason=said.reason)
        else:
            yield said
