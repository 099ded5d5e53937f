"""What the worklist sorts by, beside the numbers: reason, doubt, and the newest film's moment."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from alembic import op

from service.risk_record import RiskInput, lacks_core, strongest
from service.store.payloads import from_json
from service.store.tables import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BATCH = 500
PATIENTS = sa.table(
    "patients", *(sa.column(name) for name in ("patient_id", "risk_id", "newest_result_id")),
    sa.column("risk_reason"), sa.column("risk_doubtful"), sa.column("newest_status"),
    sa.column("newest_at", UtcDateTime()), sa.column("newest_trend"),
    sa.column("newest_worse"),
)  # fmt: skip
RISKS = sa.table(
    "risks", sa.column("risk_id"),
    *(sa.column(name, sa.JSON()) for name in ("inputs", "stale", "missing")),
)  # fmt: skip
RESULTS = sa.table(
    "results", sa.column("result_id"), sa.column("status"),
    sa.column("acquired_at", UtcDateTime()), sa.column("change", sa.JSON()),
)  # fmt: skip


def upgrade() -> None:
    """Add the columns and fill them from what each patient's pointers lead to."""
    op.add_column("patients", sa.Column("risk_reason", sa.Text(), nullable=True))
    op.add_column("patients", sa.Column("risk_doubtful", sa.Boolean(), nullable=True))
    op.add_column("patients", sa.Column("newest_status", sa.String(length=16), nullable=True))
    op.add_column("patients", sa.Column("newest_at", UtcDateTime(), nullable=True))
    op.add_column("patients", sa.Column("newest_trend", sa.Float(), nullable=True))
    op.add_column("patients", sa.Column("newest_worse", sa.Boolean(), nullable=True))
    connection = op.get_bind()
    _fill_risks(connection)
    _fill_films(connection)


def _fill_risks(connection: sa.Connection) -> None:
    query = sa.select(PATIENTS.c.patient_id, RISKS.c.inputs, RISKS.c.stale, RISKS.c.missing)
    joined = query.join(RISKS, RISKS.c.risk_id == PATIENTS.c.risk_id)
    for rows in connection.execute(joined).partitions(BATCH):
        for row in rows:
            inputs = [from_json(RiskInput, one, ("observed_at",)) for one in row.inputs]
            doubtful = bool(row.stale) or lacks_core(row.missing)
            values = {"risk_reason": strongest(inputs), "risk_doubtful": doubtful}
            _write(connection, row.patient_id, values)


def _fill_films(connection: sa.Connection) -> None:
    query = sa.select(
        PATIENTS.c.patient_id, RESULTS.c.status, RESULTS.c.acquired_at, RESULTS.c.change
    ).join(RESULTS, RESULTS.c.result_id == PATIENTS.c.newest_result_id)
    for rows in connection.execute(query).partitions(BATCH):
        for row in rows:
            trend = {
                "newest_trend": row.change["extent_change"] if row.change else None,
                "newest_worse": bool(row.change and row.change["low"] > 0),
            }
            film = {"newest_status": row.status, "newest_at": row.acquired_at}
            _write(connection, row.patient_id, film | trend)


def _write(connection: sa.Connection, patient_id: str, values: Mapping[str, object]) -> None:
    where = PATIENTS.c.patient_id == patient_id
    connection.execute(sa.update(PATIENTS).where(where).values(**values))


def downgrade() -> None:
    """Drop them."""
    for name in (
        "newest_worse",
        "newest_trend",
        "newest_at",
        "newest_status",
        "risk_doubtful",
        "risk_reason",
    ):
        op.drop_column("patients", name)
