"""How long it takes to label two films and align them, decoding excluded, and the memory it needs.

In a process of its own that holds nothing else; films of 2048 x 2048 drawn from shapes. The change
map, whose time counts, asks for both films' scores: they are handed in, as the pipeline does, which
has made them for the page; what scoring takes besides is told on a line of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from models.frame import resize
from models.phantom import draw
from models.radiograph import Radiograph
from models.runtime import threads
from models.severity.predict import score
from models.structures.predict import label
from registration.predict import align

MOST_SECONDS, MOST_MB = 1.0, 1500


def main() -> int:
    """Print the table; 1 where a bar of the issue is missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=15)
    options.add_argument("--side", type=int, default=2048, help="side of the films in pixels")
    options.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.alone:
        print(json.dumps(measured(chosen.side, chosen.times)))
        return 0
    command = [sys.executable, "-m", "benchmarks.registration_speed", "--alone"]
    command += ["--times", str(chosen.times), "--side", str(chosen.side)]
    said = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1]
    )
    found = json.loads(said.stdout.splitlines()[-1])
    print(json.dumps(found, indent=2))
    kept = found["label_and_align_s"]["median"] < MOST_SECONDS and found["peak_mb"] < MOST_MB
    return 0 if kept else 1


def measured(side: int, times: int) -> dict[str, object]:
    """Seconds of the whole, of labelling and of aligning; peak memory of this process."""
    prior, current = (film_of(side, pose) for pose in (0, 1))
    turns = []
    for _ in range(times + 2):
        begin = time.perf_counter()
        structures = label(prior), label(current)
        labelled = time.perf_counter()
        scores = score(prior, structures[0]), score(current, structures[1])
        scored = time.perf_counter()
        align(prior, current, *structures, severities=scores)
        seconds = labelled - begin, time.perf_counter() - scored
        turns.append((sum(seconds), *seconds, scored - labelled))
    whole_s, label_s, align_s, score_s = np.asarray(turns[2:]).T  # the first two warm up
    return {
        "threads": threads(),
        "film_px": side,
        "times": times,
        "label_and_align_s": spread(whole_s),
        "label_s": spread(label_s),
        "align_s": spread(align_s),
        "score_both_besides_s": spread(score_s),
        "peak_mb": round(peak_mb()),
    }


def film_of(side: int, pose: int) -> Radiograph:
    """A film of a drawn patient in one of several poses."""
    return Radiograph(resize(draw(7, 3.0, size=1024, pose=pose).pixels, (side, side)))


def spread(values: np.ndarray) -> dict[str, float]:
    """Minimum, median and maximum."""
    low, middle, high = (float(v) for v in np.percentile(values, (0, 50, 100)))
    return {"min": round(low, 3), "median": round(middle, 3), "max": round(high, 3)}


def peak_mb() -> float:
    """Peak resident memory of this process in MB, from its own status."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return float(next(line for line in status.splitlines() if "VmHWM" in line).split()[1]) / 1024


if __name__ == "__main__":
    raise SystemExit(main())
