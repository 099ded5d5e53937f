"""Tokens for programs, and who one is."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from service.api.access import CredentialsIn, TokenOut, UserOut
from service.api.dependencies import V1, Given, Scientist
from service.api.problems import Problem
from service.auth import address_of

routes = APIRouter(prefix=V1, tags=["login"])

_SCHEMA = CredentialsIn.model_json_schema()
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {"schema": _SCHEMA},
            "application/json": {"schema": _SCHEMA},
        },
    }
}


async def credentials(request: Request) -> CredentialsIn:
    """User name and password, as a form (OAuth 2) or as JSON."""
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            sent: Any = json.loads(await request.body())
        except (ValueError, RecursionError):
            raise _invalid([{"loc": ("body",), "msg": "expected JSON"}]) from None
    else:
        async with request.form() as form:
            sent = {name: form[name] for name in ("username", "password") if name in form}
    try:
        return CredentialsIn.model_validate(sent)
    except ValidationError as error:
        raise _invalid(error.errors(include_input=False, include_url=False)) from None


def _invalid(faults: Any) -> RequestValidationError:
    return RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in faults])


@routes.post(
    "/token", response_model=TokenOut, openapi_extra=_BODY, responses={429: {"model": Problem}}
)
def token(
    request: Request, services: Given, sent: Annotated[CredentialsIn, Depends(credentials)]
) -> TokenOut:
    """Exchange a user name and a password for a bearer token that lasts 30 minutes.

    Too many failures of one user or from one address are answered with 429.
    """
    user = services.auth.log_in(sent.username, sent.password, address_of(request), how="token")
    made = services.auth.token(user)
    return TokenOut(access_token=made.value, expires_in=made.expires_in_s, role=str(user.role))


@routes.get("/me", response_model=UserOut)
def me(caller: Scientist) -> UserOut:
    """Who is logged in, and in which role."""
    return UserOut(username=caller.user.username, role=str(caller.user.role))
