"""The connection under the index: SQLite or PostgreSQL, chosen by the URL alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    Connection,
    Engine,
    Table,
    create_engine,
    event,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import ConnectionPoolEntry

from service.errors import InvalidObjectError, OutOfResourcesError
from service.store.convoy import Convoy
from service.store.turn import Turn

T = TypeVar("T")

BUSY_TIMEOUT_S = 30.0
_COUNTED = {"preserve_rowcount": True}  # else an INSERT does not tell on PostgreSQL
PATIENCE = {  # libpq's; a sender waits meanwhile: tell it soon to send again later
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}


def _open_sqlite(url: str) -> Engine:
    """Open a SQLite file: WAL, every commit on the disk before it is told, writers in a queue."""
    path = make_url(url).database
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself: see begin()
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # an acknowledged object survives a power cut
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # IMMEDIATE: wait for the other writers now, not with a snapshot that is already old.
        writes = connection.get_execution_options().get("carina_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _open_postgresql(url: str) -> Engine:
    """Open a PostgreSQL database through psycopg 3; a connection is tried before it is used."""
    address = make_url(url).set(drivername="postgresql+psycopg")
    patience = {name: value for name, value in PATIENCE.items() if name not in address.query}
    return create_engine(
        address, hide_parameters=True, pool_pre_ping=True, pool_size=10, connect_args=patience
    )


class Database:
    """Transactions on one database; everything that the index offers is built on these two.

    Raises
    ------
    OutOfResourcesError : the database is away, locked or full. Nothing of the transaction is kept.
    """

    def __init__(self, url: str) -> None:
        self._sqlite = make_url(url).get_backend_name() == "sqlite"
        self._engine = _open_sqlite(url) if self._sqlite else _open_postgresql(url)
        self._turn = Turn(_lock_file(url) if self._sqlite else None, BUSY_TIMEOUT_S)
        self._convoy = Convoy(self._write)

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        """Open a connection on one snapshot, for reading."""
        with _told_plainly(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        """Open a connection whose queries all see the same moment, while others go on writing."""
        if self._sqlite:  # in WAL mode every read transaction is one
            with self._read() as connection:
                yield connection
            return
        with _told_plainly(), self._engine.connect() as connection:
            still = connection.execution_options(isolation_level="REPEATABLE READ")
            with still.begin():
                yield still

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        """Open a transaction that is durable when the block ends, or leaves no trace."""
        with _told_plainly():
            if not self._sqlite:
                with self._engine.begin() as connection:
                    yield connection
                return
            with self._turn.taken(), self._engine.connect() as connection:
                writer = connection.execution_options(carina_writes=True)
                with writer.begin():
                    yield writer

    def _write_together(self, work: Callable[[Connection], T]) -> T:
        """Do some work as within `_write`, in one commit with what others write at that moment.

        PostgreSQL brings commits together by itself, and lets transactions run side by side.
        """
        if self._sqlite:
            return self._convoy.run(work)
        with self._write() as connection:
            return work(connection)

    def ping(self) -> None:
        """Ask the database for a sign of life."""
        with self._read() as connection:
            connection.execute(select(1))

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()
        self._turn.close()


def _lock_file(url: str) -> Path | None:
    path = make_url(url).database
    return Path(f"{path}.turn") if path and path != ":memory:" else None


# InternalError: a standby that is not promoted yet; PoolTimeoutError: every connection waits.
_AWAY = (OperationalError, InterfaceError, InternalError, PoolTimeoutError)


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Turn a database that does not answer into one error, without the values of the statement."""
    try:
        yield
    except _AWAY as error:
        raise OutOfResourcesError(
            f"expected the index to answer, found: {first_line(error)}; "
            "check the database and its disk, then send again"
        ) from error
    except DataError as error:  # a NUL, or text longer than its column: would never fit
        raise InvalidObjectError(
            "expected text of at most 255 characters without control characters in each "
            f"identifier, found a value that {type(error.orig).__name__} refuses; correct it"
        ) from error


def first_line(error: SQLAlchemyError) -> str:
    """What the driver said, its first line only: later lines may quote values."""
    said = error.orig if isinstance(error, DBAPIError) else error
    return str(said).partition("\n")[0]


def insert_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows whose key is not there yet; leave the others as they are."""
    if not rows:
        return
    statement = _insert_missing(connection.dialect.name, table)
    connection.execute(statement, [dict(row) for row in rows])


def insert_if_missing(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert one row unless its key is there; whether it was inserted."""
    statement = _insert_missing(connection.dialect.name, table)
    counted = connection.execute(statement, row, execution_options=_COUNTED)
    return counted.rowcount == 1


@cache
def _insert_missing(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    return _insert_into(dialect, table).on_conflict_do_nothing()


def upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, or write over those whose key is there."""
    if not rows:
        return
    statement = _insert_into(connection.dialect.name, table)
    keys = list(table.primary_key.columns)
    others = {c.name: statement.excluded[c.name] for c in table.columns if c not in set(keys)}
    connection.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=others),
        [dict(row) for row in rows],
    )


def _insert_into(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Start an INSERT that knows what to do on a conflict."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def advisory_lock(connection: Connection, number: int) -> None:
    """Let one process at a time past this point (PostgreSQL; SQLite writers queue anyway)."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})
