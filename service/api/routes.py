"""All routes of the API in one router, and what they need around them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, FastAPI

from service.api import (
    deletions,
    documentation,
    events,
    health,
    inference,
    instances,
    login,
    merges,
    observations,
    operations,
    patients,
    reviews,
    studies,
    users,
    worklist,
)
from service.api.bench import Bench
from service.api.dependencies import Parts, provide
from service.api.feed import Feed
from service.api.fhir import routes as fhir
from service.api.headers import install_security_headers
from service.api.limits import install_body_limit
from service.api.measure import install_request_metrics
from service.api.problems import Problem, install_error_handlers
from service.context import Services
from service.settings import Settings

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in (
        (401, "not logged in"),
        (403, "the role does not permit this"),
        (422, "the request is not as described"),
    )
}


def router(services: Services, feed: Feed | None = None) -> APIRouter:
    """JSON API, FHIR, events, health, metrics and the page about them.

    Parameters
    ----------
    feed : where the events come from; `Feed.close()` ends the open streams at shutdown.
    """
    parts = Parts(services, Bench(), feed or Feed(services.index))
    api = APIRouter(dependencies=[Depends(provide(parts))])
    parts_of_v1 = (
        login.routes,
        inference.routes,
        patients.routes,
        reviews.routes,
        studies.routes,
        instances.routes,
        observations.routes,
        worklist.routes,
        merges.routes,
        deletions.routes,
        operations.routes,
        users.routes,
        events.routes,
    )
    for part in parts_of_v1:
        api.include_router(part, responses=PROBLEMS)
    api.include_router(fhir.routes)
    api.include_router(health.routes)
    api.include_router(documentation.routes)
    return api


def install(app: FastAPI, settings: Settings) -> None:
    """Put error answers, body limits, security headers and request metrics around `app`."""
    install_error_handlers(app)
    install_body_limit(app, settings)
    install_security_headers(app)
    install_request_metrics(app)
