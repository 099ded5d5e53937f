"""Studies, what the models said of them, and the pictures and arrays behind it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response

from service.api import artifacts
from service.api.dependencies import V1, Caller, Reader
from service.api.patients import Limit, Offset, Text
from service.api.schemas import (
    NO_CONTROL,
    InstanceOut,
    ResultOut,
    ResultsOut,
    StudiesOut,
    StudyDetailOut,
    StudyOut,
)
from service.errors import NotFoundError, UsageError
from service.records import StudyResult

routes = APIRouter(prefix=V1, tags=["studies"])

StudyPath = Annotated[str, Path(min_length=1, max_length=128, pattern=NO_CONTROL)]
ResultPath = Annotated[str, Path(min_length=1, max_length=64, pattern=NO_CONTROL)]
NamePath = Annotated[str, Path(pattern=r"^[a-z0-9_]{1,40}$")]


@routes.get("/studies", response_model=StudiesOut)
def studies(
    caller: Reader, patient_id: Text = "", limit: Limit = 100, offset: Offset = 0
) -> StudiesOut:
    """Studies, newest first, of one patient or of all."""
    found = caller.services.index.studies(patient_id=patient_id or None, limit=limit, offset=offset)
    if patient_id:
        caller.saw(patient_id, f"studies: {len(found)}")
    else:
        caller.saw_list("studies", len(found), (one.patient_id for one in found))
    return StudiesOut(studies=[StudyOut.of(one) for one in found])


@routes.get("/studies/{study_uid}", response_model=StudyDetailOut)
def study(study_uid: StudyPath, caller: Reader) -> StudyDetailOut:
    """One study with its objects and the result in force."""
    index = caller.services.index
    found = index.study(study_uid)
    result = index.current_result(study_uid)
    instances = [
        InstanceOut.model_validate(one, from_attributes=True) for one in index.instances(study_uid)
    ]
    caller.saw(found.patient_id, "study", study_uid)
    return StudyDetailOut(
        **StudyOut.of(found).model_dump(),
        instances=instances,
        result=ResultOut.of(result, current=True) if result else None,
    )


@routes.get(
    "/studies/{study_uid}/artifacts/{name}",
    response_class=Response,
    responses={
        200: {
            "content": {"image/png": {}, "application/x-npz": {}, "application/json": {}},
            "description": "a picture, arrays or outlines",
        }
    },
)
def artifact(
    study_uid: StudyPath,
    name: NamePath,
    caller: Reader,
    form: Annotated[Literal["", "png", "npz", "json"], Query(alias="format")] = "",
) -> Response:
    """One picture, array or outline of the result in force.

    Without `format` it comes as it is kept; a picture can be had as an array too (`npz`).
    """
    services = caller.services
    found = services.index.study(study_uid)
    result = services.index.current_result(study_uid)
    key = result.artifacts.get(name) if result else None
    if key is None:
        names = ", ".join(sorted(result.artifacts)) if result else ""
        raise NotFoundError(
            f"expected an artifact of this study's result ({names or 'it has none'}), found no such"
        )
    caller.saw(found.patient_id, f"artifact {name}", study_uid)
    return artifacts.answer(services.objects.get(key), form)


@routes.get("/results", response_model=ResultsOut)
def results(caller: Reader, patient_id: Text = "", study_uid: Text = "") -> ResultsOut:
    """Results of one patient (those in force, oldest film first) or of one study (all of them)."""
    index = caller.services.index
    if bool(patient_id) == bool(study_uid):
        raise UsageError("expected either patient_id or study_uid, found both or neither")
    if patient_id:
        found = index.patient_results(patient_id)
        caller.saw(patient_id, f"results: {len(found)}")
        return ResultsOut(results=[ResultOut.of(one, current=True) for one in found])
    study = index.study(study_uid)
    found = index.results(study_uid)
    caller.saw(study.patient_id, f"results: {len(found)}", study_uid)
    return ResultsOut(results=[_marked(caller, one) for one in found])


@routes.get("/results/{result_id}", response_model=ResultOut)
def result(result_id: ResultPath, caller: Reader) -> ResultOut:
    """One result, in force or amended since."""
    found = caller.services.index.result(result_id)
    caller.saw(found.patient_id, "result", found.study_uid)
    return _marked(caller, found)


def _marked(caller: Caller, result: StudyResult) -> ResultOut:
    newest = caller.services.index.current_result(result.study_uid)
    return ResultOut.of(result, current=newest is not None and newest.result_id == result.result_id)
