"""From a study's last image, acknowledged, to its score, seen by a program at the API."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.bars import Bar
from benchmarks.node import films
from benchmarks.node.kills import copy_of
from benchmarks.node.memory import growth, resident_mb
from benchmarks.node.peers import carina
from service.dicom.deliver import send

MOST_S, MOST_GROWTH = 5.0, 0.05
_LOOK_S = 0.1
_PATIENCE_S = 600.0  # how long the last scores are waited for
_WARM_SHARE = 0.2  # of the run, before memory is looked at first
BARS = [
    Bar("acknowledged to seen, s, 95th percentile, a study a second", "latency/p95_s", high=MOST_S),
    Bar("studies without a score", "latency/unscored", high=0),
    Bar("memory grew by the share in the run", "latency/growth", high=MOST_GROWTH),
]


def measure(folder: Path, seconds: int, film_bytes: int) -> dict[str, Any]:
    """The figures of one study a second for so many seconds."""
    folder.mkdir(parents=True)
    film = films.write(folder / "film.dcm", film_bytes)
    with carina(folder) as node:
        assert node.process is not None
        node.command("user", "add", "watch", "--role", "clinician")
        destination = f"CARINA@127.0.0.1:{node.dicom_port}"
        with closing(node.client("watch")) as client:
            watch = Watch(client)
            watch.start()
            send_one(film, destination, watch)
            watch.wait_for_all()  # the models are loaded
            watch.seconds.clear()
            memory = _study_a_second(film, destination, watch, seconds, node.process.pid)
            watch.wait_for_all()
            watch.end()
    spread = np.array(watch.seconds or [float("inf")])
    return {
        "studies": len(watch.seconds),
        "film_bytes": film_bytes,
        "p95_s": round(float(np.percentile(spread, 95)), 2),
        "median_s": round(float(np.median(spread)), 2),
        "longest_s": round(float(spread.max()), 2),
        "unscored": len(watch.waiting) + watch.unscored,
        "memory_before_mb": round(memory[0]),
        "memory_after_mb": round(memory[1]),
        "growth": growth(*memory),
    }


class Watch(threading.Thread):
    """Asks the API for the result of each study that was sent, the oldest first."""

    def __init__(self, client: httpx.Client) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._ended = threading.Event()
        self.waiting: deque[tuple[str, float]] = deque()
        self.seconds: list[float] = []
        self.unscored = 0

    def run(self) -> None:
        """Look until told to end."""
        while not self._ended.wait(_LOOK_S):
            for study, since in list(self.waiting):
                if self._is_seen(study, since):
                    self.waiting.remove((study, since))  # only now: it is waited for until seen

    def _is_seen(self, study: str, since: float) -> bool:
        result = self._client.get(f"/api/v1/studies/{study}").raise_for_status().json()["result"]
        if result is None:
            return False
        self.seconds.append(time.perf_counter() - since)
        self.unscored += result["status"] != "ok"
        return True

    def wait_for_all(self) -> None:
        """Come back when nothing is waited for, or patience is at its end."""
        end = time.monotonic() + _PATIENCE_S
        while (self.waiting or not self.seconds) and time.monotonic() < end:
            time.sleep(_LOOK_S)

    def end(self) -> None:
        """Look no more."""
        self._ended.set()
        self.join()


def send_one(film: Path, destination: str, watch: Watch) -> None:
    """Send a new study; the clock runs from its acknowledgement."""
    _, study, data = copy_of(film)
    send(data, destination, "SENDER")
    watch.waiting.append((study, time.perf_counter()))


def _study_a_second(
    film: Path, destination: str, watch: Watch, seconds: int, group: int
) -> tuple[float, float]:
    """Send at the pace; megabytes after the first part and at the end."""
    begin, early_mb = time.perf_counter(), 0.0
    for number in range(seconds):
        send_one(film, destination, watch)
        if number == int(_WARM_SHARE * seconds):
            early_mb = resident_mb(group)
        time.sleep(max(0.0, begin + number + 1 - time.perf_counter()))
    return early_mb, resident_mb(group)
