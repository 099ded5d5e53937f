"""What the operations page and the audit's search look up, without a scan of every row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ASIDE = sa.text("state = 'conflict'")
BROKEN = sa.text("status = 'failed' AND superseded_by IS NULL")


def upgrade() -> None:
    """Make the indexes."""
    op.create_index("ix_audits_at", "audits", ["at", "number"])
    op.create_index("ix_audits_study_uid", "audits", ["study_uid", "number"])
    op.create_index("ix_audits_action", "audits", ["action", "number"])
    op.create_index("ix_instances_received_at", "instances", ["received_at"])
    op.create_index(
        "ix_instances_aside",
        "instances",
        ["number"],
        sqlite_where=ASIDE,
        postgresql_where=ASIDE,
    )
    op.create_index("ix_results_created_at", "results", ["created_at"])
    op.create_index(
        "ix_results_failed",
        "results",
        ["created_at"],
        sqlite_where=BROKEN,
        postgresql_where=BROKEN,
    )
    op.create_index("ix_deliveries_state", "deliveries", ["state", "destination", "updated_at"])
    op.create_index("ix_commitments_state", "commitments", ["state", "updated_at"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_commitments_state", "commitments")
    op.drop_index("ix_deliveries_state", "deliveries")
    op.drop_index("ix_results_failed", "results")
    op.drop_index("ix_results_created_at", "results")
    op.drop_index("ix_instances_aside", "instances")
    op.drop_index("ix_instances_received_at", "instances")
    op.drop_index("ix_audits_action", "audits")
    op.drop_index("ix_audits_study_uid", "audits")
    op.drop_index("ix_audits_at", "audits")
