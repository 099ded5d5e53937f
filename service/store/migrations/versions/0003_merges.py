"""Merged identifiers, deleted studies, and bytes that are still to be deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from service.store.tables import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "merges",
        sa.Column("merged_id", sa.String(length=255), nullable=False),
        sa.Column("patient_id", sa.String(length=255), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("moved", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["patient_id"], ["patients.patient_id"], name=op.f("fk_merges_patient_id")
        ),
        sa.PrimaryKeyConstraint("merged_id", name=op.f("pk_merges")),
    )
    op.create_index("ix_merges_patient_id", "merges", ["patient_id"], unique=False)
    op.create_table(
        "deletions",
        sa.Column("study_uid", sa.String(length=255), nullable=False),
        sa.Column("patient_id", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("study_uid", name=op.f("pk_deletions")),
    )
    op.create_table(
        "leftovers",
        sa.Column("object_key", sa.String(length=255), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("object_key", name=op.f("pk_leftovers")),
    )


def downgrade() -> None:
    """Drop the tables."""
    for name in ("leftovers", "deletions", "merges"):
        op.drop_table(name)
