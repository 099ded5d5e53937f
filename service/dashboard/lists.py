"""Pages that are lists: the worklist and the model cards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Final, cast
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from markupsafe import Markup
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
from service.outpatient import OUTCOME
from service.store.worklist import Who

routes = APIRouter(route_class=PageRoute)

PAGE_ROWS = 50
WHO: Final = MappingProxyType(
    {"admitted": "Admitted", "outpatients": "Outpatients", "everybody": "Everybody"}
)


@dataclass(frozen=True, slots=True)
class Order:
    """One way to sort. `down`: whether the largest comes first when it is first chosen."""

    words: str
    down: bool = True

    @property
    def said(self) -> str:
        """The words within a sentence."""
        is_formula = self.words.startswith("SpO")
        return self.words if is_formula else self.words[0].lower() + self.words[1:]


SORTS: Final = MappingProxyType(
    {
        "risk": Order("Risk"),
        "change": Order("Change in 1 h"),
        "course": Order("Change in 48 h"),
        "reason": Order("Strongest reason", down=False),
        "severity": Order("Extent on the film"),
        "trend": Order("Change of the film"),
        "film": Order("Time of the film"),
        "respiratory_rate": Order("Respiratory rate"),
        "spo2": Order("SpO₂", down=False),
        "fio2": Order("Inspired oxygen"),
        "heart_rate": Order("Heart rate"),
        "systolic_bp": Order("Systolic pressure", down=False),
        "temperature": Order("Temperature"),
        "vitals": Order("Time of vital signs", down=False),
        "flags": Order("Flags"),
        "name": Order("Name", down=False),
        "ward": Order("Ward and bed", down=False),
        "admitted": Order("Admission"),
    }
)
OF_COURSE: Final = frozenset({"change", "course"})  # nobody who is not admitted is monitored
USUAL: Final = MappingProxyType({"admitted": "risk", "outpatients": "risk", "everybody": "risk"})
"""What each list is sorted by unless asked otherwise."""
RANKED: Final = MappingProxyType(
    {
        "admitted": "risk of ventilation within 12 h",
        "outpatients": f"risk of {OUTCOME}",
        "everybody": "risk, those who are admitted first",
    }
)

Text = Annotated[str, Query(max_length=100)]
PageNumber = Annotated[int, Query(ge=1, le=100_000)]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the worklist was asked for; makes the links that keep the rest of it."""

    who: Who
    ward: str
    band: str
    search: str
    sort: str
    descending: bool
    page: int

    def link(self, **changes: object) -> str:
        """The address of the same list with something changed; defaults are left out."""
        asked = {
            "who": self.who, "ward": self.ward, "band": self.band, "search": self.search,
            "sort": self.sort, "order": "down" if self.descending else "up", "page": self.page,
            **changes,
        }  # fmt: skip
        sort = USUAL[str(asked["who"])]
        usual = {"who": "admitted", "ward": "", "band": "", "search": "", "sort": sort, "page": 1}
        if asked["order"] == ("down" if SORTS[str(asked["sort"])].down else "up"):
            del asked["order"]
        kept = {key: value for key, value in asked.items() if usual.get(key) != value}
        return f"/?{urlencode(kept)}" if kept else "/"

    def sorted_by(self, column: str) -> str:
        """The address after a click on a column: sorts by it, or turns the order round."""
        down = (not self.descending) if column == self.sort else SORTS[column].down
        return self.link(sort=column, order="down" if down else "up", page=1)

    def aria(self, *columns: str) -> str:
        """`aria-sort` of a heading with these columns, "" where none sorts the list."""
        if self.sort not in columns:
            return ""
        return "descending" if self.descending else "ascending"

    @property
    def listed(self) -> Who:
        """Who is on the list: a film alone admits nobody, a search among the admitted finds all."""
        return "everybody" if self.search and self.who == "admitted" else self.who

    @property
    def sorts(self) -> tuple[str, ...]:
        """Columns that sort this list: the risk of an outpatient has no course."""
        return _sorts(self.who)

    @property
    def ranked(self) -> str:
        """How the list is sorted, in words."""
        if self.sort == "risk" and self.descending:
            return f"ranked by {RANKED[self.listed]}"
        way = "descending" if self.descending else "ascending"
        return f"sorted by {SORTS[self.sort].said}, {way}"


def _sorts(who: Who) -> tuple[str, ...]:
    return tuple(name for name in SORTS if who != "outpatients" or name not in OF_COURSE)


def asked(  # noqa: PLR0917  # the parts of one address
    who: Text = "",
    ward: Text = "",
    band: Text = "",
    search: Text = "",
    sort: Text = "",
    order: Text = "",
    page: PageNumber = 1,
) -> Asked:
    """Read the address leniently: an unknown column or band is as if it were not there."""
    known: Who = "admitted"
    if who in WHO:
        known = cast(Who, who)
    column = sort if sort in _sorts(known) else USUAL[known]
    down = order == "down" if order in {"up", "down"} else SORTS[column].down
    risk = band if band in wording.BANDS and known != "outpatients" else ""
    return Asked(known, ward, risk, search, column, down, page)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the list as everybody sees it."""

    rows: Markup
    patient_ids: tuple[str, ...]
    total: int
    wards: tuple[str, ...]
    at: datetime


@routes.get("/")
def worklist_page(
    visitor: Annotated[Visitor, Depends(anybody)], wanted: Annotated[Asked, Depends(asked)]
) -> Response:
    """Admitted patients, ranked by ventilation risk unless asked otherwise; a search finds all."""
    if visitor.user.role not in READERS:
        return RedirectResponse("/models", SEE_OTHER, HEADERS)
    found = visitor.desk.lists.get(wanted, lambda: _make(visitor, wanted))
    visitor.saw_list("worklist", len(found.patient_ids), found.patient_ids)
    return visitor.show(
        "worklist.html",
        entry="worklist",
        rows=found.rows,
        asked=wanted,
        total=found.total,
        first=(wanted.page - 1) * PAGE_ROWS + 1,
        last=(wanted.page - 1) * PAGE_ROWS + len(found.patient_ids),
        pages=max(1, -(-found.total // PAGE_ROWS)),
        wards=found.wards,
        bands=wording.BANDS,
        sorts=SORTS,
        everyone=WHO,
        now=visitor.desk.zone.shown(found.at, found.at),
    )


def _make(visitor: Visitor, wanted: Asked) -> Page:
    """Read and draw one page."""
    services, now = visitor.desk.services, visitor.now
    every = timedelta(minutes=services.settings.risk_interval_minutes)
    found, total = services.index.worklist(
        ward=wanted.ward or None,
        band=wanted.band or None,
        search=wanted.search,
        who=wanted.listed,
        sort=wanted.sort,
        descending=wanted.descending,
        limit=PAGE_ROWS,
        offset=(wanted.page - 1) * PAGE_ROWS,
        now=now,
        overdue=now - 2 * every,
    )
    drawn = worklist.rows(found, now, visitor.desk.zone, every)
    return Page(
        rows=visitor.desk.pages.part("worklist_rows.html", list=drawn, asked=wanted, sorts=SORTS),
        patient_ids=tuple(row.patient.patient_id for row in found),
        total=total,
        wards=services.index.wards(),
        at=now,
    )


@routes.get("/models")
def models_page(visitor: Annotated[Visitor, Depends(anybody)]) -> Response:
    """What each model is, what it was made from, how well it does and where it must not be used."""
    return visitor.show("models.html", cards=cards.served(visitor.desk.services.settings))
