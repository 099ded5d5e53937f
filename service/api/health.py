"""Is it alive, is it ready, and what it counts: for orchestrators and Prometheus."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from service import metrics
from service.api.dependencies import Given
from service.context import Services
from service.errors import CarinaError

routes = APIRouter(tags=["health"])


class Health(BaseModel):
    """Alive."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether requests can be answered, and what stands in the way."""

    status: Literal["ok", "unavailable"]
    index: str
    objects: str


@routes.get("/healthz", response_model=Health)
def healthz() -> Health:
    """The process answers. Nothing else is looked at: restart it only when this fails."""
    return Health()


@routes.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
def readyz(services: Given) -> Response:
    """Index and object store can be used; 503 with the reason where not."""
    index, objects = _index(services), _objects(services)
    ready = index == objects == "ok"
    found = Readiness(status="ok" if ready else "unavailable", index=index, objects=objects)
    return JSONResponse(found.model_dump(), 200 if ready else 503)


@routes.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus text format"}},
)
def prometheus(services: Given) -> Response:
    """Counters of this process and gauges of the installation; no patient data."""
    with suppress(CarinaError):  # the counters of this process are worth having without the gauges
        metrics.show(services.index.counts(), services.objects.free_mb())
    return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _index(services: Services) -> str:
    try:
        services.index.ping()
    except CarinaError as error:
        return error.message
    return "ok"


def _objects(services: Services) -> str:
    try:
        free_mb = services.objects.free_mb()
    except CarinaError as error:
        return error.message
    least = services.settings.min_free_disk_mb
    if free_mb < least:
        return f"expected {least} MB of free space, found {free_mb}; free the disk"
    return "ok"
