"""Objects by UID, values by patient, and each reference from its other end, without a scan."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the indexes."""
    op.create_index("ix_instances_sop_instance_uid", "instances", ["sop_instance_uid"])
    op.create_index("ix_observations_patient_id", "observations", ["patient_id", "observed_at"])
    op.create_index("ix_vitals_number", "vitals", ["number"])
    op.create_index("ix_reviews_result_id", "reviews", ["result_id"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_reviews_result_id", "reviews")
    op.drop_index("ix_vitals_number", "vitals")
    op.drop_index("ix_observations_patient_id", "observations")
    op.drop_index("ix_instances_sop_instance_uid", "instances")
