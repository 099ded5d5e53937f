"""Pages, API and DICOMweb as one application; only a process that serves them loads this."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from importlib.metadata import version
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI, Request

from service import audit
from service.api import routes
from service.api.feed import Feed
from service.auth import Auth, address_of
from service.context import Models, Services
from service.dashboard import views
from service.dicom import web
from service.dicom.origins import install_origins
from service.errors import NotAllowedError
from service.records import Role, User
from service.settings import Settings

if TYPE_CHECKING:
    from service.app import Parts


def application(parts: Parts, models: Models, clock: Callable[[], datetime]) -> FastAPI:
    """Pages, API and DICOMweb over `parts`."""
    services = Services(
        index=parts.index,
        objects=parts.objects,
        ingest=parts.ingest,
        auth=Auth(parts.index, parts.settings, clock),
        settings=parts.settings,
        clock=clock,
        models=models,
        arrived=parts.engine.study_arrived,
        observed=parts.engine.risk_due,
        sending=parts.engine.sending_due,
        crew=parts.engine.crew,
    )
    feed = Feed(parts.index)

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        yield
        feed.close()

    app = FastAPI(
        title="Carina",
        description="Chest X-ray severity, change and ventilation risk. Research use only.",
        version=version("carina"),
        docs_url=None,  # served from local files by the API itself
        redoc_url=None,
        openapi_url="/api/openapi.json",
        lifespan=life,
    )
    app.include_router(routes.router(services, feed))
    app.include_router(
        web.router(
            parts.index,
            parts.objects,
            parts.ingest,
            _somebody(services, Role.CLINICIAN, Role.RADIOLOGIST),
            sender_dependency=_somebody(services),
            max_request_mb=parts.settings.max_request_mb,
            decoding=parts.decoder,
        )
    )
    app.include_router(views.router(services))
    routes.install(app, parts.settings)
    install_origins(app, parts.settings)
    app.state.feed = feed
    return app


def _somebody(services: Services, *roles: Role) -> Callable[[Request], User]:
    """A dependency that lets `roles` and admins through to DICOMweb; the audit has the others."""

    def identify(request: Request) -> User:
        user = services.auth.identify(request)
        if user.role is not Role.ADMIN and user.role not in roles:
            what = f"{request.method} {getattr(request.scope.get('route'), 'path', web.PREFIX)}"
            event = audit.denied(user, services.clock(), address_of(request), what=what)
            services.index.add_audit(event)
            raise NotAllowedError(
                f"expected one of the roles {', '.join((*roles, Role.ADMIN))}, found {user.role}"
            )
        return user

    return identify


class Server(uvicorn.Server):
    """Ends the open event streams when told to stop; each stop would wait for them otherwise."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.http_host,
                port=settings.http_port,
                log_config=None,
                access_log=False,  # paths carry patient identifiers; the audit has what matters
                server_header=False,
                timeout_graceful_shutdown=5,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGINT or SIGTERM arrived."""
        app = self.config.app
        if isinstance(app, FastAPI):
            app.state.feed.close()
        super().handle_exit(sig, frame)
