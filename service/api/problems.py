"""Errors as answers: problem JSON for the API (RFC 9457), OperationOutcome for FHIR."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import CarinaError
from service.jobs.pipeline import log_failure

_log = structlog.get_logger(__name__)
PROBLEM_TYPE = "application/problem+json"
FHIR_TYPE = "application/fhir+json"
FHIR_PREFIX = "/fhir"

TITLES = {
    400: "Bad request",
    401: "Log in first",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    422: "Cannot be processed",
    429: "Too many attempts",
    500: "Internal error",
    502: "A destination did not answer",
    503: "Try again later",
}

# FHIR R4 issue types: http://hl7.org/fhir/R4/valueset-issue-type.html
ISSUES = {
    400: "structure",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    406: "not-supported",
    409: "conflict",
    413: "too-long",
    415: "not-supported",
    422: "processing",
    429: "throttled",
    500: "exception",
    503: "transient",
}


class Fault(BaseModel):
    """One thing that is wrong in a request, and where."""

    where: str
    message: str


class Problem(BaseModel):
    """An error as every endpoint answers it (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    code: str = Field(description="stable word for programs")
    message: str = Field(description="what was expected, what was found, what to do")
    faults: list[Fault] = []


def install_error_handlers(app: FastAPI) -> None:
    """Turn every error into an answer that says what to do; no input is repeated in it."""
    app.add_exception_handler(CarinaError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(LastResort)
    made = app.openapi
    app.openapi = lambda: _described(made())  # type: ignore[method-assign]  # FastAPI's own way


def _described(document: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document with the media types that errors have; FastAPI writes JSON for all."""
    for path, methods in document["paths"].items():
        kind = FHIR_TYPE if path.startswith(FHIR_PREFIX) else PROBLEM_TYPE
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                content = answer.get("content", {})
                if status.startswith("4") and "application/json" in content:
                    schema = content.pop("application/json")
                    content[kind] = {} if kind == FHIR_TYPE else schema
    return document


def operation_outcome(
    issue: str, message: str, severity: str = "error", where: str = ""
) -> dict[str, Any]:
    """A FHIR R4 OperationOutcome with one issue."""
    entry: dict[str, Any] = {"severity": severity, "code": issue, "diagnostics": message}
    if where:
        entry["expression"] = [where]
    return {"resourceType": "OperationOutcome", "issue": [entry]}


async def _known(request: Request, error: Exception) -> Response:
    if not isinstance(error, CarinaError):
        raise error
    if error.http_status >= 500:
        name = type(error).__name__
        _log.error("request failed", error=name, route=_route(request), message=error.message)
    headers = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "60"}}.get(
        error.http_status, {"Retry-After": "5"} if error.http_status == 503 else {}
    )
    return _answer(request, error.http_status, code_of(error), error.message, headers=headers)


async def _invalid(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    faults = [
        Fault(where=_printable(_place(one["loc"])), message=_printable(str(one["msg"])))
        for one in error.errors()[:50]
    ]
    first = f"{faults[0].where}: {faults[0].message}" if faults else "unreadable"
    message = f"the request is not as the API describes it ({first}); see /api/docs"
    return _answer(request, 422, "invalid_request", message, faults=faults)


async def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    code = re.sub(r"\W+", "_", TITLES.get(error.status_code, "error").lower())
    headers = dict(error.headers or {})
    return _answer(request, error.status_code, code, str(error.detail), headers=headers)


class LastResort:
    """ASGI middleware: an unforeseen error is logged without its words and answered with 500.

    It goes no further: the server would log its words, and they may quote a patient's data.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and catch what nobody foresaw."""
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:  # this is the edge
            if scope["type"] != "http":
                raise
            request = Request(scope, receive)
            log_failure("unforeseen error", error, route=_route(request))
            if not started:
                message = "something unforeseen happened; it is in the log of the server"
                await _answer(request, 500, "internal", message)(scope, receive, send)


def code_of(error: CarinaError) -> str:
    """`NotFoundError` -> `not_found`."""
    words = re.findall(r"[A-Z][a-z]*", type(error).__name__.removesuffix("Error"))
    return "_".join(words).lower()


def _answer(
    request: Request,
    status: int,
    code: str,
    message: str,
    *,
    faults: Sequence[Fault] = (),
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    if request.url.path.startswith(FHIR_PREFIX):
        body = operation_outcome(ISSUES.get(status, "processing"), message)
        return JSONResponse(body, status, headers, media_type=FHIR_TYPE)
    problem = Problem(
        title=TITLES.get(status, "Error"),
        status=status,
        code=code,
        message=message,
        faults=list(faults),
    )
    return JSONResponse(problem.model_dump(), status, headers, media_type=PROBLEM_TYPE)


def _route(request: Request) -> str:
    """The pattern of the path: the path itself may carry a patient's identifier."""
    route = request.scope.get("route")
    return f"{request.method} {getattr(route, 'path', '(no route)')}"


def _place(location: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in location[:8])


def _printable(text: str) -> str:
    """A lone surrogate out of a JSON escape cannot be sent as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()[:500]
