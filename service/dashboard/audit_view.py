"""The audit page: who did what to which patient's data, searched and paged."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from service.dashboard.moments import Zone
from service.dashboard.visitor import PageRoute, Visitor, administrator
from service.records import AuditEvent
from service.store.index import Index

routes = APIRouter(route_class=PageRoute)

ROWS = 100
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2999, 12, 31)

Text = Annotated[str, Query(max_length=100)]
PageNumber = Annotated[int, Query(ge=1, le=100_000)]


@dataclass(frozen=True, slots=True)
class Search:
    """What the audit was searched for, as it was typed; "" where anything will do.

    `first` and `last` are whole days of the hospital, both included, as YYYY-MM-DD.
    """

    patient: str = ""
    actor: str = ""
    action: str = ""
    study: str = ""
    first: str = ""
    last: str = ""

    def link(self, page: int) -> str:
        """The address of another page of the same search."""
        kept = {name: value for name, value in asdict(self).items() if value}
        return f"/audit?{urlencode(kept | {'page': page})}"


def search(  # noqa: PLR0917  # the parts of one address
    patient: Text = "",
    actor: Text = "",
    action: Text = "",
    study: Text = "",
    first: Text = "",
    last: Text = "",
) -> Search:
    """Read the address."""
    typed = (patient, actor, action, study, first, last)
    return Search(*(one.strip() for one in typed))


@routes.get("/audit")
def audit_page(
    visitor: Annotated[Visitor, Depends(administrator)],
    wanted: Annotated[Search, Depends(search)],
    page: PageNumber = 1,
) -> Response:
    """Who did what to which patient's data, newest first."""
    index, zone = visitor.desk.services.index, visitor.desk.zone
    unread = [day for day in (wanted.first, wanted.last) if day and _day(day) is None]
    found = () if unread else _found(index, zone, wanted, page)
    visitor.saw_list("audit", min(len(found), ROWS))
    return visitor.show(
        "audit.html",
        events=[(one, zone.exact(one.at)) for one in found[:ROWS]],
        wanted=wanted,
        unread=unread,
        page=page,
        more=len(found) > ROWS,
    )


def _found(index: Index, zone: Zone, wanted: Search, page: int) -> tuple[AuditEvent, ...]:
    """The rows of one page, and one more where there is a next page."""
    last = _day(wanted.last)
    return index.audits(
        patient_id=wanted.patient or None,
        actor=wanted.actor or None,
        action=wanted.action or None,
        study_uid=wanted.study or None,
        since=_midnight(_day(wanted.first), zone),
        before=_midnight(last + timedelta(days=1) if last else None, zone),
        limit=ROWS + 1,
        offset=(page - 1) * ROWS,
    )


def _day(typed: str) -> date | None:
    """The day, None where it is not one that an audit can have."""
    try:
        day = date.fromisoformat(typed)
    except ValueError:
        return None
    return day if FIRST_DAY <= day <= LAST_DAY else None


def _midnight(day: date | None, zone: Zone) -> datetime | None:
    """When the day begins on the ward's clock."""
    return None if day is None else datetime.combine(day, time(), zone.rules)
