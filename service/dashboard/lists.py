"""Pages that are lists: the worklist and the model cards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from starlette.responses import RedirectResponse, Response

from service.dashboard import cards, wording, worklist
from service.dashboard.pages import HEADERS
from service.dashboard.visitor import (
    READERS,
    SEE_OTHER,
    PageRoute,
    Visitor,
    anybody,
)

routes = APIRouter(route_class=PageRoute)

PAGE_ROWS = 50
SORTS = {"risk": True, "change": True, "severity": True, "name": False, "ward": False}
"""Columns that sort, and whether the largest comes first when they are first clicked."""

Text = Annotated[str, Query(max_length=100)]
PageNumber = Annotated[int, Query(ge=1, le=100_000)]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the worklist was asked for; makes the links that keep the rest of it."""

    ward: str
    band: str
    search: str
    sort: str
    descending: bool
    page: int

    def link(self, **changes: object) -> str:
        """The address of the same list with something changed; defaults are left out."""
        asked = {
            "ward": self.ward, "band": self.band, "search": self.search, "sort": self.sort,
            "order": "down" if self.descending else "up", "page": self.page, **changes,
        }  # fmt: skip
        usual = {"ward": "", "band": "", "search": "", "sort": "risk", "page": 1}
        if asked["order"] == ("down" if SORTS[str(asked["sort"])] else "up"):
            del asked["order"]
        kept = {key: value for key, value in asked.items() if usual.get(key) != value}
        return f"/?{urlencode(kept)}" if kept else "/"

    def sorted_by(self, column: str) -> str:
        """The address after a click on a column: sorts by it, or turns the order round."""
        down = (not self.descending) if column == self.sort else SORTS[column]
        return self.link(sort=column, order="down" if down else "up", page=1)

    def aria(self, column: str) -> str:
        """`aria-sort` of a column, "" where it does not sort the list."""
        if column != self.sort:
            return ""
        return "descending" if self.descending else "ascending"


def asked(  # noqa: PLR0917  # the parts of one address
    ward: Text = "",
    band: Text = "",
    search: Text = "",
    sort: Text = "risk",
    order: Text = "",
    page: PageNumber = 1,
) -> Asked:
    """Read the address leniently: an unknown column or band is as if it were not there."""
    column = sort if sort in SORTS else "risk"
    known = band if band in wording.BANDS else ""
    return Asked(ward, known, search, column, SORTS[column] if not order else order == "down", page)


@routes.get("/")
def worklist_page(
    visitor: Annotated[Visitor, Depends(anybody)], wanted: Annotated[Asked, Depends(asked)]
) -> Response:
    """Admitted patients, ranked by ventilation risk unless asked otherwise; a search finds all."""
    if visitor.user.role not in READERS:
        return RedirectResponse("/models", SEE_OTHER, HEADERS)
    services = visitor.desk.services
    found, total = services.index.worklist(
        ward=wanted.ward or None,
        band=wanted.band or None,
        search=wanted.search,
        everybody=bool(wanted.search),  # a film alone admits nobody: this is the way to it
        sort=wanted.sort,
        descending=wanted.descending,
        limit=PAGE_ROWS,
        offset=(wanted.page - 1) * PAGE_ROWS,
        now=visitor.now,
    )
    every = timedelta(minutes=services.settings.risk_interval_minutes)
    prepared = worklist.rows(found, visitor.now, visitor.desk.zone, every)
    wards = services.index.wards()
    visitor.saw_list("worklist", len(found), (row.patient.patient_id for row in found))
    return visitor.show(
        "worklist.html",
        entry="worklist",
        list=prepared,
        asked=wanted,
        total=total,
        first=(wanted.page - 1) * PAGE_ROWS + 1,
        pages=max(1, -(-total // PAGE_ROWS)),
        wards=wards,
        bands=wording.BANDS,
    )


@routes.get("/models")
def models_page(visitor: Annotated[Visitor, Depends(anybody)]) -> Response:
    """What each model is, what it was made from, how well it does and where it must not be used."""
    return visitor.show("models.html", cards=cards.served(visitor.desk.services.settings))
