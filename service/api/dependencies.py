"""What a path function asks for: the services, and a caller whose role permits the request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from service import audit
from service.api.bench import Bench
from service.api.feed import Feed
from service.auth import COOKIE, address_of
from service.context import Services
from service.errors import NotAllowedError
from service.records import AuditEvent, Role, User

V1 = "/api/v1"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes of one application share."""

    services: Services
    bench: Bench
    feed: Feed


def provide(parts: Parts) -> Callable[[Request], None]:
    """A dependency of the whole router that hands `parts` to its path functions."""

    def hand_over(request: Request) -> None:
        request.state.parts = parts

    return hand_over


def parts_of(request: Request) -> Parts:
    """The parts that the router was built with."""
    parts = request.state.parts
    if not isinstance(parts, Parts):
        raise TypeError(f"expected the parts of the router, found {type(parts).__name__}")
    return parts


def services_of(request: Request) -> Services:
    """The services that the router was built with."""
    return parts_of(request).services


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, from where; writes down what they saw."""

    user: User
    address: str
    services: Services

    def saw(self, patient_id: str, what: str, study_uid: str | None = None) -> None:
        """Audit a look at one patient's data; before the data leaves."""
        event = audit.read(
            self.user,
            self.services.clock(),
            self.address,
            patient_id=patient_id,
            study_uid=study_uid,
            what=what,
        )
        self.services.index.add_audit(event)

    def saw_list(self, what: str, count: int, patient_ids: Iterable[str] = ()) -> None:
        """Audit a look at a list over patients: each patient on it, and the list."""
        events = audit.read_list(
            self.user,
            self.services.clock(),
            self.address,
            what=what,
            count=count,
            patient_ids=patient_ids,
        )
        self.services.index.add_audits(events)

    def writing(self, what: str, patient_id: str | None) -> AuditEvent:
        """The audit event of a write, for the transaction of the write itself."""
        return audit.write(
            self.user, self.services.clock(), self.address, patient_id=patient_id, what=what
        )

    def doing(self, action: str, reason: str) -> AuditEvent:
        """The audit event of an administrator's act, for the transaction of the act itself."""
        return audit.act(self.user, self.services.clock(), self.address, action=action, what=reason)


_BEARER = HTTPBearer(auto_error=False, description="from POST /api/v1/token", scheme_name="bearer")
_COOKIE = APIKeyCookie(name=COOKIE, auto_error=False, scheme_name="session")


def require(*roles: Role) -> Callable[..., Caller]:
    """A dependency that lets users of `roles` in; an admin may do everything."""

    def caller(
        request: Request,
        services: Annotated[Services, Depends(services_of)],
        _bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
        _cookie: Annotated[str | None, Security(_COOKIE)],
    ) -> Caller:
        user = services.auth.identify(request)
        found = Caller(user, address_of(request), services)
        if user.role is not Role.ADMIN and user.role not in roles:
            _deny(found, request)
            raise NotAllowedError(
                f"expected one of the roles {', '.join(sorted({*roles, Role.ADMIN}))}, "
                f"found {user.role}; ask the administrator"
            )
        return found

    return caller


def _deny(caller: Caller, request: Request) -> None:
    pattern = getattr(request.scope.get("route"), "path", "")
    event = audit.denied(
        caller.user, caller.services.clock(), caller.address, what=f"{request.method} {pattern}"
    )
    caller.services.index.add_audit(event)


Given = Annotated[Services, Depends(services_of)]
Together = Annotated[Parts, Depends(parts_of)]
Reader = Annotated[Caller, Depends(require(Role.CLINICIAN, Role.RADIOLOGIST))]
Writer = Annotated[Caller, Depends(require(Role.CLINICIAN))]
Scientist = Annotated[Caller, Depends(require(Role.CLINICIAN, Role.RADIOLOGIST, Role.RESEARCHER))]
Administrator = Annotated[Caller, Depends(require())]
