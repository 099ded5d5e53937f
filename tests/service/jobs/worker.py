"""A worker process that the tests of its death start: the small science, and a step that kills it.

python -m tests.service.jobs.worker FOLDER DATABASE_URL S3_ENDPOINT [before|after STEP]

With a step it dies there by SIGKILL, the first time that it comes there; without one it waits
before its first film, and before its first report, until the file `go` is in the folder: the one
that shall die is left something to do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from service.jobs import delivery, watch
from service.jobs.engine import Engine
from service.settings import Settings
from service.store.index import Index
from service.store.objects import ObjectStore, open_objects
from tests.conftest import ROOT
from tests.service.jobs.science import SMALL, SMALL_RISK, Pacs, outbox

SCIENCE = ("read", "check", "label", "measure", "score", "change", "align", "contours")
REPORTS = ("report", "segmentation", "send")
STEPS = (*SCIENCE, "put", "add_result", "follow", *REPORTS, "add_delivery")
DESTINATION = "PACS@host:104"
LOOK_S = 0.5
TAKEN_FOR = timedelta(seconds=30)  # what a dead worker was sending is sent again after that


@dataclass(frozen=True, slots=True)
class Stores:
    """What the workers of one test share: database and objects."""

    folder: Path
    database_url: str = ""
    endpoint: str = ""

    def settings(self, name: str) -> Settings:
        """With PostgreSQL each process is on a machine of its own; SQLite is one folder."""
        return Settings(
            data_dir=self.folder / name if self.database_url else self.folder,
            database_url=self.database_url,
            object_store_url=f"s3://carina/{self.folder.name}" if self.endpoint else "",
            object_store_endpoint=self.endpoint,
        )

    def open(self, name: str) -> tuple[Settings, Index, ObjectStore]:
        settings = self.settings(name)
        index = Index(settings.index_url)
        index.migrate()
        objects = open_objects(
            settings.object_store_url, settings.object_store_endpoint, self.folder / "objects"
        )
        return settings, index, objects

    def worker(self, *step: str) -> subprocess.Popen[bytes]:
        """Start a worker that dies in a step, or one that waits for `go`."""
        place = [str(self.folder), self.database_url, self.endpoint]
        with (self.folder / "workers.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.service.jobs.worker", *place, *step],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _deadly(when: str, work: Callable[..., Any]) -> Callable[..., Any]:
    def deadly(*arguments: Any, **named: Any) -> Any:
        if when == "before":
            _die()
        done = work(*arguments, **named)
        _die()
        return done

    return deadly


def _waiting(go: Path, work: Callable[..., Any]) -> Callable[..., Any]:
    def waiting(*arguments: Any) -> Any:
        while not go.exists():
            threading.Event().wait(0.02)
        return work(*arguments)

    return waiting


def main(folder: Path, database_url: str, endpoint: str, when: str = "", step: str = "") -> None:
    """Work until killed."""
    watch.LOOK_S, delivery.TAKEN_FOR = LOOK_S, TAKEN_FOR
    stores = Stores(folder, database_url, endpoint)
    settings, index, objects = stores.open(f"worker-{os.getpid()}")
    science, reports = SMALL, outbox(Pacs(), DESTINATION)
    if step in SCIENCE:
        science = replace(SMALL, **{step: _deadly(when, getattr(SMALL, step))})
    elif step in REPORTS:
        reports = replace(reports, **{step: _deadly(when, getattr(reports, step))})
    elif not step:
        go = folder / "go"
        science = replace(SMALL, read=_waiting(go, SMALL.read))
        reports = replace(reports, report=_waiting(go, reports.report))
    engine = Engine(settings, index, objects, science, risk_models=SMALL_RISK, outbox=reports)
    for owner in (objects, index, engine):
        if step not in (*SCIENCE, *REPORTS) and hasattr(owner, step):
            setattr(owner, step, _deadly(when, getattr(owner, step)))
    engine.start()
    threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
