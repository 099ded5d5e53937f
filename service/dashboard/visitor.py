"""Who asks for a page, and the audit row that is written before the page leaves."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import RedirectResponse, Response

from service import audit
from service.auth import address_of
from service.context import Services
from service.dashboard.film import Films
from service.dashboard.moments import Zone
from service.dashboard.pages import HEADERS, Pages
from service.dashboard.shared import Shared
from service.dashboard.viewings import Viewings
from service.errors import CarinaError, NotAllowedError, NotAuthenticatedError
from service.records import Role, User

READERS = frozenset({Role.CLINICIAN, Role.RADIOLOGIST, Role.ADMIN})
REVIEWERS = frozenset({Role.RADIOLOGIST, Role.ADMIN})
EVERYBODY = frozenset(Role)
ADMINS = frozenset({Role.ADMIN})
RENEWAL = "x-carina-refresh"
SEE_OTHER = 303
STUDY_PAGE = "study page"

HEADLINES = {
    403: "Not for this role",
    404: "Not found",
    422: "This cannot be shown",
    503: "Not available right now",
}


@dataclass(frozen=True, slots=True)
class Desk:
    """What all page functions share."""

    services: Services
    pages: Pages
    zone: Zone
    viewings: Viewings
    films: Films
    lists: Shared[Any]


@dataclass(frozen=True, slots=True)
class Visitor:
    """A user in front of a page."""

    user: User
    request: Request
    desk: Desk
    now: datetime

    def saw(self, patient_id: str, page: str, study_uid: str | None = None) -> None:
        """Audit a look at one patient; before the page leaves."""
        if self._renews(page, study_uid or patient_id):
            return
        event = audit.read(
            self.user,
            self.now,
            address_of(self.request),
            patient_id=patient_id,
            study_uid=study_uid,
            what=page,
        )
        self.desk.services.index.add_audit(event)

    def saw_part(self, patient_id: str, study_uid: str, what: str) -> None:
        """Audit a picture of a study; one that belongs to a study page just opened has its row."""
        key = (self.user.username, STUDY_PAGE, study_uid)
        if not self.desk.viewings.continues(*key, self.now):
            event = audit.read(
                self.user,
                self.now,
                address_of(self.request),
                patient_id=patient_id,
                study_uid=study_uid,
                what=what,
            )
            self.desk.services.index.add_audit(event)

    def saw_list(self, page: str, count: int, patient_ids: Iterable[str] = ()) -> None:
        """Audit a look at a list over patients: each patient on it, and the list."""
        if self._renews(page, str(self.request.url.query)):
            return
        events = audit.read_list(
            self.user,
            self.now,
            address_of(self.request),
            what=page,
            count=count,
            patient_ids=patient_ids,
        )
        self.desk.services.index.add_audits(events)

    def _renews(self, page: str, about: str) -> bool:
        viewings, name = self.desk.viewings, self.user.username
        if RENEWAL in self.request.headers:
            return viewings.continues(name, page, about, self.now)
        viewings.begin(name, page, about, self.now)
        return False

    def show(self, template: str, status: int = 200, **context: Any) -> Response:
        """A page for this user."""
        now = self.desk.zone.shown(self.now, self.now)
        return self.desk.pages.show(
            self.request, template, status, **{"user": self.user, "now": now, **context}
        )


def desk_of(request: Request) -> Desk:
    """What the router was built with."""
    desk = request.state.desk
    if not isinstance(desk, Desk):
        raise TypeError(f"expected the desk of the dashboard, found {type(desk).__name__}")
    return desk


def admit(request: Request, roles: frozenset[Role]) -> Visitor:
    """Let a user of one of `roles` in.

    Raises
    ------
    NotAuthenticatedError : nobody is logged in.
    NotAllowedError : the role does not permit this page; the attempt is audited.
    """
    desk = desk_of(request)
    user = desk.services.auth.identify(request)
    now = desk.services.clock()
    if user.role not in roles:
        pattern = getattr(request.scope.get("route"), "path", "")
        event = audit.denied(user, now, address_of(request), what=f"{request.method} {pattern}")
        desk.services.index.add_audit(event)
        raise NotAllowedError(
            f"This page is for {' and '.join(sorted(roles - {Role.ADMIN})) or 'administrators'}; "
            f"you are logged in as {user.role}. Ask the administrator."
        )
    return Visitor(user, request, desk, now)


def reader(request: Request) -> Visitor:
    """Somebody who may see patients."""
    return admit(request, READERS)


def reviewer(request: Request) -> Visitor:
    """Somebody who may review."""
    return admit(request, REVIEWERS)


def anybody(request: Request) -> Visitor:
    """Anybody who is logged in."""
    return admit(request, EVERYBODY)


def administrator(request: Request) -> Visitor:
    """An administrator."""
    return admit(request, ADMINS)


def local_path(target: str) -> str:
    """Where to go after a login: a path of this server, else the front page."""
    parts = urlsplit(target)
    plain = target.startswith("/") and not target.startswith(("//", "/\\")) and "\\" not in target
    printable = all(c.isprintable() for c in target)
    return target if plain and printable and not parts.scheme and not parts.netloc else "/"


class PageRoute(APIRoute):
    """A route whose errors are pages: to the door, or a page that says what to do."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler of the route."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except NotAuthenticatedError:
                return _to_door(request)
            except CarinaError as error:
                return _explain(request, error.http_status, error.message)
            except RequestValidationError:
                return _explain(request, 422, "The address of this page is not complete.")

        return handle


def _to_door(request: Request) -> Response:
    if request.method != "GET" or "/artifacts/" in request.url.path:
        return Response("log in first", 401, HEADERS, "text/plain")
    back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    target = "/login" if back == "/" else f"/login?next={quote(back, safe='')}"
    return RedirectResponse(target, SEE_OTHER, HEADERS)


def _explain(request: Request, status: int, message: str) -> Response:
    desk = desk_of(request)
    return desk.pages.show(
        request,
        "error.html",
        status,
        headline=HEADLINES.get(status, "This did not work"),
        message=message[:1].upper() + message[1:],
    )
