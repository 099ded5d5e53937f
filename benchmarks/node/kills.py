"""`kill -9` of the whole service at random moments while films come in and are scored."""

from __future__ import annotations

import hashlib
import io
import random
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import generate_uid
from sqlalchemy import create_engine, select

from benchmarks.bars import Bar
from benchmarks.node import films, stock
from benchmarks.node.peers import Carina
from service.dicom.deliver import echo, send
from service.errors import DeliveryError
from service.store.tables import INSTANCES, RESULTS, STUDIES

MOST_RESTART_S = 5.0
_FILM_BYTES = 130_000  # 256 px square: as quick to score as films get
_SHORTEST_S, _LONGEST_S = 0.5, 5.0  # from the sign of life to the kill
_DRAIN_S = 1800.0
BARS = [
    Bar("acknowledged objects lost after kill -9", "kills/lost", high=0),
    Bar("acknowledged studies without exactly one result in force", "kills/not_once", high=0),
    Bar("objects in the index whose bytes are not whole", "kills/torn", high=0),
    Bar("restart, s, longest, with the stock in place", "kills/restart_s", high=MOST_RESTART_S),
]


@dataclass(slots=True)
class Sender:
    """Sends one film after the other, each a new study, and remembers what was acknowledged."""

    destination: str
    film: Path
    acknowledged: dict[str, str] = field(default_factory=dict)  # SOP Instance UID: study UID
    paused: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Send until told to end; what is not acknowledged is forgotten."""
        while not self.ended.is_set():
            if self.paused.is_set():
                self.ended.wait(0.05)
                continue
            instance, study, data = copy_of(self.film)
            with suppress(DeliveryError):
                send(data, self.destination, "SENDER")
                self.acknowledged[instance] = study
            self.ended.wait(0.5)


def copy_of(film: Path) -> tuple[str, str, bytes]:
    """SOP Instance UID, study UID and file of a copy that is a new study of a new patient."""
    ds = pydicom.dcmread(film)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.PatientID = f"B{ds.StudyInstanceUID[-14:]}"
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return str(ds.SOPInstanceUID), str(ds.StudyInstanceUID), file.getvalue()


def measure(folder: Path, rounds: int, kept: int, seed: int = 0) -> dict[str, Any]:
    """The figures after so many kills with `kept` instances in stock."""
    folder.mkdir(parents=True)
    film = films.write(folder / "film.dcm", _FILM_BYTES)
    node = Carina(folder)
    node.command("migrate")
    stock.fill(node.data_dir, kept)
    sender = Sender(f"CARINA@127.0.0.1:{node.dicom_port}", film)
    sending = threading.Thread(target=sender.run, daemon=True)
    chance, restarts = random.Random(seed), []
    sending.start()
    try:
        for _ in range(rounds):
            restarts.append(until_ready(node, sender.destination))
            time.sleep(chance.uniform(_SHORTEST_S, _LONGEST_S))
            node.kill()
        sender.paused.set()
        restarts.append(until_ready(node, sender.destination))
        _drain(node.data_dir)
    finally:
        sender.ended.set()
        sending.join()
        node.kill()
    return {
        "rounds": rounds,
        "kept": kept,
        "acknowledged": len(sender.acknowledged),
        "restart_s": {"value": round(max(restarts), 2)},
        "restart_median_s": round(float(np.median(restarts)), 2),
        **_found(node.data_dir, sender.acknowledged),
    }


def until_ready(node: Carina, destination: str) -> float:
    """Seconds from the command to an answer of the pages and of the DICOM port."""
    begin = time.perf_counter()
    node.start()
    while True:
        with suppress(DeliveryError):
            echo(destination, "SENDER")
            return time.perf_counter() - begin


def _drain(data_dir: Path) -> None:
    """Wait until every study has a result for all its films.

    Raises
    ------
    SystemExit : some have none after half an hour.
    """
    engine = create_engine(f"sqlite:///{data_dir / 'carina.sqlite'}")
    waiting = select(STUDIES.c.study_uid).where(STUDIES.c.revision > STUDIES.c.scored_revision)
    end = time.monotonic() + _DRAIN_S
    while time.monotonic() < end:
        with engine.connect() as connection:
            if connection.execute(waiting.limit(1)).first() is None:
                engine.dispose()
                return
        time.sleep(0.5)
    raise SystemExit(f"expected all studies to be scored within {_DRAIN_S:.0f} s, found some not")


def _found(data_dir: Path, acknowledged: dict[str, str]) -> dict[str, int]:
    """What is missing, double or torn in the data directory of a service that has ended."""
    engine = create_engine(f"sqlite:///{data_dir / 'carina.sqlite'}")
    in_force = select(RESULTS.c.study_uid, RESULTS.c.status).where(
        RESULTS.c.superseded_by.is_(None)
    )
    with engine.connect() as connection:
        rows = connection.execute(select(INSTANCES)).mappings().all()
        results = connection.execute(in_force).all()
        made = Counter(connection.execute(select(RESULTS.c.study_uid)).scalars())
    engine.dispose()
    kept = {row["sop_instance_uid"] for row in rows}
    current = Counter(row.study_uid for row in results)
    failed = {row.study_uid for row in results if row.status == "failed"}
    studies = set(acknowledged.values())
    return {
        "lost": len(set(acknowledged) - kept),
        "not_once": sum(current[study] != 1 or made[study] != 1 for study in studies),
        "failed": len(studies & failed),
        "torn": sum(not _is_whole(data_dir / "objects" / r["object_key"], r) for r in rows),
    }


def _is_whole(file: Path, row: Any) -> bool:
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == row["sha256"]
