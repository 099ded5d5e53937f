"""`carina score INPUT... -o FILE`: a cohort of films into a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from service.jobs.cohort import score_cohort


def run(
    inputs: Sequence[str], output: Path, *, engine: str, resume: bool, workers: int | None
) -> int:
    """Score a cohort; 0 when at least one film has a score."""
    done = score_cohort(inputs, output, engine=engine, resume=resume, workers=workers)
    print(
        f"{done.films} films: {done.ok} scored, {done.refused} refused, {done.failed} failed, "
        f"{done.resumed} from an earlier run -> {done.output}"
    )
    return 0 if done.ok else 1
