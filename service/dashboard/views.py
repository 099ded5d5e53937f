"""The pages: worklist, patient, study, reviews, models, operations, audit, and the door.

Every function is a plain `def`: FastAPI runs it in a thread, so that a slow database holds up one
page and not the event loop.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request

from service.context import Services
from service.dashboard import (
    audit_view,
    door,
    lists,
    operations_view,
    patient_view,
    review_view,
    study_view,
)
from service.dashboard.assets import Assets
from service.dashboard.film import Films
from service.dashboard.moments import Zone
from service.dashboard.pages import Pages
from service.dashboard.shared import Shared
from service.dashboard.viewings import Viewings
from service.dashboard.visitor import Desk, PageRoute


def router(services: Services, assets: Assets | None = None) -> APIRouter:
    """All pages of the dashboard.

    Parameters
    ----------
    assets : the built front end; read from its folder where it is not given.

    Raises
    ------
    UsageError : the front end has not been built, or the time zone is unknown.
    """
    built = assets or Assets.load()
    zone = Zone.named(services.settings.time_zone)
    shared: Shared[lists.Page] = Shared(services.index)
    desk = Desk(services, Pages(built), zone, Viewings(), Films(services.objects.get), shared)

    def hand_over(request: Request) -> None:
        request.state.desk = desk

    pages = APIRouter(
        route_class=PageRoute, include_in_schema=False, dependencies=[Depends(hand_over)]
    )
    for part in (
        door.routes,
        lists.routes,
        audit_view.routes,
        operations_view.routes,
        review_view.routes,
        study_view.routes,
        patient_view.routes,
    ):
        pages.include_router(part)
    pages.include_router(door.static(built))
    return pages
