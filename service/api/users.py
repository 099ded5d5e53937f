"""Who may log in. For administrators."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import ConfigDict, Field, StringConstraints

from service.api.dependencies import V1, Administrator, Caller
from service.api.problems import Problem
from service.api.schemas import NO_CONTROL, In, Out
from service.auth import LONGEST_PASSWORD, SHORTEST_PASSWORD
from service.operations import accounts
from service.operations.accounts import Changer
from service.records import Role

routes = APIRouter(prefix=V1, tags=["users"])

Password = Annotated[
    str, StringConstraints(min_length=SHORTEST_PASSWORD, max_length=LONGEST_PASSWORD)
]
Username = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=NO_CONTROL)]


class AccountOut(Out):
    """A user; nothing of the password is ever in it."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    username: str
    role: Role
    created_at: datetime
    disabled: bool


class AccountsOut(Out):
    """All users by name."""

    users: list[AccountOut]


class AccountIn(In):
    """A new user."""

    username: Username
    role: Role
    password: Password


class AccountChangeIn(In):
    """What to change; a field that is left out stays."""

    role: Role | None = None
    disabled: bool | None = None
    password: Password | None = Field(default=None, description="ends the user's sessions")


@routes.get("/users", response_model=AccountsOut)
def users(caller: Administrator) -> AccountsOut:
    """Everybody who may or might log in."""
    found = caller.services.index.users()
    caller.saw_list("users", len(found))
    return AccountsOut(users=[AccountOut.model_validate(one) for one in found])


@routes.post(
    "/users", response_model=AccountOut, status_code=201, responses={409: {"model": Problem}}
)
def add(sent: AccountIn, caller: Administrator) -> AccountOut:
    """Add a user; 409 where the name is taken."""
    index = caller.services.index
    made = accounts.add(index, _changer(caller), sent.username, sent.role, sent.password)
    return AccountOut.model_validate(made)


@routes.patch(
    "/users/{username:path}",
    response_model=AccountOut,
    responses={404: {"model": Problem}, 409: {"model": Problem}},
)
def change(
    username: Annotated[str, Path(min_length=1, max_length=64, pattern=NO_CONTROL)],
    sent: AccountChangeIn,
    caller: Administrator,
) -> AccountOut:
    """Change role, access or password. Nobody can take away their own access or role (403)."""
    changed = accounts.change(
        caller.services.index,
        _changer(caller),
        username,
        role=sent.role,
        disabled=sent.disabled,
        password=sent.password,
    )
    return AccountOut.model_validate(changed)


def _changer(caller: Caller) -> Changer:
    return Changer(caller.user.username, caller.services.clock(), caller.address)
