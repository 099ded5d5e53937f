"""The structures table of the card beside its bars: what is reached and what is not.

Figures come from `carina evaluate structures`; without `--run` they are those that the shipped card
holds, with `--run` they are measured again from the checkpoints of a training.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.bars import Bar, table
from models import runtime
from models.structures.anatomy import STRUCTURES
from models.structures.predict import WEIGHTS

FURTHEST = 0.02
"""Dice by which lungs under severe opacity may fall behind those of mild films."""
BARS = (
    Bar(
        "lungs, two radiologists, all their films (beside: V7's masks against theirs)",
        "dice/radiologist: lungs",
        low=0.95,
        beside="dice/V7 against radiologist: lungs",
    ),
    Bar(
        "same, where V7's masks agree with theirs",
        "dice/radiologist, where V7 agrees: lungs",
        low=0.95,
        beside="dice/V7 against radiologist, where they agree: lungs",
    ),
    Bar("lungs, V7", "dice/v7: lungs", low=0.94),
    Bar("cardiomediastinum", "dice/radiologist: mediastinum", low=0.90),
    Bar("same, where the lungs agree", "dice/radiologist, where V7 agrees: mediastinum", low=0.90),
    Bar("airways", "dice/radiologist: trachea", low=0.75),
    Bar("lungs, mild less severe films (V7)", "mild_less_severe/v7", high=FURTHEST),
    Bar("projections, mean of structures", "dice/projection: mean of structures", low=0.90),
    *(Bar(f"projections, {name}", f"dice/projection: {name}", low=0.75) for name in STRUCTURES),
    Bar("films with swapped sides", "sides_swapped", high=0.0),
)


def main() -> int:
    """Print the table; 1 where a bar is missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=Path("../shared/data"))
    options.add_argument("--run", type=Path, help="folder of a finished training")
    chosen = options.parse_args()
    figures = measured(chosen.data, chosen.run) if chosen.run else shipped()
    print("\n".join(table(BARS, figures)))
    return 0 if all(bar.is_kept(figures) for bar in BARS) else 1


def shipped() -> Mapping[str, Any]:
    """The figures that the shipped card holds."""
    return runtime.read_card(WEIGHTS).metrics


def measured(data: Path, run: Path) -> Mapping[str, Any]:
    """The figures of a training, measured now; card, plot and contact sheet go to its folder."""
    from models.structures.evaluate import evaluate  # noqa: PLC0415  # needs the extra [train]

    return evaluate(data, run)


if __name__ == "__main__":
    raise SystemExit(main())
