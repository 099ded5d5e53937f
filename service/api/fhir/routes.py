"""The FHIR R4 endpoints: Observation and Bundle in, results and risks out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Body, Path, Query, Request
from fastapi.responses import JSONResponse

from service.api.dependencies import Caller, Given, Reader, Writer
from service.api.fhir import capability, resources
from service.api.fhir.codes import VITAL_SIGNS, fhir_id, identifier_of
from service.api.fhir.intake import Issue, Taken, take
from service.api.fhir.resources import Resource
from service.api.observations import keep
from service.api.problems import FHIR_TYPE, operation_outcome
from service.api.schemas import MOST_OBSERVATIONS, NO_CONTROL, Moment
from service.errors import NotFoundError, UsageError
from service.records import Observation
from service.risk_record import RiskRecord

OUTCOME: dict[int | str, dict[str, Any]] = {
    422: {"description": "OperationOutcome", "content": {FHIR_TYPE: {}}}
}
SEVERITY = "severity-"
T = TypeVar("T")


class FhirAnswer(JSONResponse):
    """JSON in the media type of FHIR."""

    media_type = FHIR_TYPE


routes = APIRouter(
    prefix="/fhir", tags=["fhir"], default_response_class=FhirAnswer, responses=OUTCOME
)

FhirId = Annotated[str, Path(min_length=1, max_length=400, pattern=NO_CONTROL)]
PatientQuery = Annotated[
    str,
    Query(min_length=1, max_length=400, pattern=NO_CONTROL, description="id or Patient/{id}"),
]
Count = Annotated[int, Query(alias="_count", ge=1, le=500)]
Offset = Annotated[int, Query(alias="_offset", ge=0, le=10_000_000)]
Sent = Annotated[dict[str, Any], Body()]


@routes.get("/metadata")
def metadata(services: Given, request: Request) -> FhirAnswer:
    """What this server can do."""
    return FhirAnswer(capability.statement(services.clock(), _base(request)))


@routes.get("/Patient/{patient}")
def read_patient(patient: FhirId, caller: Reader) -> FhirAnswer:
    """One patient."""
    found = caller.services.index.patient(identifier_of(patient))
    caller.saw(found.patient_id, "fhir Patient")
    return FhirAnswer(resources.patient(found))


@routes.post("/Observation", status_code=201)
def create_observation(sent: Sent, caller: Writer, request: Request) -> FhirAnswer:
    """Send one Observation; every value in it is told in the OperationOutcome.

    201 where at least one value is stored, 422 where none is.
    """
    taken = take(sent, caller.services.clock(), _source(caller))
    keep(caller, taken.observations, "fhir Observation")
    headers = {"location": location} if (location := _location(taken, request)) else {}
    return FhirAnswer(_outcome(taken), 201 if taken.observations else 422, headers)


@routes.post("", include_in_schema=False)
@routes.post("/", include_in_schema=False)
@routes.post("/Bundle")
def post_bundle(sent: Sent, caller: Writer, request: Request) -> FhirAnswer:
    """Send a Bundle of Observations.

    A batch stores what can be stored and answers entry by entry; a transaction stores all or,
    where anything is wrong, nothing (422).
    """
    kind, entries = _entries(sent)
    now, source = caller.services.clock(), _source(caller)
    taken = [_entry(entry, now, source) for entry in entries]
    if kind == "transaction" and any(one.issues for one in taken):
        return FhirAnswer(_refusal(taken), 422)
    values = [value for one in taken for value in one.observations]
    keep(caller, values, f"fhir {kind}")
    answers = [_response(one, request) for one in taken]
    return FhirAnswer({"resourceType": "Bundle", "type": f"{kind}-response", "entry": answers})


@routes.get("/Observation")
def search_observations(
    *,
    caller: Reader,
    request: Request,
    patient: PatientQuery,
    category: Annotated[Literal["imaging", "vital-signs", "laboratory"], Query()] = "imaging",
    count: Count = 100,
    offset: Offset = 0,
) -> FhirAnswer:
    """Severity of a patient's studies (newest first); or the values that were sent, by category."""
    patient_id = _patient_id(patient)
    index = caller.services.index
    index.patient(patient_id)
    if category == "imaging":
        results = index.patient_results(patient_id)[::-1]
        found = [resources.severity_observation(one) for one in _page(results, count, offset)]
        total = len(results)
    else:
        vital = category == "vital-signs"
        kept = [
            one
            for one in index.observations(patient_id)[::-1]
            if (one.variable in VITAL_SIGNS) == vital
        ]
        found = [resources.vital_observation(one) for one in _page(kept, count, offset)]
        total = len(kept)
    caller.saw(patient_id, f"fhir Observation {category}: {len(found)}")
    return _searchset(found, total, request, count, offset)


@routes.get("/Observation/{name}")
def read_observation(name: FhirId, caller: Reader) -> FhirAnswer:
    """One Observation: a severity that Carina found, or a value that was sent."""
    index = caller.services.index
    plain = identifier_of(name)
    if plain.startswith(SEVERITY):
        result = index.result(plain.removeprefix(SEVERITY))
        caller.saw(result.patient_id, "fhir Observation", result.study_uid)
        return FhirAnswer(resources.severity_observation(result))
    found = index.observation(plain)
    caller.saw(found.patient_id, "fhir Observation")
    return FhirAnswer(resources.vital_observation(found))


