"""The index of the service: one class, SQLite or PostgreSQL, chosen by the URL alone."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import func, select

from service.store.database import advisory_lock
from service.store.images import Images
from service.store.journal import Journal
from service.store.results import CURRENT, Results
from service.store.risks import Risks
from service.store.tables import DELIVERIES, INSTANCES, PATIENTS, RESULTS, STUDIES
from service.store.users import Users
from service.store.worklist import Worklist

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 0xCA81


class Index(Images, Results, Risks, Worklist, Users, Journal):
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
        """Bring the tables to the version of this program; several processes may do so at once."""
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        with self._write() as connection:
            advisory_lock(connection, MIGRATION_LOCK)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def counts(self) -> dict[str, int]:
        """Count what is kept and what waits: for metrics and the health page."""
        tables = {"patients": PATIENTS, "studies": STUDIES, "instances": INSTANCES}
        pending = select(func.count()).where(STUDIES.c.revision > STUDIES.c.scored_revision)
        conflicts = select(func.count()).where(INSTANCES.c.state == "conflict")
        by_status = select(RESULTS.c.status, func.count()).where(CURRENT)
        by_state = select(DELIVERIES.c.state, func.count()).group_by(DELIVERIES.c.state)
        with self._read() as connection:
            counts = {
                name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for name, table in tables.items()
            }
            counts["studies_pending"] = connection.execute(pending).scalar_one()
            counts["instances_conflict"] = connection.execute(conflicts).scalar_one()
            counts |= {f"results_{status}": 0 for status in ("ok", "refused", "failed")}
            for status, number in connection.execute(by_status.group_by(RESULTS.c.status)):
                counts[f"results_{status}"] = number
            counts |= {f"deliveries_{state}": 0 for state in ("waiting", "delivered", "failed")}
            for state, number in connection.execute(by_state):
                counts[f"deliveries_{state}"] = number
        return counts
