"""The places of the workers: the names in the queue that living processes hold.

A place is never written down. The operating system, or the database, lets go of it when its
process ends, however it ends; so that whoever asks learns which workers are gone.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import make_url

from service.errors import OutOfResourcesError
from service.jobs.embedded import is_sqlite

MOST_PLACES = 1000
LOCK_CLASS = 0x0CA2  # of Carina's advisory locks with two numbers; those of the index have one
CONNECT_S = 5
KEEPALIVE = {"idle": 10, "interval": 5, "count": 3}  # a machine that is gone is known in 25 s
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Place:
    """A place that is held, since when, and from which machine where that is another one."""

    name: str
    since: datetime
    address: str = ""


class Places(Protocol):
    """Where a worker takes its name, and where it sees which names are held."""

    name: str

    def keep(self) -> None:
        """Hold the own place, again if it was lost with the connection."""
        ...

    def held(self) -> set[str]:
        """The names that living processes hold."""
        ...

    def leave(self) -> None:
        """Let go of the own place."""
        ...


class FilePlaces:
    """Locked files in the data directory, for the workers of one machine.

    A process that starts after a crash gets the place, and the name, of the one before.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._host = socket.gethostname()
        self.name, self._lock = self._take()

    def _take(self) -> tuple[str, IO[str]]:
        for number in range(MOST_PLACES):
            file = self._folder / f"worker-{number}.lock"
            lock = _locked(file)
            if lock is not None:
                os.utime(file)  # since when it is held; a look from outside changes nothing
                return f"{self._host}-{number}", lock
        raise OutOfResourcesError(
            f"expected a free worker place, found {MOST_PLACES} taken; stop some"
        )

    def keep(self) -> None:
        """Nothing to do: the lock lasts as long as the process."""

    def held(self) -> set[str]:
        """Try each lock."""
        return {one.name for one in _held_files(self._folder, self._host)}

    def leave(self) -> None:
        """Unlock."""
        self._lock.close()


def _locked(file: Path) -> IO[str] | None:
    """The file with its lock, or None while another holds it."""
    opened = file.open("a")
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        opened.close()
        return None
    return opened


def _held_files(folder: Path, host: str) -> list[Place]:
    held = []
    for file in sorted(folder.glob("worker-*.lock")):
        lock = _locked(file)
        if lock is None:
            since = datetime.fromtimestamp(file.stat().st_mtime, UTC)
            held.append(Place(f"{host}-{file.stem.removeprefix('worker-')}", since))
        else:
            lock.close()
    return held


class DatabasePlaces:
    """Advisory locks of PostgreSQL, each held by a connection of its own, on any machine.

    Names are never used twice: what a dead process left belongs to nobody until it is taken over.

    Raises
    ------
    OutOfResourcesError : from any method, when the database is away.
    """

    def __init__(self, url: str) -> None:
        self._url = _address(url)
        self._number = secrets.randbelow(2**31)
        self.name = f"worker-{self._number}"
        self._connection: psycopg.Connection | None = None
        self._is_held = False
        self.keep()

    def keep(self) -> None:
        """Try the connection; with a new one, take the place again."""
        self._ask(self._hold)

    def _hold(self, connection: psycopg.Connection) -> None:
        if self._is_held:
            connection.execute("SELECT 1")
            return
        asked = "SELECT pg_try_advisory_lock(%s, %s)"
        row = connection.execute(asked, (LOCK_CLASS, self._number)).fetchone()
        self._is_held = bool(row and row[0])  # False: our own lost connection holds it still

    def held(self) -> set[str]:
        """Ask for the locks of this database."""
        return {one.name for one in self._ask(_held)}

    def _ask(self, question: Callable[[psycopg.Connection], Answer]) -> Answer:
        try:
            if self._connection is None:
                self._is_held = False
                self._connection = _connect(self._url)
            return question(self._connection)
        except psycopg.Error as error:
            self.leave()
            raise _away(error) from error

    def leave(self) -> None:
        """Close the connection: the lock goes with it."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None


def _away(error: psycopg.Error) -> OutOfResourcesError:
    return OutOfResourcesError(
        f"expected the database to know the workers, found {type(error).__name__}; "
        "check the database"
    )


def _address(url: str) -> str:
    """The address as libpq takes it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _connect(url: str) -> psycopg.Connection:
    """A connection that both ends know to be dead soon after the other is."""
    keepalive = {f"keepalives_{name}": value for name, value in KEEPALIVE.items()}
    address = make_conninfo(
        url, connect_timeout=CONNECT_S, application_name="carina-worker", **keepalive
    )
    connection = psycopg.connect(address, autocommit=True)
    for name, value in KEEPALIVE.items():
        connection.execute(f"SET tcp_keepalives_{name} = {value}")
    return connection


def _held(connection: psycopg.Connection) -> list[Place]:
    query = """
        SELECT l.objid, coalesce(a.backend_start, now()), coalesce(host(a.client_addr), '')
        FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted AND l.classid = %s
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        ORDER BY a.backend_start
    """
    rows = connection.execute(query, (LOCK_CLASS,))
    return [Place(f"worker-{number}", since, address) for number, since, address in rows]


def held_places(jobs_url: str, folder: Path) -> list[Place]:
    """See which places are held, without taking one.

    Raises
    ------
    OutOfResourcesError : the database is away.
    """
    if is_sqlite(jobs_url):
        return _held_files(folder, socket.gethostname())
    try:
        with _connect(_address(jobs_url)) as connection:
            return _held(connection)
    except psycopg.Error as error:
        raise _away(error) from error


def open_places(jobs_url: str, folder: Path) -> Places:
    """Take a place where the jobs are kept: in PostgreSQL, or beside SQLite in `folder`."""
    if is_sqlite(jobs_url):
        return FilePlaces(folder)
    return DatabasePlaces(jobs_url)
