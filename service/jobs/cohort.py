"""Score a cohort of films into one table: any crash costs one film, any bad file is a row."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models import runtime
from models.severity.predict import WEIGHTS
from service.errors import UsageError
from service.jobs import cluster, films, table
from service.jobs.films import Film
from service.jobs.journal import Journal
from service.jobs.local import score_films
from service.jobs.scored import Row

ENGINES = ("local", "ray")


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of a cohort.

    Parameters
    ----------
    resumed : films that an earlier run had done.
    seconds : of this run.
    """

    output: Path
    films: int
    ok: int
    refused: int
    failed: int
    resumed: int
    seconds: float


def score_cohort(
    inputs: Sequence[str],
    output: Path,
    *,
    engine: str = "local",
    resume: bool = False,
    workers: int | None = None,
) -> Summary:
    """Score every film of `inputs` into `output`, one row per film, in the order of the inputs.

    Parameters
    ----------
    inputs : films, folders (recursive), CSV files with a column `path`, WebDataset .tar shards.
    output : .parquet or .csv; replaced when the last film is done, whole or not at all.
    engine : "local" processes, or "ray" (extra `[cluster]`).
    resume : keep what an interrupted or finished run has done; films that failed are tried again.
    workers : processes; None for one per core.

    Raises
    ------
    UsageError : an input or output that cannot be, or Ray where it is not installed.
    CarinaError : the models could not be loaded.
    """
    started = time.monotonic()
    table.check_output(output)
    if engine not in ENGINES:
        raise UsageError(f"expected an engine of {', '.join(ENGINES)}, found {engine!r}")
    if workers is not None and workers < 1:
        raise UsageError(f"expected at least one worker, found {workers}")
    found = films.find(inputs)
    if not found:
        raise UsageError(
            f"expected films in {', '.join(inputs)}, found none; give DICOM, PNG or JPEG files"
        )
    model = runtime.read_card(WEIGHTS).label
    earlier = table.read(output) if resume else []
    with Journal(journal_path(output), model, resume=resume) as journal:
        journal.keep(row for row in earlier if row.model in ("", model))
        done = {path for path, row in journal.done.items() if row.status != "failed"}
        wanted = [film for film in found if film.path not in done]
        for row in _watched(_rows(wanted, engine, workers), len(found), len(found) - len(wanted)):
            journal.add(row)
        rows = [journal.done[film.path] for film in found]
        table.write(rows, output)
        journal.remove()
    counts = Counter(row.status for row in rows)
    return Summary(
        output=output,
        films=len(rows),
        ok=counts["ok"],
        refused=counts["refused"],
        failed=counts["failed"],
        resumed=len(found) - len(wanted),
        seconds=time.monotonic() - started,
    )


def journal_path(output: Path) -> Path:
    """Where the rows of an unfinished run are kept."""
    return output.with_name(f"{output.name}.journal.jsonl")


def _rows(wanted: Sequence[Film], engine: str, workers: int | None) -> Iterator[Row]:
    """A row for each film, as they are done."""
    if not wanted:
        return
    if engine == "ray":
        yield from cluster.rows(wanted, workers)
        return
    count = workers or len(os.sched_getaffinity(0))
    yield from score_films(wanted, count)


def _watched(rows: Iterator[Row], total: int, resumed: int) -> Iterator[Row]:
    """Pass the rows on; on a terminal, show how far they are."""
    console = Console(file=sys.stderr)
    columns = (
        TextColumn("scoring"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        TimeRemainingColumn(),
    )
    counts: Counter[str] = Counter()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("films", total=total, completed=resumed, told="")
        for row in rows:
            counts[row.status] += 1
            told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
            progress.update(bar, advance=1, told=told)
            yield row
