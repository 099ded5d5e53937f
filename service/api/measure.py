"""Counts and times every HTTP request, by the pattern of its path, never by the path itself."""

from __future__ import annotations

from time import perf_counter

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import metrics

STREAMS = frozenset({"/api/v1/events"})  # open for minutes by design: counted, not timed
NO_ROUTE = "(no route)"


class RequestMetrics:
    """ASGI middleware: one count and one time per request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note what was answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", NO_ROUTE)
            metrics.REQUESTS.labels(_method(scope), route, str(status)).inc()
            if route not in STREAMS:
                metrics.REQUEST_SECONDS.labels(route).observe(perf_counter() - started)


def _method(scope: Scope) -> str:
    """An invented method must not make a new time series."""
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    return scope["method"] if scope["method"] in known else "OTHER"


def install_request_metrics(app: FastAPI) -> None:
    """Count and time every request of `app`."""
    app.add_middleware(RequestMetrics)
