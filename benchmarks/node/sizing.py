"""What a machine needs: processor time, memory and disk for each film, and how long a start takes.

Nothing is scored meanwhile: the figures are those of receiving alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.bars import Bar
from benchmarks.node import films, memory, stock
from benchmarks.node.kills import MOST_RESTART_S, until_ready
from benchmarks.node.peers import Carina, carina
from benchmarks.node.senders import push

_SIZES = {"small": films.SMALL_BYTES, "large": films.LARGE_BYTES}
_ASSOCIATIONS = (1, 8)
_STARTS = 5
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_UTIME = 11  # the fields of /proc/PID/stat behind the name, user time; system time follows
BARS = [Bar("start, s, longest, with the stock in place", "sizing/start_s", high=MOST_RESTART_S)]


def measure(folder: Path, sent: dict[str, int], processes: int, kept: int) -> dict[str, Any]:
    """The figures; `sent` films of each size, `kept` instances in stock at the starts."""
    folder.mkdir(parents=True)
    environment = {"CARINA_LISTENER_PROCESSES": str(processes), "CARINA_WORKERS": "0"}
    found: dict[str, Any] = {}
    with carina(folder / "receiving", environment) as node:
        for size, wide in _SIZES.items():
            film = films.write(folder / f"{size}.dcm", wide)
            push(film, node.peer, 16, 8)
            for associations in _ASSOCIATIONS:
                name = f"{size}_{associations}"
                found[name] = _receiving(node, film, sent[size], associations)
    return {**found, **_starting(folder / "starting", kept)}


def _receiving(node: Carina, film: Path, sent: int, associations: int) -> dict[str, float]:
    spent, held = _processor_s(node), _disk_bytes(node.data_dir)
    seconds = push(film, node.peer, sent, associations)
    beside = (_disk_bytes(node.data_dir) - held) / sent - film.stat().st_size
    return {
        "films_per_s": round(sent / seconds, 1),
        "processor_ms_per_film": round(1000 * (_processor_s(node) - spent) / sent, 2),
        "disk_kb_per_film_beside_it": round(beside / 1000, 1),
        "memory_mb": round(memory.resident_mb(_group(node))),
    }


def _starting(folder: Path, kept: int) -> dict[str, Any]:
    """Seconds from the command to an answer of pages and DICOM port, after a kill each time."""
    node = Carina(folder)
    node.command("migrate")
    stock.fill(node.data_dir, kept)
    starts = []
    try:
        for _ in range(_STARTS):
            starts.append(until_ready(node, f"CARINA@127.0.0.1:{node.dicom_port}"))
            time.sleep(1)
            node.kill()
    finally:
        with suppress(ProcessLookupError):
            node.kill()
    return {"kept": kept, "start_s": {"value": round(max(starts), 2)}}


def _group(node: Carina) -> int:
    if node.process is None:
        raise SystemExit("expected a running service, found none")
    return os.getpgid(node.process.pid)


def _processor_s(node: Carina) -> float:
    """User and system time that the processes of a service have spent so far."""
    return sum(_spent_s(status) for status in _statuses(_group(node)))


def _statuses(group: int) -> Iterator[list[str]]:
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if os.getpgid(int(status.parent.name)) == group:
                yield status.read_text().rpartition(")")[2].split()


def _spent_s(status: list[str]) -> float:
    return sum(int(ticks) for ticks in status[_UTIME : _UTIME + 2]) / _TICKS_PER_S


def _disk_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
