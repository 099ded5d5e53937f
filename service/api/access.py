"""Who is logged in and who saw what, in and out."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import ConfigDict, Field

from service.api.schemas import In, Out


class AuditOut(Out):
    """Who did what to which patient's data, when, from where."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    at: datetime
    actor: str
    action: str
    outcome: str
    patient_id: str | None
    study_uid: str | None
    address: str
    detail: str


class AuditsOut(Out):
    """Audit rows, newest first."""

    audits: list[AuditOut]


class UserOut(Out):
    """Who is logged in."""

    username: str
    role: str


class TokenOut(Out):
    """A bearer token (RFC 6750)."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  # the name of the scheme
    expires_in: int = Field(description="seconds")
    role: str


class CredentialsIn(In):
    """User name and password."""

    username: str = Field(max_length=256)
    password: str = Field(max_length=4096)
