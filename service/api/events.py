"""Server-sent events: what changed, as it changes (WHATWG HTML 9.2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from service.api.dependencies import V1, Reader, Together
from service.api.feed import Feed, Heard, Heartbeat, Joined, Reset

LONGEST_S = 900.0  # then the browser comes back and its login is looked at again
RETRY_MS = 3000

routes = APIRouter(prefix=V1, tags=["events"])


@routes.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "a stream of events"}},
)
def events(
    caller: Reader,
    parts: Together,
    last_event_id: Annotated[str, Header(max_length=20)] = "",
    after: Annotated[int | None, Query(ge=0, lt=2**62)] = None,
) -> StreamingResponse:
    """News as server-sent events: `result`, `risk`, `patient`, `study`, or `reset`.

    Each event's data is JSON with `number`, `kind`, `patient_id` and `at`. A browser that comes
    back with `Last-Event-ID` gets what it missed; `reset` says that it missed too much and should
    load the page again.
    """
    caller.saw_list("events", 1)
    start = int(last_event_id) if last_event_id.isdecimal() else after
    return StreamingResponse(
        _stream(parts.feed, start),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _stream(feed: Feed, after: int | None) -> AsyncIterator[str]:
    end = asyncio.get_running_loop().time() + LONGEST_S
    async with aclosing(feed.listen(after)) as news:
        async for event in news:
            yield written(event)
            if asyncio.get_running_loop().time() > end:
                break


def written(event: Heard) -> str:
    """One event in the form of the stream."""
    if isinstance(event, Joined):  # an id without data is remembered and shown to nobody
        return f"retry: {RETRY_MS}\nid: {event.number}\n\n"
    if isinstance(event, Heartbeat):
        return ": nothing new\n\n"
    if isinstance(event, Reset):
        return "event: reset\ndata: {}\n\n"
    data = {
        "number": event.number,
        "kind": event.kind,
        "patient_id": event.patient_id,
        "at": event.at.isoformat(),
    }
    return f"id: {event.number}\nevent: {event.kind}\ndata: {json.dumps(data)}\n\n"
