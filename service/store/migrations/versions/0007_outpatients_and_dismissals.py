"""The risk of those who are not admitted, and failures that an administrator put aside."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from service.store.tables import UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; the next round of the ward fills the risks."""
    op.create_table(
        "outpatient_risks",
        sa.Column("patient_id", sa.String(length=255), nullable=False),
        sa.Column("risk_id", sa.String(length=255), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("computed_at", UtcDateTime(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("probability", sa.Float(), nullable=True),
        sa.Column("low", sa.Float(), nullable=True),
        sa.Column("high", sa.Float(), nullable=True),
        sa.Column("baseline_log_odds", sa.Float(), nullable=True),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("stale", sa.JSON(), nullable=False),
        sa.Column("missing", sa.JSON(), nullable=False),
        sa.Column("companions", sa.JSON(), nullable=False),
        sa.Column("model", sa.Text(), server_default="", nullable=False),
        sa.Column("inputs_sha256", sa.String(length=64), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=True),
        sa.Column("strongest", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["patient_id"],
            ["patients.patient_id"],
            name=op.f("fk_outpatient_risks_patient_id"),
        ),
        sa.PrimaryKeyConstraint("patient_id", name=op.f("pk_outpatient_risks")),
    )
    op.create_index("ix_outpatient_risks_until", "outpatient_risks", ["until"], unique=False)
    op.create_table(
        "dismissals",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_dismissals")),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("dismissals")
    op.drop_table("outpatient_risks")
