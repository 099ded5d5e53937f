"""Logging in and out, the choice of theme, and the files of the front end."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from service import audit
from service.auth import COOKIE, address_of, require_same_origin
from service.dashboard.assets import Assets
from service.dashboard.pages import HEADERS, THEME_COOKIE, THEMES
from service.dashboard.visitor import SEE_OTHER, PageRoute, Visitor, anybody, desk_of, local_path
from service.errors import NotAuthenticatedError, TooOftenError

YEAR_S = 365 * 24 * 3600
FOREVER = "public, max-age=31536000, immutable"  # the names carry a hash of the content

routes = APIRouter(route_class=PageRoute)


@routes.get("/login")
def login_page(request: Request) -> Response:
    """The door."""
    target = local_path(request.query_params.get("next", "/"))
    return desk_of(request).pages.show(request, "login.html", next=target, error="", username="")


@routes.post("/login")
def log_in(
    request: Request,
    username: Annotated[str, Form(max_length=200)] = "",
    password: Annotated[str, Form(max_length=2000)] = "",
    next: Annotated[str, Form(max_length=2000)] = "/",  # noqa: A002  # the name of the field
) -> Response:
    """Check a password and set the session cookie."""
    require_same_origin(request.method, request.headers)
    desk, target = desk_of(request), local_path(next)
    auth = desk.services.auth
    try:
        user = auth.log_in(username, password, address_of(request))
    except (NotAuthenticatedError, TooOftenError) as error:
        said = error.message[:1].upper() + error.message[1:]
        return desk.pages.show(
            request, "login.html", error.http_status, next=target, error=said, username=username
        )
    answer = RedirectResponse(target, SEE_OTHER, HEADERS)
    answer.set_cookie(**auth.cookie(user))
    return answer


@routes.post("/logout")
def log_out(visitor: Annotated[Visitor, Depends(anybody)]) -> Response:
    """End the session in this browser."""
    services = visitor.desk.services
    services.index.add_audit(audit.logout(visitor.user, visitor.now, address_of(visitor.request)))
    answer = RedirectResponse("/login", SEE_OTHER, HEADERS)
    answer.delete_cookie(COOKIE, **services.auth.cookie_form())
    return answer


@routes.post("/theme")
def choose_theme(
    request: Request,
    theme: Annotated[str, Form(max_length=10)] = "",
    back: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """Keep a theme; the page's script does the same without a round trip."""
    require_same_origin(request.method, request.headers)
    answer = RedirectResponse(local_path(back), SEE_OTHER, HEADERS)
    if theme in THEMES:
        answer.set_cookie(THEME_COOKIE, theme, max_age=YEAR_S, path="/", samesite="lax")
    return answer


def static(assets: Assets) -> APIRouter:
    """The files of the front end, held in memory, by their exact names."""
    files = APIRouter(route_class=PageRoute)

    @files.get("/static/{name:path}")
    def file(request: Request, name: str) -> Response:
        asset = assets.file(name)
        headers = {"cache-control": FOREVER, "x-content-type-options": "nosniff"}
        if asset.gzipped is not None:
            headers["vary"] = "accept-encoding"
            if "gzip" in request.headers.get("accept-encoding", ""):
                headers["content-encoding"] = "gzip"
                return Response(asset.gzipped, 200, headers, asset.media_type)
        return Response(asset.content, 200, headers, asset.media_type)

    return files
