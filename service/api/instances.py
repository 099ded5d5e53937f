"""Objects that were kept but are not used: undecodable ones and those in conflict."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from service.api.dependencies import V1, Administrator
from service.api.patients import Limit, Offset
from service.api.schemas import InstanceOut, Out

routes = APIRouter(prefix=V1, tags=["studies"])


class KeptOut(InstanceOut):
    """One DICOM object, with the study and the patient that it names."""

    study_uid: str
    patient_id: str


class InstancesOut(Out):
    """Objects in one state, the last received first."""

    instances: list[KeptOut]


@routes.get("/instances", response_model=InstancesOut)
def instances(
    caller: Administrator,
    state: Annotated[Literal["undecodable", "conflict"], Query()],
    limit: Limit = 100,
    offset: Offset = 0,
) -> InstancesOut:
    """Objects that cannot be decoded, or that were kept aside as a conflict."""
    found = caller.services.index.instances_in(state, limit, offset)
    caller.saw_list(f"{state} objects", len(found), (patient_id for _, patient_id in found))
    kept = [
        KeptOut(
            **InstanceOut.model_validate(one).model_dump(),
            study_uid=one.study_uid,
            patient_id=patient_id,
        )
        for one, patient_id in found
    ]
    return InstancesOut(instances=kept)
