"""The study page and the pictures that its viewer asks for."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from service.dashboard import film, review, severity, study, worklist
from service.dashboard.amendment import amendments
from service.dashboard.film import FilmSize
from service.dashboard.moments import Zone
from service.dashboard.pages import HEADERS
from service.dashboard.visitor import REVIEWERS, STUDY_PAGE, PageRoute, Visitor, reader
from service.errors import NotFoundError
from service.records import StudyResult
from service.review import judgement
from service.store.objects import ObjectStore

routes = APIRouter(route_class=PageRoute)

RAW = ("film", "aligned_prior")
ALIGNED = {"aligned_prior", "difference", "change_map"}  # shown only past the gate
OUTLINES = ("contours", "zones")


@routes.get("/studies/{study_uid:path}/artifacts/{name}")
def artifact(visitor: Annotated[Visitor, Depends(reader)], study_uid: str, name: str) -> Response:
    """A film at full depth, an overlay, contours, or the preview that needs no script."""
    services = visitor.desk.services
    found = services.index.study(study_uid)
    result = services.index.current_result(study_uid)
    key = result.artifacts.get("film" if name == "preview" else name) if result else None
    if result is None or key is None or not _allowed(result, name):
        raise NotFoundError("This study has no such picture.")
    visitor.saw_part(found.patient_id, study_uid, f"artifact {name}")
    if name in RAW:
        packed = visitor.desk.films.packed(key)
        sizes = {"x-width": str(packed.width), "x-height": str(packed.height)}
        headers = {**HEADERS, "content-encoding": "gzip", **sizes}
        return Response(packed.gzipped, 200, headers, "application/octet-stream")
    data = services.objects.get(key)
    if name == "preview":
        return Response(film.preview(data), 200, HEADERS, "image/png")
    media_type = "application/json" if name in OUTLINES else "image/png"
    return Response(data, 200, HEADERS, media_type)


def _allowed(result: StudyResult, name: str) -> bool:
    """Overlays only of a film with a score, aligned pictures only after the gate."""
    if name in {"film", "preview"}:
        return True
    aligned = result.change is not None and result.change.aligned
    permitted = {"heat", *OUTLINES} | (ALIGNED if aligned else set())
    return result.status == "ok" and name in permitted


@routes.get("/studies/{study_uid:path}")
def study_page(visitor: Annotated[Visitor, Depends(reader)], study_uid: str) -> Response:
    """One study: the film in the viewer, the score with its zones, the prior beside it."""
    index, zone, now = visitor.desk.services.index, visitor.desk.zone, visitor.now
    found = index.study(study_uid)
    who = index.patient(found.patient_id)
    visitor.saw(found.patient_id, STUDY_PAGE, study_uid)
    results = index.results(study_uid)
    result = results[-1] if results else None
    change = result.change if result else None
    prior = index.current_result(change.prior_study_uid) if change else None
    said = severity.present(result, now, zone)
    reviews = index.reviews(study_uid=study_uid, superseded=True)
    return visitor.show(
        "study.html",
        entry="study",
        person=worklist.person(who, now, zone),
        patient=who,
        study=found,
        result=result,
        taken=zone.whole(found.acquired_at) if found.acquired_at else "time not in the film",
        received=zone.whole(found.received_at),
        scored=zone.whole(result.created_at) if result else "",
        severity=said,
        prior_severity=severity.present(prior, now, zone),
        change=said.change if said else None,
        prior_uid=change.prior_study_uid if change else "",
        zones=study.zone_scores(result, prior) if result else (),
        map_note=study.map_note(change) if said and said.change else "",
        zone_changes=study.zone_changes(change) if said and said.change else (),
        structures=study.structure_rows(result.structures) if result else (),
        measures=study.measures(result.structures) if result else (),
        amendments=amendments(results, now, zone),
        notes=review.notes(reviews, result, now, zone),
        may_review=visitor.user.role in REVIEWERS and judgement.reviewable(result),
        viewer=_viewer(visitor.desk.services.objects, result, prior, zone) if result else None,
    )


def _viewer(
    objects: ObjectStore, result: StudyResult, prior: StudyResult | None, zone: Zone
) -> dict[str, object] | None:
    sizes: dict[str, FilmSize] = {}
    captions: dict[str, str] = {}
    for name, one in (("film", result), ("prior", prior)):
        if one is None or "film" not in one.artifacts:
            continue
        note = one.artifacts.get("viewer")
        whole = partial(objects.get, one.artifacts["film"])
        sizes[name] = film.size(objects.get(note) if note else None, whole)
        captions[name] = zone.whole(one.acquired_at) if one.acquired_at else "time not known"
    return study.viewer_data(result, prior, sizes, captions)
