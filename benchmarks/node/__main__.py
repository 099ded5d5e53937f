"""`make bench-node`: what the DICOM node reaches, beside its bars; 1 where one is missed.

python -m benchmarks.node                     everything at full length
python -m benchmarks.node --only strain       one part
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.bars import table
from benchmarks.node import films, kills, latency, sizing, strain, throughput

PARTS = {
    "throughput": throughput,
    "kills": kills,
    "strain": strain,
    "latency": latency,
    "sizing": sizing,
}


def main() -> int:
    """Print the table; 1 where a bar of the issue is missed."""
    chosen = _options().parse_args()
    measures: dict[str, Callable[[Path], dict[str, Any]]] = {
        "throughput": lambda folder: throughput.measure(folder, _plan(chosen)),
        "kills": lambda folder: kills.measure(folder, chosen.kills, chosen.kept),
        "strain": lambda folder: strain.measure(folder, chosen.connections),
        "latency": lambda folder: latency.measure(folder, chosen.seconds, chosen.film_bytes),
        "sizing": lambda folder: sizing.measure(
            folder,
            {"small": chosen.small, "large": chosen.large},
            chosen.processes,
            chosen.kept,
        ),
    }
    found: dict[str, Any] = {}
    for name in chosen.only or PARTS:
        with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="carina-node-") as folder:
            found[name] = measures[name](Path(folder) / name)
            print(json.dumps({name: found[name]}), file=sys.stderr, flush=True)
    bars = [bar for name in found for bar in PARTS[name].BARS]
    print("\n".join(table(bars, found)))
    return 0 if all(bar.is_kept(found) for bar in bars) else 1


def _plan(chosen: argparse.Namespace) -> throughput.Plan:
    return throughput.Plan(chosen.rounds, chosen.small, chosen.large, chosen.processes)


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", nargs="+", choices=PARTS, help="parts to measure; all")
    options.add_argument("--folder", type=Path, help="where data directories are made; /tmp")
    options.add_argument("--rounds", type=int, default=8, help="throughput: rounds of each node")
    options.add_argument("--small", type=int, default=400, help="films of 0.5 MB")
    options.add_argument("--large", type=int, default=48, help="films of 10 MB")
    options.add_argument("--processes", type=int, default=2, help="listeners")
    options.add_argument("--kills", type=int, default=100, help="kills: how often")
    options.add_argument("--kept", type=int, default=100_000, help="instances in stock")
    options.add_argument("--connections", type=int, default=10_000, help="strain: of each kind")
    options.add_argument("--seconds", type=int, default=600, help="latency: a study in each")
    options.add_argument("--film-bytes", type=int, default=films.LARGE_BYTES, help="latency")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
