"""The tables of the index, for SQLite and PostgreSQL alike.

`superseded_by` is empty on the row in force; partial unique indexes let the database itself insist
on one current result per study and one current value per observation. The columns `newest_*` and
`risk_*` of `patients` repeat what the worklist sorts by, so that it never scans a time series.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """A timezone-aware moment, kept as UTC; SQLite, which knows no zones, keeps it without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware moment into UTC; a naive one is a mistake of the caller."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("expected a timezone-aware moment, found a naive one; attach a zone")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the moment back as aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# SQLite counts rows only in a column declared exactly INTEGER PRIMARY KEY.
Number = BigInteger().with_variant(Integer, "sqlite")
Key = String(255)
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
METADATA = MetaData(naming_convention=NAMING)


def _required(name: str, kind: Any, *constraints: Any) -> Column[Any]:
    return Column(name, kind, *constraints, nullable=False)


def _text(name: str) -> Column[Any]:
    return Column(name, Text, nullable=False, server_default="")


def _estimated() -> tuple[Column[Any], ...]:
    """What a risk says, wherever it is kept; a column belongs to one table, so each has its own."""
    return (
        _required("at", UtcDateTime),
        _required("computed_at", UtcDateTime),
        _required("status", String(16)),
        _text("reason"),
        Column("probability", Float),
        Column("low", Float),
        Column("high", Float),
        Column("baseline_log_odds", Float),
        _required("inputs", JSON),
        _required("stale", JSON),
        _required("missing", JSON),
        _required("companions", JSON),
        _text("model"),
        _required("inputs_sha256", String(64)),
    )


