"""The pages of readers: films in order of worth with the figures of agreement, and the review."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from service import audit
from service.auth import address_of
from service.dashboard import film, review, severity, study, wording, worklist
from service.dashboard.pages import HEADERS, segment
from service.dashboard.visitor import SEE_OTHER, STUDY_PAGE, PageRoute, Visitor, reviewer
from service.errors import NotFoundError
from service.records import Review, StudyResult
from service.review import agreement, judgement, mask, order

routes = APIRouter(route_class=PageRoute)

PAGE_ROWS = 50
MOST_FIELDS = 64


async def sent(request: Request) -> FormData:
    """The fields of the form; its length is bounded for all requests alike."""
    return await request.form(max_files=0, max_fields=MOST_FIELDS)


Reviewer = Annotated[Visitor, Depends(reviewer)]


@routes.get("/reviews")
def reviews_page(visitor: Reviewer, page: Annotated[int, Query(ge=1, le=100_000)] = 1) -> Response:
    """Films in the order in which a review would teach the model most, and how readers agree."""
    index = visitor.desk.services.index
    worths = order.ranked(index.review_cases(order.MOST_CASES), visitor.user.username)
    shown = worths[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]
    reviews = index.reviews()
    found = agreement.agreement(reviews)
    visitor.saw_list("reviews", len(shown), (one.case.result.patient_id for one in shown))
    return visitor.show(
        "reviews.html",
        rows=review.rows(shown, visitor.now, visitor.desk.zone),
        total=len(worths),
        done=sum(one.done for one in worths),
        first=(page - 1) * PAGE_ROWS + 1,
        page=page,
        pages=max(1, -(-len(worths) // PAGE_ROWS)),
        kept=len(reviews),
        scores=review.agreement_rows(found.scores),
        contours=review.contour_rows(found.contours),
        fewest=agreement.FEWEST_PATIENTS,
    )


@routes.get("/studies/{study_uid:path}/review/field/{name}")
def field(visitor: Reviewer, study_uid: str, name: str) -> Response:
    """The model's probability of one structure over the film: what a click works with."""
    services = visitor.desk.services
    found = services.index.study(study_uid)
    result = services.index.current_result(study_uid)
    if result is None:
        raise NotFoundError("This study has no result.")
    pixels = mask.field(services.objects, result, name)
    visitor.saw_part(found.patient_id, study_uid, f"structure {name}")
    return Response(mask.png(pixels), 200, HEADERS, "image/png")


@routes.get("/studies/{study_uid:path}/review")
def review_page(visitor: Reviewer, study_uid: str) -> Response:
    """One film to be judged: scores, contours, comment."""
    services, zone, now = visitor.desk.services, visitor.desk.zone, visitor.now
    index = services.index
    found = index.study(study_uid)
    result = index.current_result(study_uid)
    who = index.patient(found.patient_id)
    visitor.saw(found.patient_id, STUDY_PAGE, study_uid)
    if result is None or not judgement.reviewable(result):
        raise NotFoundError("This study has no film to review yet.")
    every = index.reviews(study_uid=study_uid, superseded=True)
    own = next((one for one in reversed(every) if _mine(one, visitor, result)), None)
    return visitor.show(
        "review.html",
        entry="review",
        person=worklist.person(who, now, zone),
        study=found,
        result=result,
        taken=zone.whole(result.acquired_at) if result.acquired_at else "time not in the film",
        severity=severity.present(result, now, zone),
        fields=review.fields(result, own),
        verdicts=review.VERDICTS,
        comment=own.comment if own else "",
        own_contours=[(one.name, wording.structure(one.name)) for one in own.contours]
        if own
        else [],
        structures=study.structure_rows(result.structures) if mask.can_draw(result) else (),
        notes=review.notes(every, result, now, zone),
        longest=judgement.LONGEST_COMMENT,
        data=_data(visitor, result),
    )


def _mine(one: Review, visitor: Visitor, result: StudyResult) -> bool:
    """Whether a review is this reader's in force, of the result on the page."""
    mine = one.reader == visitor.user.username and one.superseded_by is None
    return mine and one.result_id == result.result_id


def _data(visitor: Visitor, result: StudyResult) -> dict[str, object]:
    """What the script of the page is told."""
    objects = visitor.desk.services.objects
    note = result.artifacts.get("viewer")
    size = film.size(
        objects.get(note) if note else None, lambda: objects.get(result.artifacts["film"])
    )
    caption = visitor.desk.zone.whole(result.acquired_at) if result.acquired_at else ""
    viewer = study.viewer_data(result, None, {"film": size}, {"film": caption, "prior": ""})
    here = f"/studies/{segment(result.study_uid)}/review/field/"
    return {"viewer": viewer, "field_url": here if mask.can_draw(result) else None}


@routes.post("/studies/{study_uid:path}/review")
def keep_review(
    visitor: Reviewer, study_uid: str, form: Annotated[FormData, Depends(sent)]
) -> Response:
    """Keep a review, then back to the film or on to the next one."""
    services = visitor.desk.services
    plain = {key: value for key, value in form.items() if isinstance(value, str)}
    kept = [one for one in form.getlist("kept_contour") if isinstance(one, str)]
    given = review.posted(plain, plain.get("contours", ""), kept)
    result = judgement.seen(services.index, study_uid, given.result_id)
    name, now = visitor.user.username, visitor.now
    event = audit.write(
        visitor.user, now, address_of(visitor.request), patient_id=result.patient_id, what="review"
    )
    fresh = judgement.blank(result, name, now, str(uuid.uuid4()))
    judgement.keep(services.index, services.objects, fresh, given, event)
    return RedirectResponse(_after(visitor, study_uid, plain), SEE_OTHER, HEADERS)


def _after(visitor: Visitor, study_uid: str, form: dict[str, str]) -> str:
    """Where to go: the next film where it was asked for and there is one, else the study."""
    if form.get("then") == "next":
        cases = visitor.desk.services.index.review_cases(order.MOST_CASES)
        for one in order.ranked(cases, visitor.user.username):
            if not one.done:
                return f"/studies/{segment(one.case.result.study_uid)}/review"
        return "/reviews"
    return f"/studies/{segment(study_uid)}"
