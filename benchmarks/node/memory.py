"""Memory of a service: all processes of its group."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_MB = 1024  # kB


def resident_mb(group: int) -> float:
    """Megabytes that the processes of a group hold, what they share counted once for each."""
    total_kb = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError, StopIteration):
            if os.getpgid(int(status.parent.name)) == group:
                lines = status.read_text(encoding="utf-8").splitlines()
                total_kb += int(next(ln for ln in lines if ln.startswith("VmRSS")).split()[1])
    return total_kb / _MB


def growth(before_mb: float, after_mb: float) -> float:
    """By which share of itself it grew."""
    return after_mb / before_mb - 1
