"""Who may log in: what the users page, the API and `carina user` do with the same rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service import audit
from service.auth import hash_password, new_user
from service.errors import NotAllowedError, UsageError
from service.records import AuditEvent, Role, User
from service.store.index import Index

CONSOLE = "console"


@dataclass(frozen=True, slots=True)
class Changer:
    """Who changes an account, when, from where.

    The console of the machine may do what a page may not: its operator cannot be locked out.
    """

    name: str
    at: datetime
    address: str
    console: bool = False

    def event(self, action: str, what: str) -> AuditEvent:
        """The audit row of an act."""
        return audit.act(self.name, self.at, self.address, action=action, what=what)


def add(index: Index, by: Changer, username: str, role: Role, password: str) -> User:
    """Add somebody.

    Raises
    ------
    UsageError : the name or the password cannot be one.
    ConflictError : the name is taken.
    """
    user = new_user(username, password, role, by.at)
    index.add_user(user, by.event("user-add", f"{username} as {role}"))
    return user


def change(
    index: Index,
    by: Changer,
    username: str,
    *,
    role: Role | None = None,
    disabled: bool | None = None,
    password: str | None = None,
) -> User:
    """Change what is given; a new password or a disabled account ends the sessions at once.

    Raises
    ------
    UsageError : nothing is given, or the password cannot be one.
    NotFoundError : there is no such user.
    NotAllowedError : an administrator would lock themselves out.
    ConflictError : no active administrator would be left.
    """
    values: dict[str, Any] = {}
    events: list[AuditEvent] = []
    _stay_inside(by, username, role, disabled)
    if role is not None:
        values["role"] = role.value
        events.append(by.event("user-role", f"{username} as {role}"))
    if disabled is not None:
        values["disabled"] = disabled
        events.append(by.event("user-disable" if disabled else "user-enable", username))
    if password is not None:
        values["password_hash"] = hash_password(password)
        events.append(by.event("user-password", username))
    if not values:
        raise UsageError("expected a role, an access or a password to change, found none")
    return index.change_user(username, values, events, keep_admin=not by.console)


def _stay_inside(by: Changer, username: str, role: Role | None, disabled: bool | None) -> None:
    leaves = disabled or (role is not None and role is not Role.ADMIN)
    if leaves and username == by.name and not by.console:
        raise NotAllowedError(
            "You cannot take away your own access or role; ask another administrator."
        )
