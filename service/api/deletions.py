"""Delete studies, and see which were deleted. For administrators."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import ConfigDict, StringConstraints

from service.api.dependencies import V1, Administrator
from service.api.patients import Limit, Offset
from service.api.problems import Problem
from service.api.schemas import NO_CONTROL, In, Out, Reason
from service.errors import OutOfResourcesError
from service.store.deletions import sweep

routes = APIRouter(prefix=V1, tags=["deletions"])


class DeletionIn(In):
    """A study, and why it is to be deleted."""

    study_uid: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=NO_CONTROL)]
    reason: Reason


class DeletionOut(Out):
    """A study that was deleted."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    study_uid: str
    patient_id: str
    at: datetime
    actor: str
    reason: str


class DeletionsOut(Out):
    """Deleted studies, newest first."""

    deletions: list[DeletionOut]


@routes.post("/deletions", response_model=DeletionOut, responses={404: {"model": Problem}})
def delete(sent: DeletionIn, caller: Administrator) -> DeletionOut:
    """Delete a study with its objects, results, reviews and reports; it cannot be brought back.

    Later studies that were compared with it are judged again. Sent again, it is a new study.
    """
    services = caller.services
    done, stale = services.index.delete_study(
        sent.study_uid, sent.reason, caller.doing("delete", sent.reason)
    )
    with suppress(OutOfResourcesError):  # the bytes that are left now go with the next sweep
        sweep(services.index, services.objects)
    for study_uid in stale:
        services.arrived(study_uid)
    services.observed(done.patient_id)
    return DeletionOut.model_validate(done)


@routes.get("/deletions", response_model=DeletionsOut)
def deletions(caller: Administrator, limit: Limit = 100, offset: Offset = 0) -> DeletionsOut:
    """The deleted studies, newest first: who deleted them, when and why."""
    found = caller.services.index.deletions(limit, offset)
    caller.saw_list("deletions", len(found), (one.patient_id for one in found))
    return DeletionsOut(deletions=[DeletionOut.model_validate(one) for one in found])
