"""The jobs in SQLite, beside the index: what an embedded set-up has in place of PostgreSQL."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.pool import ConnectionPoolEntry


def is_sqlite(url: str) -> bool:
    """Whether the jobs lie in a file of this machine."""
    return make_url(url).get_backend_name() == "sqlite"


def prepare(path: Path) -> None:
    """Make the file in WAL mode, which stays: readers and the queue do not wait for each other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=30)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


def open_jobs(url: str) -> Engine:
    """Open the jobs for enqueuing, as DBOS would, but leave it to later commits to sync the disk.

    A killed process loses nothing. A power cut may lose a job that was enqueued just before: the
    index, which is on the disk, says what is not done, and the next start enqueues that again.
    What a step enqueued is on the disk once DBOS, which syncs, has noted that the step is done.
    """
    engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = "IMMEDIATE"
        connection.execute("PRAGMA busy_timeout=30000")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine
