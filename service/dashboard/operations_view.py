"""The pages of administrators: the installation at one moment, and who may log in."""

from __future__ import annotations

from datetime import UTC
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Query
from starlette.responses import RedirectResponse, Response

from service import audit
from service.auth import SHORTEST_PASSWORD, address_of
from service.dashboard import operations
from service.dashboard.pages import HEADERS, segment
from service.dashboard.visitor import SEE_OTHER, PageRoute, Visitor, administrator
from service.errors import CarinaError, UsageError
from service.operations import accounts, dismissal, overview, retry
from service.operations.accounts import Changer
from service.records import AuditEvent, Role

routes = APIRouter(route_class=PageRoute)

SPANS = (24, 48)
KINDS = Literal["study", "delivery", "destination", "commitment"]
USERS_PAGE = "/operations/users"
Administrator = Annotated[Visitor, Depends(administrator)]
Field = Annotated[str, Form(max_length=255)]
Password = Annotated[str, Form(max_length=2000)]


@routes.get("/operations")
def operations_page(
    visitor: Administrator,
    hours: Annotated[int, Query()] = SPANS[0],
    failures: Annotated[str, Query(max_length=16)] = "",
) -> Response:
    """What came in, waits, failed, goes out, and what it runs on."""
    zone, now, services = visitor.desk.zone, visitor.now, visitor.desk.services
    span = hours if hours in SPANS else SPANS[0]
    first = overview.first_hour(zone.local(now), span).astimezone(UTC)
    seen = overview.gather(services, first, span)
    visitor.saw_list("operations", len(seen.failures), seen.patient_ids)
    crew = seen.crew
    dismissed = failures == "dismissed"
    listed = seen.dismissed if dismissed else seen.failures
    return visitor.show(
        "operations.html",
        entry="operations",
        seen=seen,
        span=span,
        spans=SPANS,
        needs=operations.needs(seen),
        inflow=operations.inflow(seen.hours, zone, now),
        failures=operations.failure_rows(listed, zone, now),
        failed=sum(seen.failure_counts.values()),
        aside=sum(seen.dismissed_counts.values()),
        dismissed=dismissed,
        destinations=operations.destination_rows(seen, zone, now),
        queues=operations.queue_rows(crew.queues, now) if crew else (),
        workers=operations.worker_rows(crew.workers, zone, now) if crew else (),
        rooms=operations.rooms(seen.storage.kept),
        size=operations.size,
        when=lambda moment: zone.shown(moment, now),
    )


@routes.post("/operations/retries")
def try_again(
    visitor: Administrator,
    kind: Annotated[KINDS, Form()],
    name: Annotated[str, Form(min_length=1, max_length=255)],
) -> Response:
    """Try again what failed, then back to the list."""
    retry.retry(visitor.desk.services, kind, name, _act(visitor, "retry", f"{kind} {name}"))
    return _to_list(kind)


@routes.post("/operations/dismissals")
def dismiss(
    visitor: Administrator,
    kind: Annotated[KINDS, Form()],
    name: Annotated[str, Form(min_length=1, max_length=255)],
    reason: Annotated[str, Form(max_length=1000)],
) -> Response:
    """Put aside what failed, with the reason, then back to the list."""
    why = " ".join(reason.split())
    if not why:
        raise UsageError("expected a reason, found none; say why nobody needs to look at it")
    event = _act(visitor, "dismiss", f"{kind} {name}: {why}")
    dismissal.dismiss(visitor.desk.services.index, kind, name, why, event)
    return _to_list(kind)


def _act(visitor: Visitor, action: str, what: str) -> AuditEvent:
    address = address_of(visitor.request)
    return audit.act(visitor.user, visitor.now, address, action=action, what=what)


def _to_list(kind: str) -> Response:
    where = "destinations" if kind == "destination" else "failures"
    return RedirectResponse(f"/operations#{where}", SEE_OTHER, HEADERS)


@routes.get(USERS_PAGE)
def users_page(visitor: Administrator) -> Response:
    """Who may log in, and in which role."""
    return _users(visitor)


@routes.post(USERS_PAGE)
def add_user(
    visitor: Administrator, username: Field = "", role: Field = "", password: Password = ""
) -> Response:
    """Add somebody; what cannot be is said beside the form."""
    index = visitor.desk.services.index
    try:
        made = accounts.add(index, _changer(visitor), username.strip(), _role(role), password)
    except CarinaError as error:
        return _users(visitor, error, username=username, role=role)
    return _back(made.username)


@routes.post(f"{USERS_PAGE}/changes")
def change_user(
    visitor: Administrator,
    username: Field,
    act: Annotated[Literal["role", "disable", "enable", "password"], Form()],
    role: Field = "",
    password: Password = "",
) -> Response:
    """Change role, access or password of one user."""
    index, by = visitor.desk.services.index, _changer(visitor)
    try:
        if act == "role":
            accounts.change(index, by, username, role=_role(role))
        elif act == "password":
            accounts.change(index, by, username, password=password)
        else:
            accounts.change(index, by, username, disabled=act == "disable")
    except CarinaError as error:
        return _users(visitor, error)
    return _back(username)


def _users(
    visitor: Visitor, error: CarinaError | None = None, username: str = "", role: str = ""
) -> Response:
    """The page of users, with what could not be done and what was typed."""
    zone, now = visitor.desk.zone, visitor.now
    found = visitor.desk.services.index.users()
    if error is None:
        visitor.saw_list("users", len(found))
    context: dict[str, Any] = {
        "users": [(one, zone.shown(one.created_at, now)) for one in found],
        "roles": tuple(Role),
        "error": operations.sentence(error.message) if error else "",
        "username": username,
        "role": role,
        "shortest": SHORTEST_PASSWORD,
    }
    return visitor.show("users.html", status=error.http_status if error else 200, **context)


def _changer(visitor: Visitor) -> Changer:
    return Changer(visitor.user.username, visitor.now, address_of(visitor.request))


def _role(named: str) -> Role:
    if named not in tuple(Role):
        raise UsageError(f"expected a role of {', '.join(Role)}, found another one")
    return Role(named)


def _back(username: str) -> Response:
    return RedirectResponse(f"{USERS_PAGE}#{segment(username)}", SEE_OTHER, HEADERS)
