"""`carina user add|list|disable|enable|role|password`: who may log in."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from datetime import UTC, datetime

from service.app import open_index
from service.errors import UsageError
from service.operations import accounts
from service.operations.accounts import Changer
from service.records import Role
from service.settings import Settings
from service.store.index import Index


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Carry out one act; each change is audited."""
    index = open_index(settings)
    try:
        return _list(index) if options.act == "list" else _change(index, options)
    finally:
        index.close()


def _change(index: Index, options: argparse.Namespace) -> int:
    by = Changer(accounts.CONSOLE, datetime.now(UTC), "local", console=True)
    name = options.username
    if options.act == "add":
        accounts.add(index, by, name, _role(options.role), _password())
        said = f"added {name} as {options.role}"
    elif options.act == "disable":
        accounts.change(index, by, name, disabled=True)
        said = f"disabled {name}; their sessions end now"
    elif options.act == "enable":
        accounts.change(index, by, name, disabled=False)
        said = f"enabled {name}; their password is the one they had"
    elif options.act == "role":
        accounts.change(index, by, name, role=_role(options.role))
        said = f"{name} is {options.role} now"
    else:
        accounts.change(index, by, name, password=_password())
        said = f"new password for {name}; their sessions end now"
    print(said)
    return 0


def _role(named: str) -> Role:
    if named not in tuple(Role):
        raise UsageError(f"expected a role of {', '.join(Role)}, found {named!r}")
    return Role(named)


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
