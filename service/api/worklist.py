"""The ward at a glance, and the audit trail for the administrator."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from service.api.access import AuditOut, AuditsOut
from service.api.bedside import WorklistOut, WorklistRowOut
from service.api.dependencies import V1, Administrator, Reader
from service.api.patients import Limit, Offset, Text
from service.api.schemas import Moment
from service.store.worklist import Sort, Who

routes = APIRouter(prefix=V1)


@routes.get("/worklist", response_model=WorklistOut, tags=["worklist"])
def worklist(
    *,
    caller: Reader,
    ward: Text = "",
    band: Literal["", "high", "medium", "low", "unknown"] = "",
    search: Text = "",
    who: Who = "admitted",
    sort: Sort = "risk",
    descending: bool = True,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Offset = 0,
) -> WorklistOut:
    """Admitted patients, ranked by ventilation risk unless asked otherwise.

    Sorts: `risk` is the ventilation risk of those who are admitted, who come first, and the
    outpatient risk of the others; `change` is against an hour before, `course` against the first
    risk within 48 hours; `vitals` is the moment of the newest value, `film` that of the
    newest film, `trend` its change, `flags` how much the row asks for a look; the others are
    values.
    """
    now = caller.services.clock()
    every = timedelta(minutes=caller.services.settings.risk_interval_minutes)
    rows, total = caller.services.index.worklist(
        ward=ward or None,
        band=band or None,
        search=search,
        who=who,
        sort=sort,
        descending=descending,
        limit=limit,
        offset=offset,
        now=now,
        overdue=now - 2 * every,
    )
    caller.saw_list("worklist", len(rows), (row.patient.patient_id for row in rows))
    return WorklistOut(total=total, now=now, rows=[WorklistRowOut.of(row, now) for row in rows])


@routes.get("/audits", response_model=AuditsOut, tags=["audit"])
def audits(
    *,
    caller: Administrator,
    patient_id: Text = "",
    study_uid: Text = "",
    actor: Text = "",
    action: Text = "",
    since: Moment | None = None,
    before: Moment | None = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> AuditsOut:
    """Who did what to which patient's data, newest first. For administrators.

    Each filter matches whole; `since` is included, `before` is not.
    """
    found = caller.services.index.audits(
        patient_id=patient_id or None,
        study_uid=study_uid or None,
        actor=actor or None,
        action=action or None,
        since=since,
        before=before,
        limit=limit,
        offset=offset,
    )
    caller.saw_list("audits", len(found))
    return AuditsOut(audits=[AuditOut.model_validate(one) for one in found])
