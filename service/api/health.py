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
from service.errors import CarinaError
from service.operations import state

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
    index, objects = state.index(services), state.objects(services)
    ready = index == objects == state.OK
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
