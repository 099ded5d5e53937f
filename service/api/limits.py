"""How much a request may bring: the body is counted as it arrives, not as it is announced."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import PROBLEM_TYPE, Problem
from service.settings import Settings

JSON_MB = 16  # five thousand observations with room to spare
MB = 2**20


class BodyLimit:
    """ASGI middleware: 413 for a body beyond its bound.

    Parameters
    ----------
    most : bytes of a film upload (multipart) or a DICOM object.
    most_json : bytes of any other body.
    """

    def __init__(self, app: ASGIApp, most: int, most_json: int) -> None:
        self._app = app
        self._most = most
        self._most_json = min(most, most_json)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        kind = headers.get("content-type", "").lower()
        films = kind.startswith(("multipart/", "application/dicom"))
        bound = self._most if films else self._most_json
        announced = headers.get("content-length", "")
        if announced.isdecimal() and int(announced[:20]) > bound:
            problem = Problem(
                title="Too large", status=413, code="too_large", message=_message(bound)
            )
            answer = JSONResponse(problem.model_dump(), 413, media_type=PROBLEM_TYPE)
            await answer(scope, receive, send)
            return
        taken = 0

        async def counting() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > bound:
                raise HTTPException(413, _message(bound))
            return message

        await self._app(scope, counting, send)


def _message(bound: int) -> str:
    return (
        f"expected a request body of at most {bound // MB} MB, found more; "
        "send less at once or ask the administrator to raise CARINA_MAX_REQUEST_MB"
    )


def install_body_limit(app: FastAPI, settings: Settings) -> None:
    """Bound the request bodies of `app` by the settings."""
    app.add_middleware(BodyLimit, most=settings.max_request_mb * MB, most_json=JSON_MB * MB)
