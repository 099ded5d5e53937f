"""DICOMweb under /dicom-web: STOW-RS, QIDO-RS and WADO-RS. Every look at a patient is audited."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import structlog
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydicom.uid import UID
from starlette.concurrency import run_in_threadpool

from service import audit
from service.auth import address_of
from service.decoder import Decoder
from service.decoding import Decoding
from service.dicom import bulk_data, dicom_json, multipart, qido, stow, wado
from service.dicom.description import Descriptions, Look
from service.dicom.header import read_file_header, with_preamble
from service.dicom.ingest import Ingest, Taken, count
from service.errors import (
    CarinaError,
    InvalidObjectError,
    NotAcceptableError,
    NotFoundError,
    UsageError,
)
from service.records import Instance, StudySummary, User
from service.store.index import Index
from service.store.objects import ObjectStore

PREFIX = "/dicom-web"
INSTANCE = "/studies/{study_uid}/series/{series_uid}/instances/{sop_instance_uid}"
PIXEL_DATA = "7FE00010"
_HEADERS = (dicom_json.MEDIA_TYPE, "application/json")
_log = structlog.get_logger(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def router(
    index: Index,
    objects: ObjectStore,
    ingest: Ingest,
    user_dependency: Callable[..., User],
    *,
    sender_dependency: Callable[..., User] | None = None,
    max_request_mb: int = 256,
    decoding: Decoding | None = None,
    clock: Callable[[], datetime] = _utc_now,
) -> APIRouter:
    """The DICOMweb endpoints.

    Parameters
    ----------
    user_dependency : gives the user who may read, or raises.
    sender_dependency : gives the user who may store; whoever may read where it is left out.
    decoding : what reads stored objects; a `Decoder` where it is left out.
    """

    decoder = decoding or Decoder()
    descriptions = Descriptions(index, objects, decoder)
    reader = Depends(user_dependency)
    sender = Depends(sender_dependency or user_dependency)

    def visit(request: Request, user: User = reader) -> _Visit:
        return _Visit(index, objects, Look(descriptions), clock, request, user)

    def delivery(request: Request, user: User = sender) -> _Visit:
        return _Visit(index, objects, Look(descriptions), clock, request, user)

    made = APIRouter(prefix=PREFIX, tags=["DICOMweb"])
    _add_store(made, Depends(delivery), ingest, max_request_mb << 20)
    _add_search(made, Depends(visit))
    _add_retrieve(made, Depends(visit))
    _add_pictures(made, Depends(visit), decoder)
    return made


@dataclass(frozen=True, slots=True)
class _Visit:
    """One request of one user: what it asks for, and the audit of what it is shown."""

    index: Index
    objects: ObjectStore
    look: Look
    clock: Callable[[], datetime]
    request: Request
    user: User

    @property
    def base(self) -> str:
        """Address of the service as this client knows it."""
        return str(self.request.base_url).rstrip("/") + PREFIX

    @property
    def address(self) -> str:
        """Network address of the client."""
        return address_of(self.request)

    @property
    def accept(self) -> str:
        """Media types that the client takes."""
        return self.request.headers.get("accept", "").lower()

    def insist_on(self, *kinds: str) -> None:
        """Look whether the client takes what there is (PS3.18 8.7.4).

        Raises
        ------
        NotAcceptableError : it takes none of these media types.
        """
        if not wado.accepts(self.accept, kinds):
            raise NotAcceptableError(
                f"expected {kinds[0]} to be accepted, found other media types alone; ask for it"
            )

    def query(self) -> qido.Query:
        """What the client searches for."""
        return qido.parse(self.request.query_params.multi_items())

    def sees(self, study_uid: str, what: str) -> None:
        """Audit a look at a study, before the data leaves.

        Raises
        ------
        NotFoundError : there is no such study.
        """
        patient_id = self.index.study(study_uid).patient_id
        event = audit.read(
            self.user,
            self.clock(),
            self.address,
            patient_id=patient_id,
            study_uid=study_uid,
            what=what,
        )
        self.index.add_audit(event)

    def sees_list(self, what: str, found: Sequence[StudySummary]) -> None:
        """Audit a look at a list over patients: each patient on it, and the list."""
        events = audit.read_list(
            self.user,
            self.clock(),
            self.address,
            what=what,
            count=len(found),
            patient_ids=(one.patient.patient_id for one in found),
        )
        self.index.add_audits(events)

    def instances(
        self, study_uid: str, series_uid: str = "", sop_instance_uid: str = ""
    ) -> list[Instance]:
        """Instances of a study, a series, or one of them.

        Raises
        ------
        NotFoundError : there is none.
        """
        found = [
            instance
            for instance in self.index.instances(study_uid)
            if series_uid in ("", instance.series_uid)
            and sop_instance_uid in ("", instance.sop_instance_uid)
        ]
        if not found:
            raise NotFoundError("expected stored instances under this address, found none")
        return found

    def address_of(self, instance: Instance) -> str:
        """Where an instance is retrieved from."""
        series = f"{self.base}/studies/{instance.study_uid}/series/{instance.series_uid}"
        return f"{series}/instances/{instance.sop_instance_uid}"


def _add_store(made: APIRouter, delivery: Any, ingest: Ingest, max_bytes: int) -> None:
    async def store(visit: _Visit = delivery) -> Response:
        return await _store(visit, ingest, max_bytes, "")

    async def store_in_study(study_uid: str, visit: _Visit = delivery) -> Response:
        return await _store(visit, ingest, max_bytes, study_uid)

    made.add_api_route("/studies", store, methods=["POST"])
    made.add_api_route("/studies/{study_uid}", store_in_study, methods=["POST"])


async def _store(visit: _Visit, ingest: Ingest, max_bytes: int, study_uid: str) -> Response:
    stored = stow.Stored(visit.base)
    body = stow.parts(
        visit.request.stream(),
        multipart.boundary_of(visit.request.headers.get("content-type", "")),
        max_part_bytes=ingest.max_object_bytes,
        max_bytes=max_bytes,
    )
    async for data in body:
        outcome = await run_in_threadpool(_store_one, visit, ingest, data, study_uid)
        stored.add(outcome)
    if not stored.taken and not stored.refused:
        raise UsageError("expected at least one DICOM object in the request, found none")
    headers = {}
    if any(taken.outcome == "conflict" for taken in stored.taken):
        headers["Warning"] = '299 carina "other bytes under a known SOP Instance UID: kept aside"'
    return JSONResponse(
        stored.answer(), stored.http_status, headers, media_type=dicom_json.MEDIA_TYPE
    )


def _store_one(visit: _Visit, ingest: Ingest, data: bytes, study_uid: str) -> stow.Refused | Taken:
    """Take one object in; what is wrong with it is the matter of its own entry in the answer."""
    source = f"stow:{visit.user.username}"
    data = with_preamble(data)
    names, of_study = _named(data)
    if of_study and study_uid not in ("", of_study):
        count(source, "refused")
        return stow.other_study(*names)
    try:
        return ingest.take(data, source=source, actor=visit.user.username, address=visit.address)
    except CarinaError as error:
        _log.warning("object refused", source=source, why=error.message)
        return stow.refusal(error, *names)


def _named(data: bytes) -> tuple[tuple[str, str], str]:
    """SOP class, SOP instance and study of an object; "" where it is none."""
    try:
        header = read_file_header(data)
    except InvalidObjectError:
        return ("", ""), ""
    return (header["SOPClassUID"], header["SOPInstanceUID"]), header["StudyInstanceUID"]


def _add_search(made: APIRouter, visiting: Any) -> None:
    def search_studies(visit: _Visit = visiting) -> Response:
        visit.insist_on(*_HEADERS)
        query = visit.query()
        found = qido.find_studies(visit.index, query)
        visit.sees_list("QIDO studies", found)
        return _found(
            visit,
            (
                qido.study_json(one, visit.base, _example(visit, one.study.study_uid, query), query)
                for one in found
            ),
        )

    def search_series(visit: _Visit = visiting) -> Response:
        return _search(visit, "", qido.series_json)

    def search_series_of_study(study_uid: str, visit: _Visit = visiting) -> Response:
        return _search(visit, study_uid, qido.series_json)

    def search_instances(visit: _Visit = visiting) -> Response:
        return _search(visit, "", qido.instances_json)

    def search_instances_of_study(study_uid: str, visit: _Visit = visiting) -> Response:
        return _search(visit, study_uid, qido.instances_json)

    def search_instances_of_series(
        study_uid: str, series_uid: str, visit: _Visit = visiting
    ) -> Response:
        return _search(visit, study_uid, qido.instances_json, series_uid)

    made.add_api_route("/studies", search_studies)
    made.add_api_route("/series", search_series)
    made.add_api_route("/studies/{study_uid}/series", search_series_of_study)
    made.add_api_route("/instances", search_instances)
    made.add_api_route("/studies/{study_uid}/instances", search_instances_of_study)
    made.add_api_route(
        "/studies/{study_uid}/series/{series_uid}/instances", search_instances_of_series
    )


def _search(
    visit: _Visit, study_uid: str, describe: qido.Describe, series_uid: str = ""
) -> Response:
    """Search below a study, or below every study that the query names."""
    visit.insist_on(*_HEADERS)
    query = visit.query()
    found = islice(
        _found_below(visit, study_uid, describe, series_uid),
        query.offset,
        query.offset + query.limit,
    )
    return _found(visit, found)


def _found(visit: _Visit, found: Iterable[dicom_json.Json]) -> Response:
    """What a search found, and what PS3.18 8.3.4 wants to be told beside it."""
    told, warnings = list(found), []
    if visit.request.query_params.get("fuzzymatching", "").lower() == "true":
        warnings.append(
            '299 carina "The fuzzymatching parameter is not supported. '
            'Only literal matching has been performed."'
        )
    if len(told) == qido.MAX_RESULTS:
        warnings.append(
            f'299 carina "These are the first {len(told)} results from the offset on. There may '
            'be additional results that can be requested with offset."'
        )
    answer = _json(told)
    if warnings:
        answer.headers["Warning"] = ", ".join(warnings)
    return answer


def _found_below(
    visit: _Visit, study_uid: str, describe: qido.Describe, series_uid: str
) -> Iterator[dicom_json.Json]:
    query = visit.query()
    for uid in _studies_below(visit, study_uid, query):
        held = [i for i in visit.index.instances(uid) if series_uid in ("", i.series_uid)]
        yield from describe(held, visit.base, visit.look.known, qido.below_study(query))


def _studies_below(visit: _Visit, study_uid: str, query: qido.Query) -> Iterator[str]:
    """The study of the address, or those that the query names, page by page; audited."""
    if study_uid:
        with suppress(NotFoundError):  # PS3.18 10.6.3.1: no match is an empty answer
            visit.sees(study_uid, "QIDO")
            yield study_uid
        return
    page = qido.study_part(query)
    while True:
        found = qido.find_studies(visit.index, page)
        visit.sees_list("QIDO", found)
        yield from (one.study.study_uid for one in found)
        if len(found) < page.limit:
            return
        page = replace(page, offset=page.offset + page.limit)


def _add_retrieve(made: APIRouter, visiting: Any) -> None:
    def retrieve_study(study_uid: str, visit: _Visit = visiting) -> Response:
        return _objects(visit, visit.instances(study_uid))

    def retrieve_series(study_uid: str, series_uid: str, visit: _Visit = visiting) -> Response:
        return _objects(visit, visit.instances(study_uid, series_uid))

    def retrieve_instance(
        study_uid: str, series_uid: str, sop_instance_uid: str, visit: _Visit = visiting
    ) -> Response:
        found = visit.instances(study_uid, series_uid, sop_instance_uid)
        if not visit.accept.startswith("application/dicom"):
            return _objects(visit, found)
        visit.sees(study_uid, "WADO object")
        return Response(visit.objects.get(found[0].object_key), media_type="application/dicom")

    def study_metadata(study_uid: str, visit: _Visit = visiting) -> Response:
        return _metadata(visit, visit.instances(study_uid))

    def series_metadata(study_uid: str, series_uid: str, visit: _Visit = visiting) -> Response:
        return _metadata(visit, visit.instances(study_uid, series_uid))

    def instance_metadata(
        study_uid: str, series_uid: str, sop_instance_uid: str, visit: _Visit = visiting
    ) -> Response:
        return _metadata(visit, visit.instances(study_uid, series_uid, sop_instance_uid))

    study, series = "/studies/{study_uid}", "/studies/{study_uid}/series/{series_uid}"
    made.add_api_route(study, retrieve_study)
    made.add_api_route(series, retrieve_series)
    made.add_api_route(INSTANCE, retrieve_instance)
    made.add_api_route(f"{study}/metadata", study_metadata)
    made.add_api_route(f"{series}/metadata", series_metadata)
    made.add_api_route(f"{INSTANCE}/metadata", instance_metadata)


def _objects(visit: _Visit, found: list[Instance]) -> Response:
    visit.insist_on("application/dicom")
    visit.sees(found[0].study_uid, "WADO objects")
    return _multipart(wado.files(visit.objects, found), "application/dicom")


def _metadata(visit: _Visit, found: list[Instance]) -> Response:
    visit.insist_on(*_HEADERS)
    visit.sees(found[0].study_uid, "WADO metadata")
    told, untold = [], []
    for instance in found:
        try:
            described = visit.look.header(instance)
        except (InvalidObjectError, NotFoundError) as error:
            untold.append(error)
        else:
            told.append(dicom_json.addressed(described, f"{visit.address_of(instance)}/bulkdata/"))
    if not told:
        raise untold[0]
    answer = _json(told)
    if untold:
        answer.headers["Warning"] = f'299 carina "objects that cannot be read: {len(untold)}"'
    return answer


def _add_pictures(made: APIRouter, visiting: Any, decoding: Decoding) -> None:
    def retrieve_frames(
        study_uid: str,
        series_uid: str,
        sop_instance_uid: str,
        frames: str,
        visit: _Visit = visiting,
    ) -> Response:
        wanted = _frame_numbers(frames)
        (instance,) = visit.instances(study_uid, series_uid, sop_instance_uid)
        visit.sees(study_uid, "WADO frames")
        data = visit.objects.get(instance.object_key)
        as_stored = wado.wants_stored(visit.accept)
        parts = wado.frames(data, wanted, as_stored=as_stored, decoding=decoding)
        return _multipart(parts, parts[0].content_type.partition(";")[0])

    def retrieve_rendered(
        study_uid: str,
        series_uid: str,
        sop_instance_uid: str,
        *,
        viewport: str = "",
        quality: int = Query(90, ge=1, le=100),
        visit: _Visit = visiting,
    ) -> Response:
        media_type, size = wado.picture_type(visit.accept), _viewport(viewport)
        (instance,) = visit.instances(study_uid, series_uid, sop_instance_uid)
        visit.sees(study_uid, "WADO rendered")
        data = visit.objects.get(instance.object_key)
        picture = wado.rendered(data, media_type, quality, size, decoding)
        return Response(picture, media_type=media_type)

    def retrieve_bulk_data(
        study_uid: str,
        series_uid: str,
        sop_instance_uid: str,
        way: str,
        visit: _Visit = visiting,
    ) -> Response:
        if not bulk_data.WAY.fullmatch(way):
            raise UsageError("expected the address of a value as the metadata tells it")
        (instance,) = visit.instances(study_uid, series_uid, sop_instance_uid)
        visit.sees(study_uid, "WADO bulk data")
        data = visit.objects.get(instance.object_key)
        if way == PIXEL_DATA and UID(instance.transfer_syntax_uid).is_encapsulated:
            parts = wado.frames(data, (), as_stored=True, decoding=decoding)
        else:
            parts = [wado.Part(wado.OCTETS, wado.value(data, way, decoding))]
        if visit.accept.startswith(wado.OCTETS) and len(parts) == 1:
            return Response(parts[0].body, media_type=parts[0].content_type)
        return _multipart(parts, parts[0].content_type.partition(";")[0])

    made.add_api_route(f"{INSTANCE}/frames/{{frames}}", retrieve_frames)
    made.add_api_route(f"{INSTANCE}/bulkdata/{{way:path}}", retrieve_bulk_data)
    made.add_api_route(f"{INSTANCE}/rendered", retrieve_rendered)


def _example(visit: _Visit, study_uid: str, query: qido.Query) -> dicom_json.Json:
    """What a search is told of a study by the header of its first object."""
    instances = visit.index.instances(study_uid)
    return visit.look.known(instances[0], (*qido.OF_STUDY, *query.include)) if instances else {}


def _frame_numbers(text: str) -> list[int]:
    numbers = text.split(",")
    if not all(number.isdecimal() and len(number) < 6 for number in numbers):
        raise UsageError("expected frame numbers like 1 or 1,2,3, found something else")
    return [int(number) for number in numbers]


def _viewport(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    size = text.split(",")[:2]
    if len(size) != 2 or not all(part.isdecimal() and 0 < int(part) <= 8192 for part in size):
        raise UsageError("expected a viewport like 512,512 of at most 8192, found something else")
    return int(size[0]), int(size[1])


def _json(found: Iterable[dicom_json.Json]) -> Response:
    return JSONResponse(list(found), media_type=dicom_json.MEDIA_TYPE)


def _multipart(parts: Iterable[wado.Part], kind: str) -> Response:
    boundary = wado.new_boundary()
    return StreamingResponse(
        wado.multipart(parts, boundary),
        media_type=f'multipart/related; type="{kind}"; boundary={boundary}',
    )
