"""What readers say of results: labels beside them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from service.store.tables import Number, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "reviews",
        sa.Column("number", Number, autoincrement=True, nullable=False),
        sa.Column("review_id", sa.String(length=255), nullable=False),
        sa.Column("study_uid", sa.String(length=255), nullable=False),
        sa.Column("patient_id", sa.String(length=255), nullable=False),
        sa.Column("result_id", sa.String(length=255), nullable=False),
        sa.Column("sop_instance_uid", sa.String(length=255), nullable=True),
        sa.Column("reader", sa.String(length=255), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("model", sa.Text(), server_default="", nullable=False),
        sa.Column("scores", sa.JSON(), nullable=False),
        sa.Column("contours", sa.JSON(), nullable=False),
        sa.Column("comment", sa.Text(), server_default="", nullable=False),
        sa.Column("superseded_by", sa.String(length=255), nullable=True),
        sa.ForeignKeyConstraint(
            ["study_uid"], ["studies.study_uid"], name=op.f("fk_reviews_study_uid")
        ),
        sa.ForeignKeyConstraint(
            ["patient_id"], ["patients.patient_id"], name=op.f("fk_reviews_patient_id")
        ),
        sa.ForeignKeyConstraint(
            ["result_id"], ["results.result_id"], name=op.f("fk_reviews_result_id")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_reviews")),
    )
    op.create_index("uq_reviews_review_id", "reviews", ["review_id"], unique=True)
    current = sa.text("superseded_by IS NULL")
    op.create_index(
        "uq_reviews_in_force",
        "reviews",
        ["study_uid", "reader"],
        unique=True,
        sqlite_where=current,
        postgresql_where=current,
    )
    op.create_index("ix_reviews_study_uid", "reviews", ["study_uid"], unique=False)
    op.create_index("ix_reviews_patient_id", "reviews", ["patient_id"], unique=False)


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("reviews")
