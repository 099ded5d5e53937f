"""Films a second that are acknowledged, by Carina, Orthanc and storescp in turn on one machine.

Carina's worker scores all the while, also when the others are measured: the machine is as busy for
each. Carina acknowledges what is synced and committed; Orthanc runs with its defaults; storescp
shows what neither syncing nor indexing would give.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bars import Bar
from benchmarks.node import films
from benchmarks.node.peers import Peer, carina, orthanc_peer, storescp
from benchmarks.node.senders import push

LEAST_RATIO = 1.5  # times the films a second of Orthanc
_SIZES = {"small": films.SMALL_BYTES, "large": films.LARGE_BYTES}
_ASSOCIATIONS = (1, 8)
_NAMES = {"small": "0.5 MB", "large": "10 MB"}
BARS = [
    Bar(
        f"films a second, {_NAMES[size]}, {count} at once, times Orthanc (beside: storescp)",
        f"throughput/{size}_{count}/times_orthanc",
        low=LEAST_RATIO,
        beside=f"throughput/{size}_{count}/storescp_times_orthanc",
    )
    for size in _SIZES
    for count in _ASSOCIATIONS
]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is sent.

    Parameters
    ----------
    rounds : measurements of each node, in turn; the first of each is left out as warming up.
    small, large : films of each size in one measurement.
    processes : listener processes of Carina.
    """

    rounds: int
    small: int
    large: int
    processes: int


def measure(folder: Path, plan: Plan) -> dict[str, Any]:
    """The figures by size and associations."""
    folder.mkdir(parents=True)
    sent = {size: films.write(folder / f"{size}.dcm", wide) for size, wide in _SIZES.items()}
    counts = {"small": plan.small, "large": plan.large}
    with ExitStack() as running:
        environment = {"CARINA_LISTENER_PROCESSES": str(plan.processes)}
        peers = {
            "carina": running.enter_context(carina(folder / "carina", environment)).peer,
            "orthanc": running.enter_context(orthanc_peer(folder / "orthanc")),
            "storescp": running.enter_context(storescp(folder / "storescp")),
        }
        push(sent["small"], peers["carina"], 8, 8)  # the worker has something to do from now on
        return {
            f"{size}_{count}": _figures(_rates(sent[size], peers, counts[size], count, plan.rounds))
            for size in _SIZES
            for count in _ASSOCIATIONS
        }


def _rates(
    film: Path, peers: Mapping[str, Peer], sent: int, associations: int, rounds: int
) -> dict[str, np.ndarray]:
    """Films a second of each node in each round; who begins changes from round to round."""
    found: dict[str, list[float]] = {name: [] for name in peers}
    for turn in range(rounds + 1):
        names = list(peers) if turn % 2 else list(reversed(peers))
        for name in names:
            found[name].append(sent / push(film, peers[name], sent, associations))
    return {name: np.array(rates[1:]) for name, rates in found.items()}


def _figures(rates: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {
        "times_orthanc": _ratio(rates["carina"], rates["orthanc"]),
        "storescp_times_orthanc": _ratio(rates["storescp"], rates["orthanc"]),
        **{f"{name}_films_per_s": round(float(np.median(r)), 1) for name, r in rates.items()},
    }


def _ratio(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """Ratio of the medians, and its 95 % interval from rounds drawn again, pair by pair."""
    drawn = np.random.default_rng(0).integers(0, len(ours), (2000, len(ours)))
    spread = np.median(ours[drawn], axis=1) / np.median(theirs[drawn], axis=1)
    low, high = np.percentile(spread, (2.5, 97.5))
    value = float(np.median(ours) / np.median(theirs))
    return {"value": value, "low": float(low), "high": float(high)}
