"""`carina user add|list|disable`: who may log in."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime

from service.app import open_index
from service.auth import new_user
from service.errors import UsageError
from service.records import AuditEvent, Role
from service.settings import Settings
from service.store.index import Index


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Carry out one act; each change is audited."""
    index = open_index(settings)
    try:
        if options.act == "add":
            return _add(index, options.username, options.role)
        if options.act == "disable":
            return _disable(index, options.username)
        return _list(index)
    finally:
        index.close()


def _add(index: Index, username: str, role: str) -> int:
    if role not in tuple(Role):
        raise UsageError(f"expected a role of {', '.join(Role)}, found {role!r}")
    index.add_user(new_user(username, _password(), Role(role), datetime.now(UTC)))
    _audit(index, "user-add", f"{username} as {role}")
    print(f"added {username} as {role}")
    return 0


def _disable(index: Index, username: str) -> int:
    index.set_user(replace(index.user(username), disabled=True))
    _audit(index, "user-disable", username)
    print(f"disabled {username}; their sessions end now")
    return 0


def _list(index: Index) -> int:
    for user in index.users():
        print(f"{user.username}\t{user.role}\t{'disabled' if user.disabled else 'active'}")
    return 0


def _password() -> str:
    """From the environment for scripts, else asked for twice without echo."""
    given = os.environ.get("CARINA_PASSWORD")
    if given:
        return given
    if not sys.stdin.isatty():
        raise UsageError("expected a password in CARINA_PASSWORD or a terminal to ask on")
    first, second = getpass.getpass("password: "), getpass.getpass("again: ")
    if first != second:
        raise UsageError("the two passwords differ: try again")
    return first


def _audit(index: Index, action: str, detail: str) -> None:
    index.add_audit(
        AuditEvent(datetime.now(UTC), "console", action, "success", address="local", detail=detail)
    )
