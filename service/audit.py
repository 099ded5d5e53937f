"""Audit events: who did what to which patient's data, when and from where."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from service.records import AuditEvent, User


def read(
    actor: User | str,
    at: datetime,
    address: str,
    *,
    patient_id: str,
    study_uid: str | None = None,
    what: str = "",
) -> AuditEvent:
    """A user, or a DICOM node by its AE title, saw one patient's data.

    `what` names the kind of data, never a value.
    """
    return AuditEvent(
        at=at,
        actor=_name(actor),
        action="read",
        outcome="success",
        patient_id=patient_id,
        study_uid=study_uid,
        address=address,
        detail=what,
    )


def read_list(
    actor: User | str,
    at: datetime,
    address: str,
    *,
    what: str,
    count: int,
    patient_ids: Iterable[str] = (),
) -> tuple[AuditEvent, ...]:
    """A user or a node saw a list: a row for each patient on it, one with the number of entries."""
    seen = tuple(
        read(actor, at, address, patient_id=one, what=f"{what}, as one of a list")
        for one in dict.fromkeys(patient_ids)
    )
    whole = AuditEvent(
        at=at,
        actor=_name(actor),
        action="read",
        outcome="success",
        address=address,
        detail=f"{what}: {count}",
    )
    return (*seen, whole)


def _name(actor: User | str) -> str:
    return actor if isinstance(actor, str) else actor.username


def write(
    user: User, at: datetime, address: str, *, patient_id: str | None, what: str
) -> AuditEvent:
    """A user sent or changed a patient's data."""
    return AuditEvent(
        at=at,
        actor=user.username,
        action="write",
        outcome="success",
        patient_id=patient_id,
        address=address,
        detail=what,
    )


def act(actor: User | str, at: datetime, address: str, *, action: str, what: str) -> AuditEvent:
    """An administrator merged patients or deleted a study; `what` is the reason they gave."""
    return AuditEvent(
        at=at, actor=_name(actor), action=action, outcome="success", address=address, detail=what
    )


def denied(user: User, at: datetime, address: str, *, what: str) -> AuditEvent:
    """A user asked for something that their role does not permit."""
    return AuditEvent(
        at=at,
        actor=user.username,
        action="denied",
        outcome="failure",
        address=address,
        detail=what,
    )


def logout(user: User, at: datetime, address: str) -> AuditEvent:
    """A user ended their session."""
    return AuditEvent(
        at=at, actor=user.username, action="logout", outcome="success", address=address
    )