def _where(condition: str) -> dict[str, Any]:
    """Make an index partial on both databases."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


PATIENTS = Table(
    "patients",
    METADATA,
    Column("patient_id", Key, primary_key=True),
    _text("name"),
    Column("birth_date", Date),
    _text("sex"),
    _text("ward"),
    _text("bed"),
    Column("admitted_at", UtcDateTime),
    Column("discharged_at", UtcDateTime),
    Column("ventilated_since", UtcDateTime),
    Column("risk_id", Key),
    Column("risk_at", UtcDateTime),
    Column("risk_probability", Float),
    Column("risk_change", Float),
    Column("newest_result_id", Key),
    Column("newest_extent", Float),
    # The variable that moved the risk most; whether inputs of it are old or missing.
    Column("risk_reason", Text),
    Column("risk_doubtful", Boolean),
    Column("newest_status", String(16)),
    Column("newest_at", UtcDateTime),
    Column("newest_trend", Float),
    Column("newest_worse", Boolean),
    Index("ix_patients_ward", "ward"),
    Index(
        "ix_patients_worklist",
        "risk_probability",
        **_where("admitted_at IS NOT NULL AND discharged_at IS NULL"),
    ),
)

STUDIES = Table(
    "studies",
    METADATA,
    Column("study_uid", Key, primary_key=True),
    _required("patient_id", Key, ForeignKey("patients.patient_id")),
    Column("acquired_at", UtcDateTime),
    _required("received_at", UtcDateTime),
    # acquired_at where the film states it, else received_at: what "newest" means everywhere
    _required("ordered_at", UtcDateTime),
    _text("accession_number"),
    _text("description"),
    _text("referring_ae"),
    # How many films have arrived, and how many the current result has seen.
    Column("revision", Integer, nullable=False, server_default="0"),
    Column("scored_revision", Integer, nullable=False, server_default="0"),
    Index("ix_studies_pending", "study_uid", **_where("revision > scored_revision")),
    Index("ix_studies_patient_id_ordered_at", "patient_id", "ordered_at"),
    Index("ix_studies_ordered_at", "ordered_at"),
    Index("ix_studies_accession_number", "accession_number"),
)

INSTANCES = Table(
    "instances",
    METADATA,
    Column("number", Number, primary_key=True, autoincrement=True),
    _required("sop_instance_uid", Key),
    _required("sop_class_uid", Key),
    _required("series_uid", Key),
    _required("study_uid", Key, ForeignKey("studies.study_uid")),
    _required("transfer_syntax_uid", Key),
    _required("object_key", Key),
    _required("sha256", String(64)),
    _required("size_bytes", BigInteger),
    _required("received_at", UtcDateTime),
    _required("source", Key),
    _text("modality"),
    _required("state", String(16)),
    # One object in force per UID; other bytes under the same UID are kept beside it.
    Index(
        "uq_instances_in_force", "sop_instance_uid", unique=True, **_where("state <> 'conflict'")
    ),
    Index("ix_instances_sop_instance_uid", "sop_instance_uid"),
    Index("ix_instances_study_uid", "study_uid"),
    Index("ix_instances_received_at", "received_at"),
    Index("ix_instances_aside", "number", **_where("state = 'conflict'")),
)

RESULTS = Table(
    "results",
    METADATA,
    Column("result_id", Key, primary_key=True),
    _required("study_uid", Key, ForeignKey("studies.study_uid")),
    _required("patient_id", Key, ForeignKey("patients.patient_id")),
    Column("sop_instance_uid", Key),
    _required("status", String(16)),
    _text("reason"),
    _text("message"),
    _required("created_at", UtcDateTime),
    Column("acquired_at", UtcDateTime),
    Column("severity", JSON(none_as_null=True)),
    Column("structures", JSON(none_as_null=True)),
    Column("change", JSON(none_as_null=True)),
    _required("artifacts", JSON),
    Column("supersedes", Key),
    Column("superseded_by", Key),
    _required("seconds", Float),
    Column("revision", Integer, nullable=False, server_default="0"),
    Column("prior_sop_instance_uid", Key),
    Index("uq_results_current", "study_uid", unique=True, **_where("superseded_by IS NULL")),
    Index("ix_results_study_uid", "study_uid"),
    Index("ix_results_patient_id", "patient_id"),
    Index("ix_results_created_at", "created_at"),
    Index(
        "ix_results_failed",
        "created_at",
        **_where("status = 'failed' AND superseded_by IS NULL"),
    ),
)

REVIEWS = Table(
    "reviews",
    METADATA,
    Column("number", Number, primary_key=True, autoincrement=True),
    _required("review_id", Key),
    _required("study_uid", Key, ForeignKey("studies.study_uid")),
    _required("patient_id", Key, ForeignKey("patients.patient_id")),
    _required("result_id", Key, ForeignKey("results.result_id")),
    Column("sop_instance_uid", Key),
    _required("reader", Key),
    _required("at", UtcDateTime),
    _text("model"),
    _required("scores", JSON),
    _required("contours", JSON),
    _text("comment"),
    Column("superseded_by", Key),
    Index("uq_reviews_review_id", "review_id", unique=True),
    Index(
        "uq_reviews_in_force",
        "study_uid",
        "reader",
        unique=True,
        **_where("superseded_by IS NULL"),
    ),
    Index("ix_reviews_study_uid", "study_uid"),
    Index("ix_reviews_patient_id", "patient_id"),
    Index("ix_reviews_result_id", "result_id"),
)

RISKS = Table(
    "risks",
    METADATA,
    Column("risk_id", Key, primary_key=True),
    _required("patient_id", Key, ForeignKey("patients.patient_id")),
    *_estimated(),
    Index("uq_risks_moment", "patient_id", "at", "inputs_sha256", unique=True),
    Index("ix_risks_course", "patient_id", "at", "probability"),
)

OUTPATIENT_RISKS = Table(
    # The risk of somebody who is not admitted, computed again from `until` on; never a series.
    "outpatient_risks",
    METADATA,
    Column("patient_id", Key, ForeignKey("patients.patient_id"), primary_key=True),
    _required("risk_id", Key),
    *_estimated(),
    Column("until", UtcDateTime),
    # The variable that moved it most: the list sorts by it.
    Column("strongest", Text),
    Index("ix_outpatient_risks_until", "until"),
)

OBSERVATIONS = Table(
    "observations",
    METADATA,
    Column("number", Number, primary_key=True, autoincrement=True),
    _required("observation_id", Key),
    _required("patient_id", Key, ForeignKey("patients.patient_id")),
    _required("variable", String(64)),
    _required("value", Float),
    _required("unit", String(32)),
    _required("observed_at", UtcDateTime),
    _required("received_at", UtcDateTime),
    _required("source", Key),
    Column("superseded_by", Key),
    Index("ix_observations_observation_id", "observation_id"),
    Index("ix_observations_patient_id", "patient_id", "observed_at"),
    Index(
        "uq_observations_current",
        "patient_id",
        "variable",
        "observed_at",
        "source",
        unique=True,
        **_where("superseded_by IS NULL"),
    ),
)

VITALS = Table(
    # The newest observation of each variable: a pointer, so that a page of patients is one query.
    "vitals",
    METADATA,
    Column("patient_id", Key, ForeignKey("patients.patient_id"), primary_key=True),
    Column("variable", String(64), primary_key=True),
    _required("number", Number, ForeignKey("observations.number")),
    _required("observed_at", UtcDateTime),
    Index("ix_vitals_number", "number"),
)

USERS = Table(
    "users",
    METADATA,
    Column("username", Key, primary_key=True),
    _required("role", String(32)),
    _required("password_hash", Text),
    _required("created_at", UtcDateTime),
    _required("disabled", Boolean),
)

AUDITS = Table(
    "audits",
    METADATA,
    Column("number", Number, primary_key=True, autoincrement=True),
    _required("at", UtcDateTime),
    _required("actor", Key),
    _required("action", String(64)),
    _required("outcome", String(16)),
    Column("patient_id", Key),
    Column("study_uid", Key),
    _text("address"),
    _text("detail"),
    Index("ix_audits_patient_id", "patient_id", "number"),
    Index("ix_audits_actor", "actor", "number"),
    Index("ix_audits_at", "at", "number"),
    Index("ix_audits_study_uid", "study_uid", "number"),
    Index("ix_audits_action", "action", "number"),
)

NEWS = Table(
    "news",
    METADATA,
    Column("number", Number, primary_key=True, autoincrement=False),
    _required("kind", String(16)),
    _required("patient_id", Key),
    _required("at", UtcDateTime),
)

NEWS_COUNTER = Table(
    # One row, locked by whoever writes news until it commits: numbers in order of commit, no gaps.
    "news_counter",
    METADATA,
    Column("one", Integer, primary_key=True, autoincrement=False),
    _required("last", Number),
)

DELIVERIES = Table(
    "deliveries",
    METADATA,
    Column("delivery_id", Key, primary_key=True),
    _required("result_id", Key, ForeignKey("results.result_id")),
    _required("destination", Key),
    _required("sop_instance_uid", Key),
    _required("state", String(16)),
    _required("attempts", Integer),
    _required("updated_at", UtcDateTime),
    _text("message"),
    _required("due_at", UtcDateTime),
    Index("ix_deliveries_due_at", "due_at", **_where("state = 'waiting'")),
    Index("ix_deliveries_result_id", "result_id"),
    Index("ix_deliveries_state", "state", "destination", "updated_at"),
)

COMMITMENTS = Table(
    "commitments",
    METADATA,
    Column("transaction_uid", Key, primary_key=True),
    _required("ae_title", Key),
    _required("references", JSON),
    _required("state", String(16)),
    _required("attempts", Integer),
    _required("updated_at", UtcDateTime),
    _text("message"),
    _required("due_at", UtcDateTime),
    Index("ix_commitments_due_at", "due_at", **_where("state = 'waiting'")),
    Index("ix_commitments_state", "state", "updated_at"),
)

DISMISSALS = Table(
    # A failure that an administrator put aside; what fails after `at` is listed again.
    "dismissals",
    METADATA,
    Column("kind", String(16), primary_key=True),
    Column("name", Key, primary_key=True),
    _required("at", UtcDateTime),
    _required("actor", Key),
    _text("reason"),
)

MERGES = Table(
    # An identifier that no longer has a patient of its own, and the patient that it leads to.
    "merges",
    METADATA,
    Column("merged_id", Key, primary_key=True),
    _required("patient_id", Key, ForeignKey("patients.patient_id")),
    _required("at", UtcDateTime),
    _required("actor", Key),
    _text("reason"),
    _required("moved", JSON),
    Index("ix_merges_patient_id", "patient_id"),
)

DELETIONS = Table(
    # A deleted study; when it is sent again its revisions go on behind this one.
    "deletions",
    METADATA,
    Column("study_uid", Key, primary_key=True),
    _required("patient_id", Key),
    _required("revision", Integer),
    _required("at", UtcDateTime),
    _required("actor", Key),
    _text("reason"),
)

LEFTOVERS = Table(
    # Bytes that no row speaks of any more; the row goes once they are deleted.
    "leftovers",
    METADATA,
    Column("object_key", Key, primary_key=True),
    _required("at", UtcDateTime),
)
