"""Patients: who they are, where they lie, and their risk over time."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.exceptions import RequestValidationError

from service.api.bedside import OutpatientRiskOut, RiskOut, RisksOut
from service.api.dependencies import V1, Caller, Reader, Writer
from service.api.schemas import NO_CONTROL, Moment, PatientIn, PatientOut, PatientsOut
from service.errors import NotFoundError
from service.records import Patient

routes = APIRouter(prefix=V1, tags=["patients"])

PatientPath = Annotated[str, Path(min_length=1, max_length=64, pattern=NO_CONTROL)]
Text = Annotated[str, Query(max_length=64, pattern=NO_CONTROL)]
Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0, le=10_000_000)]


@routes.get("/patients", response_model=PatientsOut)
def patients(
    *,
    caller: Reader,
    search: Text = "",
    ward: Text = "",
    admitted: bool | None = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> PatientsOut:
    """Patients by identifier; `search` looks in names and identifiers."""
    found = caller.services.index.patients(
        search=search, ward=ward or None, admitted=admitted, limit=limit, offset=offset
    )
    caller.saw_list("patients", len(found), (one.patient_id for one in found))
    return PatientsOut(patients=[PatientOut.of(one) for one in found])


@routes.get("/patients/{patient_id:path}/risk", response_model=RisksOut)
def risk(patient_id: PatientPath, caller: Reader, since: Moment | None = None) -> RisksOut:
    """Ventilation risk of one patient over time, oldest first, with its contributions.

    Beside it the outpatient risk of somebody who is not admitted.
    """
    index = caller.services.index
    index.patient(patient_id)
    found = index.risks(patient_id, since)
    caller.saw(patient_id, "risk")
    outside = index.outpatient_risk(patient_id)
    return RisksOut(
        risks=[RiskOut.of(one) for one in found],
        outpatient=OutpatientRiskOut.of(outside, caller.services.clock()) if outside else None,
    )


@routes.get("/patients/{patient_id:path}", response_model=PatientOut)
def patient(patient_id: PatientPath, caller: Reader) -> PatientOut:
    """One patient."""
    found = caller.services.index.patient(patient_id)
    caller.saw(patient_id, "patient")
    return PatientOut.of(found)


@routes.put("/patients/{patient_id:path}", response_model=PatientOut)
def put_patient(patient_id: PatientPath, sent: PatientIn, caller: Writer) -> PatientOut:
    """Make a patient known, or change ward, admission, ventilation or demographics.

    A field that is left out keeps its value, null empties it. The risk is computed again.
    """
    while True:
        known = _known(caller, patient_id)
        changed = replace(known, **sent.applied(known))
        _check_order(changed)
        audit = caller.writing("patient", patient_id)
        if caller.services.index.put_patient(changed, audit, over=known):
            break
    caller.services.observed(patient_id)
    return PatientOut.of(changed)


def _known(caller: Caller, patient_id: str) -> Patient:
    try:
        return caller.services.index.patient(patient_id)
    except NotFoundError:
        return Patient(patient_id)


def _check_order(patient: Patient) -> None:
    if not (patient.admitted_at and patient.discharged_at):
        return
    if patient.discharged_at < patient.admitted_at:
        fault = {"loc": ("body", "discharged_at"), "msg": "expected a time after admitted_at"}
        raise RequestValidationError([fault])
