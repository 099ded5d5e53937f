"""Web viewers of other origins may use DICOMweb where the settings name them (CORS).

A viewer shows who it acts for by a bearer token. Cookies are not taken from another origin: a page
there cannot use the login of whoever looks at it.
"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service.dicom.web import PREFIX
from service.settings import Settings

PREFLIGHT_KEPT_S = 600


class Origins:
    """ASGI middleware: answers preflights, and lets the named origins read what DICOMweb answers.

    Parameters
    ----------
    origins : scheme, host and port of each viewer, as browsers send them.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        self._app = app
        self._open = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=("GET", "POST"),
            allow_headers=("Accept", "Authorization", "Content-Type"),
            expose_headers=("Warning",),
            max_age=PREFLIGHT_KEPT_S,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; only DICOMweb is opened."""
        is_dicomweb = scope["type"] == "http" and scope["path"].startswith(f"{PREFIX}/")
        await (self._open if is_dicomweb else self._app)(scope, receive, send)


def install_origins(app: FastAPI, settings: Settings) -> None:
    """Open DICOMweb to the origins of the settings; to none by default."""
    if settings.dicomweb_origins:
        app.add_middleware(Origins, origins=settings.dicomweb_origins)
