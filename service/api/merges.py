"""Merge patients, and see which identifiers were merged. For administrators."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import ConfigDict

from service.api.dependencies import V1, Administrator
from service.api.patients import Limit, Offset
from service.api.problems import Problem
from service.api.schemas import Identifier, In, Out, Reason

routes = APIRouter(prefix=V1, tags=["merges"])


class MergeIn(In):
    """Two identifiers of one person, and why."""

    merged_id: Identifier
    patient_id: Identifier
    reason: Reason


class MergeOut(Out):
    """An identifier that leads to another patient, and what was moved to them."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    merged_id: str
    patient_id: str
    at: datetime
    actor: str
    reason: str
    moved: dict[str, Any]


class MergesOut(Out):
    """Merged identifiers, newest first."""

    merges: list[MergeOut]


@routes.post("/merges", response_model=MergeOut, responses={404: {"model": Problem},
                                                            409: {"model": Problem}})  # fmt: skip
def merge(sent: MergeIn, caller: Administrator) -> MergeOut:
    """Move everything of `merged_id` to `patient_id`; the old identifier leads there from then on.

    The risk is computed again, and studies that have another prior now are compared again.
    """
    services = caller.services
    done, stale = services.index.merge_patients(
        sent.merged_id, sent.patient_id, sent.reason, caller.doing("merge", sent.reason)
    )
    for study_uid in stale:
        services.arrived(study_uid)
    services.observed(done.patient_id)
    return MergeOut.model_validate(done)


@routes.get("/merges", response_model=MergesOut)
def merges(caller: Administrator, limit: Limit = 100, offset: Offset = 0) -> MergesOut:
    """The merged identifiers, newest first: who merged them, when, why, and what was moved."""
    found = caller.services.index.merges(limit, offset)
    caller.saw_list("merges", len(found), (one.patient_id for one in found))
    return MergesOut(merges=[MergeOut.model_validate(one) for one in found])
