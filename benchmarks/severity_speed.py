"""How long a severity score takes, beside what PXS runs for each film, in one run, in pairs.

PXS (Li et al., Radiology: Artificial Intelligence 2(4), 2020) runs DenseNet121 at 320 px in eager
torch, and its published code encodes twelve normal anchors again for each film: 13 forward passes.
Decoding is left out on both sides, framing is in on both; the score includes every view and the
heat map. It is timed twice: alone, with the labels of the structures that it stands on, and as the
service runs it, where the structures are labelled anyway.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from models.frame import clip_percentiles, resize
from models.phantom import draw
from models.radiograph import Radiograph
from models.runtime import threads
from models.severity.predict import WEIGHTS, score
from models.structures.predict import label

PXS_SIDE = 320
PXS_FORWARDS = 13
MOST_MB, MOST_WEIGHTS_MB, LEAST_RATIO = 500, 20, 3.0


def main() -> int:
    """Print the table; 1 where a bar of the issue is missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=30)
    options.add_argument("--side", type=int, default=2048, help="side of the film in pixels")
    options.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.memory_of:
        print(memory(chosen.memory_of))
        return 0
    radiograph = film_of(chosen.side)
    alone, known, theirs = timed(radiograph, chosen.pairs)
    found = {
        "threads": threads(),
        "pairs": chosen.pairs,
        "film_px": chosen.side,
        "score_ms": spread(alone * 1e3),
        "score_with_known_structures_ms": spread(known * 1e3),
        "densenet121_320_eager_ms": spread(theirs * 1e3),
        "ratio_to_one_forward": spread(theirs / alone),
        "ratio_to_13_forwards": spread(PXS_FORWARDS * theirs / alone),
        "ratio_to_one_forward_with_known_structures": spread(theirs / known),
        "weights_mb": round((WEIGHTS / "model.onnx").stat().st_size / 1e6, 2),
        "peak_memory_mb": round(peak_memory(radiograph)),
    }
    print(json.dumps(found, indent=2))
    kept = (
        found["ratio_to_one_forward"]["median"] >= LEAST_RATIO
        and found["weights_mb"] < MOST_WEIGHTS_MB
        and found["peak_memory_mb"] < MOST_MB
    )
    return 0 if kept else 1


def film_of(side: int) -> Radiograph:
    """A film of this side in pixels, drawn from shapes."""
    drawn = draw(7, 3.0, size=1024).pixels
    return Radiograph(resize(drawn, (side, side)))


def timed(radiograph: Radiograph, pairs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Seconds of a score, of one with known structures and of one DenseNet121 forward, in turn."""
    import torch  # noqa: PLC0415  # the process whose memory is measured must not load it
    from monai.networks.nets import DenseNet121  # noqa: PLC0415

    network = DenseNet121(spatial_dims=2, in_channels=3, out_channels=1000).eval()
    structures = label(radiograph)

    def pxs() -> None:
        picture = resize(clip_percentiles(radiograph.pixels), (PXS_SIDE, PXS_SIDE))
        network(torch.from_numpy(picture.copy()).expand(1, 3, -1, -1))

    def seconds(work: Callable[[], object]) -> float:
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin

    works = (lambda: score(radiograph), lambda: score(radiograph, structures), pxs)
    with torch.inference_mode():
        turns = [[seconds(work) for work in works] for _ in range(pairs + 2)]
    alone, known, theirs = np.asarray(turns[2:]).T  # the first two warm caches and pools up
    return alone, known, theirs


def spread(values: np.ndarray) -> dict[str, float]:
    """Minimum, median and maximum."""
    low, middle, high = (float(v) for v in np.percentile(values, (0, 50, 100)))
    return {"min": round(low, 2), "median": round(middle, 2), "max": round(high, 2)}


def peak_memory(radiograph: Radiograph) -> float:
    """Peak resident memory in MB of a process that only scores, without torch."""
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.npy"
        np.save(film, radiograph.pixels)
        command = [sys.executable, "-m", "benchmarks.severity_speed", "--memory-of", str(film)]
        said = subprocess.run(
            command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1]
        )
    return float(said.stdout.split()[-1])


def memory(film: Path) -> float:
    """Peak resident memory in MB of this process after some scores of the film in a file.

    From the process's own status: `getrusage` also counts what its parent held before it began.
    """
    radiograph = Radiograph(np.load(film))
    for _ in range(5):
        score(radiograph)
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return float(next(line for line in status.splitlines() if "VmHWM" in line).split()[1]) / 1024


if __name__ == "__main__":
    raise SystemExit(main())
