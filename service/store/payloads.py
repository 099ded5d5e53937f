"""Records to rows and back: the one place that knows how a record lies in a table.

Findings, contributions and companions are JSON in one column each. Reading is strict about the
fields that a record needs and lenient about fields that a later version added.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import RowMapping

from service.records import (
    AuditEvent,
    ChangeFinding,
    Commitment,
    ContourReview,
    Deletion,
    Delivery,
    Instance,
    Merge,
    NewsEvent,
    Observation,
    Patient,
    Review,
    Role,
    ScoreReview,
    SeverityFinding,
    StructuresFinding,
    Study,
    StudyResult,
    User,
    ZoneChangeFinding,
)
from service.risk_record import Companion, RiskInput, RiskRecord

T = TypeVar("T")


def to_json(record: Any) -> Any:
    """Turn a finding into plain JSON values; moments become ISO 8601 text."""
    if record is None:
        return None
    if is_dataclass(record) and not isinstance(record, type):
        return {field.name: to_json(getattr(record, field.name)) for field in fields(record)}
    if isinstance(record, datetime):
        return record.isoformat()
    if isinstance(record, list | tuple):
        return [to_json(item) for item in record]
    return record


def from_json(kind: type[T], payload: Mapping[str, Any], moments: tuple[str, ...] = ()) -> T:
    """Build a flat record from plain JSON values; lists become tuples, `moments` datetimes."""
    known = _names(kind)  # type: ignore[arg-type]  # a class can be hashed
    values = {name: _plain(value) for name, value in payload.items() if name in known}
    for name in moments:
        values[name] = datetime.fromisoformat(values[name]) if values[name] is not None else None
    return kind(**values)


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    """Names of a record's fields, looked up once: a page of the worklist reads thousands."""
    return tuple(field.name for field in fields(kind))


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _pick(kind: type[T], row: RowMapping) -> T:
    """Build a record whose fields are columns of the same names."""
    return kind(**{name: row[name] for name in _names(kind)})  # type: ignore[arg-type]  # as above


def columns(record: Any) -> dict[str, Any]:
    """The columns of a flat record."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def patient(row: RowMapping) -> Patient:
    """A row of `patients`."""
    return _pick(Patient, row)


def study(row: RowMapping) -> Study:
    """A row of `studies`."""
    return _pick(Study, row)


def instance(row: RowMapping) -> Instance:
    """A row of `instances`."""
    return _pick(Instance, row)


def observation(row: RowMapping) -> Observation:
    """A row of `observations`."""
    return _pick(Observation, row)


def audit(row: RowMapping) -> AuditEvent:
    """A row of `audits`."""
    return _pick(AuditEvent, row)


def news(row: RowMapping) -> NewsEvent:
    """A row of `news`."""
    return _pick(NewsEvent, row)


def delivery(row: RowMapping) -> Delivery:
    """A row of `deliveries`."""
    return _pick(Delivery, row)


def commitment(row: RowMapping) -> Commitment:
    """A row of `commitments`."""
    references = tuple((str(one), str(other)) for one, other in row["references"])
    return replace(_pick(Commitment, row), references=references)


def merge(row: RowMapping) -> Merge:
    """A row of `merges`."""
    return _pick(Merge, row)


def deletion(row: RowMapping) -> Deletion:
    """A row of `deletions`."""
    return _pick(Deletion, row)


def user(row: RowMapping) -> User:
    """A row of `users`."""
    return User(
        username=row["username"],
        role=Role(row["role"]),
        password_hash=row["password_hash"],
        created_at=row["created_at"],
        disabled=row["disabled"],
    )


def result_columns(result: StudyResult) -> dict[str, Any]:
    """The columns of a study's result, findings as JSON."""
    values = {field.name: getattr(result, field.name) for field in fields(result)}
    for name in ("severity", "structures", "change"):
        values[name] = to_json(values[name])
    values["artifacts"] = dict(result.artifacts)
    return values


def result(row: RowMapping) -> StudyResult:
    """A row of `results`."""
    values = {name: row[name] for name in _names(StudyResult)}
    severity, structures, change = row["severity"], row["structures"], row["change"]
    values["severity"] = severity and from_json(SeverityFinding, severity)
    values["structures"] = structures and from_json(StructuresFinding, structures)
    values["change"] = change and _change(change)
    values["artifacts"] = dict(row["artifacts"])
    return StudyResult(**values)


def _change(payload: Mapping[str, Any]) -> ChangeFinding:
    """A change; those of versions before 0.3 have no zones."""
    found = from_json(ChangeFinding, payload, ("prior_acquired_at",))
    zones = tuple(from_json(ZoneChangeFinding, one) for one in payload.get("zones", ()))
    return replace(found, zones=zones)


def review_columns(review: Review) -> dict[str, Any]:
    """The columns of a review, verdicts and contours as JSON."""
    values = {field.name: getattr(review, field.name) for field in fields(review)}
    return values | {name: to_json(values[name]) for name in ("scores", "contours")}


def review(row: RowMapping) -> Review:
    """A row of `reviews`."""
    return replace(
        _pick(Review, row),
        scores=tuple(from_json(ScoreReview, one) for one in row["scores"]),
        contours=tuple(from_json(ContourReview, one) for one in row["contours"]),
    )


RISK_JSON = ("inputs", "stale", "missing", "companions")


def risk_columns(record: RiskRecord) -> dict[str, Any]:
    """The columns of a risk record, contributions and companions as JSON, and their digest."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    for name in RISK_JSON:
        values[name] = to_json(values[name])
    return values | {"inputs_sha256": inputs_sha256(record)}


def inputs_sha256(record: RiskRecord) -> str:
    """Digest of what a risk was computed from and said; equal ones at one moment are one risk."""
    said = [record.model, record.status, record.reason, record.probability]
    said += [to_json(getattr(record, name)) for name in RISK_JSON]
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _input(item: Mapping[str, Any]) -> RiskInput:
    """One contribution, field by field: a page of the worklist reads two thousand of them."""
    at = item["observed_at"]
    return RiskInput(
        item["variable"], item["label"], item["value"], item["unit"], item["log_odds"],
        datetime.fromisoformat(at) if at is not None else None, item["stale"], item["source"],
    )  # fmt: skip


def risk(row: RowMapping) -> RiskRecord:
    """A row of `risks`."""
    values = {name: row[name] for name in _names(RiskRecord)}
    values["inputs"] = tuple(_input(item) for item in row["inputs"])
    values["companions"] = tuple(from_json(Companion, item) for item in row["companions"])
    values["stale"], values["missing"] = tuple(row["stale"]), tuple(row["missing"])
    return RiskRecord(**values)
