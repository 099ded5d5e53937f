"""The index of the service: one class, SQLite or PostgreSQL, chosen by the URL alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, func, insert, literal_column, select, text

from service.errors import UsageError
from service.store.database import advisory_lock
from service.store.dismissals import Dismissals
from service.store.images import Images
from service.store.journal import Journal
from service.store.merges import Merges
from service.store.operations import Operations
from service.store.outpatients import Outpatients
from service.store.results import CURRENT, Results
from service.store.retention import Retention
from service.store.retries import Retries
from service.store.reviews import Reviews
from service.store.risks import Risks
from service.store.tables import (
    DELIVERIES,
    INSTANCES,
    LEFTOVERS,
    METADATA,
    NEWS_COUNTER,
    PATIENTS,
    RESULTS,
    REVIEWS,
    STUDIES,
)
from service.store.users import Users
from service.store.worklist import Worklist

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 0xCA81
COPIED_AT_ONCE = 1000  # rows


class Index(
    Images,
    Results,
    Reviews,
    Risks,
    Outpatients,
    Worklist,
    Merges,
    Retention,
    Users,
    Journal,
    Operations,
    Retries,
    Dismissals,
):
    """Everything that Carina remembers, apart from the bytes of the objects.

    Parameters
    ----------
    url : `sqlite:///file` (WAL, every commit on the disk, one writer at a time) or
        `postgresql://...` (psycopg 3).

    Raises
    ------
    OutOfResourcesError : from any method, when the database is away, locked or full.
    """

    def migrate(self) -> None:
        """Bring the tables to the version of this program; several processes may do so at once.

        Raises
        ------
        UsageError : they are of a newer version; nothing is changed.
        """
        try:
            with self._migrating() as config:
                command.upgrade(config, "head")
        except CommandError as error:
            raise UsageError(
                "expected a schema that this program knows, found a newer one; install the program "
                "that made it, or take it back with that one: carina migrate --to REVISION"
            ) from error

    def step_back(self, revision: str) -> None:
        """Take the tables back to an earlier revision, for an older program.

        Every other process is stopped meanwhile.

        Raises
        ------
        UsageError : there is no such earlier revision; nothing is changed.
        """
        try:
            with self._migrating() as config:
                command.downgrade(config, revision)
        except CommandError as error:
            raise UsageError(
                f"expected an earlier revision of the schema, found {revision!r}; "
                "see service/store/migrations/versions"
            ) from error

    @contextmanager
    def _migrating(self) -> Iterator[Config]:
        """Open a transaction that changes the tables, one process at a time."""
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        with self._write() as connection:
            advisory_lock(connection, MIGRATION_LOCK)
            config.attributes["connection"] = connection
            yield config

    def counts(self) -> dict[str, int]:
        """Count what is kept and what waits: for metrics and the health page."""
        tables = {"patients": PATIENTS, "studies": STUDIES, "instances": INSTANCES}
        pending = select(func.count()).where(STUDIES.c.revision > STUDIES.c.scored_revision)
        aside = INSTANCES.c.state == literal_column("'conflict'")  # as the partial index has it
        conflicts = select(func.count()).where(aside)
        leftovers = select(func.count()).select_from(LEFTOVERS)
        by_status = select(RESULTS.c.status, func.count()).where(CURRENT)
        by_state = select(DELIVERIES.c.state, func.count()).group_by(DELIVERIES.c.state)
        with self._read() as connection:
            counts = {
                name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for name, table in tables.items()
            }
            counts["studies_pending"] = connection.execute(pending).scalar_one()
            counts["instances_conflict"] = connection.execute(conflicts).scalar_one()
            counts["leftovers"] = connection.execute(leftovers).scalar_one()
            counts |= {f"results_{status}": 0 for status in ("ok", "refused", "failed")}
            for status, number in connection.execute(by_status.group_by(RESULTS.c.status)):
                counts[f"results_{status}"] = number
            counts |= {f"deliveries_{state}": 0 for state in ("waiting", "delivered", "failed")}
            for state, number in connection.execute(by_state):
                counts[f"deliveries_{state}"] = number
        return counts

    def copy_to(self, other: Index) -> dict[str, int]:
        """Copy everything, as it is at one moment, into another index that is empty.

        Both are at the schema of this program; SQLite and PostgreSQL may be either side.

        Returns
        -------
        dict
            Rows copied, by table.

        Raises
        ------
        UsageError : the other one holds rows already.
        """
        with self._snapshot() as source, other._write() as target:
            other._insist_on_empty(target)
            target.execute(NEWS_COUNTER.delete())
            copied = {}
            for table in METADATA.sorted_tables:
                rows = source.execution_options(yield_per=COPIED_AT_ONCE).execute(select(table))
                copied[table.name] = 0
                for part in rows.mappings().partitions():
                    target.execute(insert(table), [dict(row) for row in part])
                    copied[table.name] += len(part)
            _count_on(target)
        return copied

    def insist_on_empty(self) -> None:
        """Look whether anything could be copied into this index; UsageError where it has rows."""
        with self._read() as connection:
            self._insist_on_empty(connection)

    def _insist_on_empty(self, connection: Connection) -> None:
        for table in METADATA.sorted_tables:
            if table is not NEWS_COUNTER and connection.execute(select(table).limit(1)).first():
                raise UsageError(
                    f"expected an empty index to copy into, found rows of {table.name}; "
                    "give a new data directory or an empty database"
                )

    def object_keys(self) -> Iterator[tuple[str, str]]:
        """Every object that the index speaks of: its key, and its SHA-256 where it is known."""
        with self._snapshot() as connection:
            held = select(INSTANCES.c.object_key, INSTANCES.c.sha256)
            many = connection.execution_options(yield_per=COPIED_AT_ONCE)
            for row in many.execute(held):
                yield row.object_key, row.sha256
            for row in many.execute(select(RESULTS.c.artifacts)):
                for key in row.artifacts.values():
                    yield key, ""
            for row in many.execute(select(REVIEWS.c.contours)):
                for contour in row.contours:
                    yield contour["mask"], ""


def _count_on(connection: Connection) -> None:
    """PostgreSQL counts rows by itself: go on behind the numbers that were copied."""
    if connection.dialect.name != "postgresql":
        return
    for table in METADATA.sorted_tables:
        column = table.autoincrement_column
        if column is None or column.server_default is not None or column.autoincrement is False:
            continue
        last = connection.execute(select(func.max(column))).scalar_one()
        if last is not None:
            connection.execute(
                text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)"),
                {"table": table.name, "column": column.name, "last": last},
            )
