"""First tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from service.store.tables import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _where(condition: str) -> dict[str, Any]:
    """Make an index partial on both databases."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def _create_audits() -> None:
    op.create_table(
        "audits",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("patient_id", sa.String(length=255), nullable=True),
        sa.Column("study_uid", sa.String(length=255), nullable=True),
        sa.Column("address", sa.Text(), server_default="", nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audits")),
    )
    op.create_index("ix_audits_actor", "audits", ["actor", "number"], unique=False)
    op.create_index("ix_audits_patient_id", "audits", ["patient_id", "number"], unique=False)


def _create_news() -> None:
    op.create_table(
        "news",
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("patient_id", sa.String(length=255), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_news")),
    )


def _create_news_counter() -> None:
    op.create_table(
        "news_counter",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_news_counter")),
    )


def _create_patients() -> None:
    op.create_table(
        "patients",
        sa.Column("patient_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("birth_date", sa.Date(), nullable=True),
        sa.Column("sex", sa.Text(), server_default="", nullable=False),
        sa.Column("ward", sa.Text(), server_default="", nullable=False),
        sa.Column("bed", sa.Text(), server_default="", nullable=False),
        sa.Column("admitted_at", UtcDateTime(), nullable=True),
        sa.Column("discharged_at", UtcDateTime(), nullable=True),
        sa.Column("ventilated_since", UtcDateTime(), nullable=True),
        sa.Column("risk_id", sa.String(length=255), nullable=True),
        sa.Column("risk_at", UtcDateTime(), nullable=True),
        sa.Column("risk_probability", sa.Float(), nullable=True),
        sa.Column("risk_change", sa.Float(), nullable=True),
        sa.Column("newest_result_id", sa.String(length=255), nullable=True),
        sa.Column("newest_extent", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("patient_id", name=op.f("pk_patients")),
    )
    op.create_index("ix_patients_ward", "patients", ["ward"], unique=False)
    op.create_index(
        "ix_patients_worklist",
        "patients",
        ["risk_probability"],
        unique=False,
        **_where("admitted_at IS NOT NULL AND discharged_at IS NULL"),
    )


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("username", sa.String(length=255), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("username", name=op.f("pk_users")),
    )


def _create_observations() -> None:
    op.create_table(
        "observations",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("observation_id", sa.String(length=255), nullable=False),
        sa.Column("patient_id", sa.String(length=255), nullable=False),
        sa.Column("variable", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("unit", sa.String(length=32), nullable=False),
        sa.Column("observed_at", UtcDateTime(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("superseded_by", sa.String(length=255), nullable=True),
        sa.ForeignKeyConstraint(
            ["patient_id"], ["patients.patient_id"], name=op.f("fk_observations_patient_id")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_observations")),
    )
    op.create_index(
        "ix_observations_observation_id", "observations", ["observation_id"], unique=False
    )
    op.create_index(
        "uq_observations_current",
        "observations",
        ["patient_id", "variable", "observed_at", "source"],
        unique=True,
        **_where("superseded_by IS NULL"),
    )


def _create_risks() -> None:
    op.create_table(
        "risks",
        sa.Column("risk_id", sa.String(length=255), nullable=False),
        sa.Column("patient_id", sa.String(length=255), nullable=False),
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
        sa.ForeignKeyConstraint(
            ["patient_id"], ["patients.patient_id"], name=op.f("fk_risks_patient_id")
        ),
        sa.PrimaryKeyConstraint("risk_id", name=op.f("pk_risks")),
    )
    op.create_index("ix_risks_course", "risks", ["patient_id", "at", "probability"], unique=False)
    op.create_index("uq_risks_moment", "risks", ["patient_id", "at", "inputs_sha256"], unique=True)


def _create_studies() -> None:
    op.create_table(
        "studies",
        sa.Column("study_uid", sa.String(length=255), nullable=False),
        sa.Column("patient_id", sa.String(length=255), nullable=False),
        sa.Column("acquired_at", UtcDateTime(), nullable=True),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("ordered_at", UtcDateTime(), nullable=False),
        sa.Column("accession_number", sa.Text(), server_default="", nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("referring_ae", sa.Text(), server_default="", nullable=False),
        sa.Column("revision", sa.Integer(), server_default="0", nullable=False),
        sa.Column("scored_revision", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["patient_id"], ["patients.patient_id"], name=op.f("fk_studies_patient_id")
        ),
        sa.PrimaryKeyConstraint("study_uid", name=op.f("pk_studies")),
    )
    op.create_index("ix_studies_accession_number", "studies", ["accession_number"], unique=False)
    op.create_index("ix_studies_ordered_at", "studies", ["ordered_at"], unique=False)
    op.create_index(
        "ix_studies_patient_id_ordered_at", "studies", ["patient_id", "ordered_at"], unique=False
    )
    op.create_index(
        "ix_studies_pending",
        "studies",
        ["study_uid"],
        unique=False,
        **_where("revision > scored_revision"),
    )


def _create_instances() -> None:
    op.create_table(
        "instances",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("sop_instance_uid", sa.String(length=255), nullable=False),
        sa.Column("sop_class_uid", sa.String(length=255), nullable=False),
        sa.Column("series_uid", sa.String(length=255), nullable=False),
        sa.Column("study_uid", sa.String(length=255), nullable=False),
        sa.Column("transfer_syntax_uid", sa.String(length=255), nullable=False),
        sa.Column("object_key", sa.String(length=255), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("modality", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_uid"], ["studies.study_uid"], name=op.f("fk_instances_study_uid")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_instances")),
    )
    op.create_index("ix_instances_study_uid", "instances", ["study_uid"], unique=False)
    op.create_index(
        "uq_instances_in_force",
        "instances",
        ["sop_instance_uid"],
        unique=True,
        **_where("state <> 'conflict'"),
    )


def _create_results() -> None:
    op.create_table(
        "results",
        sa.Column("result_id", sa.String(length=255), nullable=False),
        sa.Column("study_uid", sa.String(length=255), nullable=False),
        sa.Column("patient_id", sa.String(length=255), nullable=False),
        sa.Column("sop_instance_uid", sa.String(length=255), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("message", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("acquired_at", UtcDateTime(), nullable=True),
        sa.Column("severity", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("structures", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("change", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("artifacts", sa.JSON(), nullable=False),
        sa.Column("supersedes", sa.String(length=255), nullable=True),
        sa.Column("superseded_by", sa.String(length=255), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("prior_sop_instance_uid", sa.String(length=255), nullable=True),
        sa.Column("revision", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["patient_id"], ["patients.patient_id"], name=op.f("fk_results_patient_id")
        ),
        sa.ForeignKeyConstraint(
            ["study_uid"], ["studies.study_uid"], name=op.f("fk_results_study_uid")
        ),
        sa.PrimaryKeyConstraint("result_id", name=op.f("pk_results")),
    )
    op.create_index("ix_results_patient_id", "results", ["patient_id"], unique=False)
    op.create_index("ix_results_study_uid", "results", ["study_uid"], unique=False)
    op.create_index(
        "uq_results_current",
        "results",
        ["study_uid"],
        unique=True,
        **_where("superseded_by IS NULL"),
    )


def _create_vitals() -> None:
    op.create_table(
        "vitals",
        sa.Column("patient_id", sa.String(length=255), nullable=False),
        sa.Column("variable", sa.String(length=64), nullable=False),
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("observed_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["number"], ["observations.number"], name=op.f("fk_vitals_number")),
        sa.ForeignKeyConstraint(
            ["patient_id"], ["patients.patient_id"], name=op.f("fk_vitals_patient_id")
        ),
        sa.PrimaryKeyConstraint("patient_id", "variable", name=op.f("pk_vitals")),
    )


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("delivery_id", sa.String(length=255), nullable=False),
        sa.Column("result_id", sa.String(length=255), nullable=False),
        sa.Column("destination", sa.String(length=255), nullable=False),
        sa.Column("sop_instance_uid", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("message", sa.Text(), server_default="", nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["result_id"], ["results.result_id"], name=op.f("fk_deliveries_result_id")
        ),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_deliveries")),
    )
    op.create_index(
        "ix_deliveries_due_at",
        "deliveries",
        ["due_at"],
        unique=False,
        **_where("state = 'waiting'"),
    )
    op.create_index("ix_deliveries_result_id", "deliveries", ["result_id"], unique=False)


TABLES = (
    ("audits", _create_audits),
    ("news", _create_news),
    ("news_counter", _create_news_counter),
    ("patients", _create_patients),
    ("users", _create_users),
    ("observations", _create_observations),
    ("risks", _create_risks),
    ("studies", _create_studies),
    ("instances", _create_instances),
    ("results", _create_results),
    ("vitals", _create_vitals),
    ("deliveries", _create_deliveries),
)


def upgrade() -> None:
    """Make the tables and their indexes."""
    for _name, create in TABLES:
        create()


def downgrade() -> None:
    """Drop the tables, the ones that others point at last."""
    for name, _create in reversed(TABLES):
        op.drop_table(name)