@routes.get("/RiskAssessment")
def search_risks(
    *,
    caller: Reader,
    request: Request,
    patient: PatientQuery,
    since: Annotated[Moment | None, Query(alias="date", description="since then")] = None,
    count: Count = 100,
    offset: Offset = 0,
) -> FhirAnswer:
    """Ventilation risk of a patient, newest first, one resource for each hour."""
    patient_id = _patient_id(patient)
    index = caller.services.index
    index.patient(patient_id)
    hours = _by_hour(index.risks(patient_id, since))
    page = _page(hours, count, offset)
    times = [one.observed_at for risk, _ in page for one in risk.inputs if one.observed_at]
    kept: Sequence[Observation] = ()
    if times:
        kept = index.observations(patient_id, since=min(times), until=max(times))
    found = [resources.risk_assessment(one, kept, amends) for one, amends in page]
    caller.saw(patient_id, f"fhir RiskAssessment: {len(found)}")
    return _searchset(found, len(hours), request, count, offset)


@routes.get("/DiagnosticReport")
def search_reports(
    *,
    caller: Reader,
    request: Request,
    patient: PatientQuery,
    count: Count = 100,
    offset: Offset = 0,
) -> FhirAnswer:
    """What is said of a patient's studies, newest first."""
    patient_id = _patient_id(patient)
    index = caller.services.index
    index.patient(patient_id)
    results = index.patient_results(patient_id)[::-1]
    found = [resources.diagnostic_report(one) for one in _page(results, count, offset)]
    caller.saw(patient_id, f"fhir DiagnosticReport: {len(found)}")
    return _searchset(found, len(results), request, count, offset)


@routes.get("/DiagnosticReport/{name}")
def read_report(name: FhirId, caller: Reader) -> FhirAnswer:
    """What is said of one study."""
    result = caller.services.index.result(identifier_of(name))
    caller.saw(result.patient_id, "fhir DiagnosticReport", result.study_uid)
    return FhirAnswer(resources.diagnostic_report(result))


def _base(request: Request) -> str:
    return f"{str(request.base_url).rstrip('/')}/fhir"


def _source(caller: Caller) -> str:
    return f"fhir:{caller.user.username}"


def _patient_id(patient: str) -> str:
    """The hospital's identifier from `patient=ID` or `patient=Patient/ID`."""
    plain = identifier_of(patient.removeprefix("Patient/"))
    if not plain:
        raise NotFoundError("expected a patient under this identifier, found none")
    return plain


def _page(items: Sequence[T], count: int, offset: int) -> Sequence[T]:
    return items[offset : offset + count]


def _by_hour(records: Sequence[RiskRecord]) -> list[tuple[RiskRecord, bool]]:
    """The last record of each hour, newest first, and whether it replaced an earlier one."""
    last: dict[str, tuple[RiskRecord, bool]] = {}
    for record in records:
        key = resources.hour_identifier(record)
        last[key] = (record, key in last)
    return list(last.values())[::-1]


def _searchset(
    found: Sequence[Resource], total: int, request: Request, count: int, offset: int
) -> FhirAnswer:
    links = {"self": str(request.url)}
    if offset + count < total:
        following = request.url.include_query_params(_count=count, _offset=offset + count)
        links["next"] = str(following)
    return FhirAnswer(resources.bundle("searchset", found, _base(request), total, links))


def _entries(sent: dict[str, Any]) -> tuple[str, list[Any]]:
    kind = sent.get("type")
    entries = sent.get("entry", [])
    if sent.get("resourceType") != "Bundle" or kind not in ("batch", "transaction"):
        raise UsageError("expected a Bundle of type batch or transaction, found something else")
    if not isinstance(entries, list) or len(entries) > MOST_OBSERVATIONS:
        raise UsageError(f"expected a list of at most {MOST_OBSERVATIONS} entries; send less")
    return str(kind), entries


def _entry(entry: object, now: datetime, source: str) -> Taken:
    """One entry of a Bundle: only a POST of an Observation is understood."""
    known: dict[str, Any] = entry if isinstance(entry, dict) else {}
    asked = known.get("request")
    request: dict[str, Any] = asked if isinstance(asked, dict) else {}
    if request.get("method") != "POST" or request.get("url") != "Observation":
        message = "expected the request POST Observation, found another; not stored"
        return Taken((), (Issue("not-supported", message, "Bundle.entry.request"),))
    return take(known.get("resource"), now, source)


def _issues(taken: Taken) -> Iterator[Resource]:
    for issue in taken.issues:
        yield from operation_outcome(issue.code, issue.message, "error", issue.where)["issue"]
    for one in taken.observations:
        message = f"stored {one.variable} as {one.value:g} {one.unit}"
        yield from operation_outcome("informational", message, "information")["issue"]


def _outcome(taken: Taken) -> Resource:
    return {"resourceType": "OperationOutcome", "issue": list(_issues(taken))}


def _refusal(taken: Sequence[Taken]) -> Resource:
    """Why a transaction was refused: the errors of all entries, each with its place."""
    issues = [
        operation_outcome(
            issue.code, issue.message, "error", f"Bundle.entry[{number}].resource/{issue.where}"
        )["issue"][0]
        for number, one in enumerate(taken)
        for issue in one.issues
    ]
    return {"resourceType": "OperationOutcome", "issue": issues[:200]}


def _location(taken: Taken, request: Request) -> str:
    if not taken.observations:
        return ""
    return f"{_base(request)}/Observation/{fhir_id(taken.observations[0].observation_id)}"


def _response(taken: Taken, request: Request) -> Resource:
    stored = bool(taken.observations)
    response: Resource = {
        "status": "201 Created" if stored else "422 Unprocessable Entity",
        "outcome": _outcome(taken),
    }
    if stored:
        response["location"] = _location(taken, request)
    return {"response": response}
