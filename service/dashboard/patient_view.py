"""The patient page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from service.dashboard import (
    figures,
    film,
    origins,
    patient,
    review,
    risk,
    severity,
    summary,
    worklist,
)
from service.dashboard.amendment import Amendment, amendment
from service.dashboard.course import Window, course
from service.dashboard.pages import HEADERS, segment
from service.dashboard.visitor import PageRoute, Visitor, reader
from service.outpatient import aged
from service.records import Observation, StudyResult
from service.risk_record import RiskRecord
from service.store.risks import hour_earlier

routes = APIRouter(route_class=PageRoute)

MOST_STUDIES = 200
SPANS = {"1": "24 h", "3": "3 days", "14": "14 days", "all": "All"}


@routes.get("/patients/{patient_id:path}/summary.pdf")
def patient_summary(visitor: Annotated[Visitor, Depends(reader)], patient_id: str) -> Response:
    """What the page says of the patient now, on A4."""
    page = _page(visitor, patient_id, "patient summary")
    change = page["change"]
    steady = change is not None and abs(change) < risk.LEAST_CHANGE
    points = "steady over 1 h" if steady else f"{figures.signed(100 * (change or 0))} points in 1 h"
    drawn = summary.pdf(
        summary.Summary(
            person=page["person"],
            made=visitor.desk.zone.whole(visitor.now),
            by=visitor.user.username,
            admitted=page["admitted"],
            ventilated=page["ventilated"],
            risk=page["risk"],
            change="" if change is None else points,
            account=page["account"],
            companions=page["companions"],
            severity=page["severity"],
            films=page["films"],
            amended=page["amended"].get(page["newest_study"]),
            picture=_picture(visitor, page["newest"]),
        )
    )
    headers = {**HEADERS, "content-disposition": 'inline; filename="summary.pdf"'}
    return Response(drawn, 200, headers, "application/pdf")


@routes.get("/patients/{patient_id:path}")
def patient_page(
    visitor: Annotated[Visitor, Depends(reader)],
    patient_id: str,
    at: Annotated[str, Query(max_length=64)] = "",
    span: Annotated[str, Query(max_length=4)] = "3",
) -> Response:
    """One patient: risk and why, severity, vital signs and films on one time axis."""
    page = _page(visitor, patient_id, "patient page", at, span)
    return visitor.show("patient.html", **page)


def _page(
    visitor: Visitor, patient_id: str, what: str, at: str = "", span: str = "3"
) -> dict[str, Any]:
    """What the template needs; the look at the patient is audited as `what`."""
    index, zone, now = visitor.desk.services.index, visitor.desk.zone, visitor.now
    who = index.patient(patient_id)
    visitor.saw(patient_id, what)
    results = index.patient_results(patient_id)
    studies = index.studies(patient_id=patient_id, limit=MOST_STUDIES)
    earliest = min((one.acquired_at for one in results if one.acquired_at), default=None)
    begins = patient.since(span, now, who, earliest)
    observations = index.observations(patient_id, since=begins)
    newest = index.current_risk(patient_id)
    risks = index.risks(patient_id, since=begins) or ((newest,) if newest else ())
    if at and all(one.risk_id != at for one in risks):  # an older link still leads to its hour
        risks = index.risks(patient_id)
    shown = patient.hours(risks, at)
    every = timedelta(minutes=visitor.desk.services.settings.risk_interval_minutes)
    moment = shown.shown.at if shown.shown and not shown.newest else now
    drawn = course(who, risks, results, observations, Window(begins, now, zone))
    said = risk.present(who, newest, now, zone, every)
    hour = risk.present(who, shown.shown, moment, zone, every)
    explained = shown.shown
    if not who.is_admitted:
        outside = index.outpatient_risk(patient_id)
        said = risk.outpatient(outside, now, zone)
        newest = None  # of a stay that is over
        if not at:
            shown, hour = patient.outside(risks), said
            explained = aged(outside, now) if outside else None
    here = f"/patients/{segment(patient_id)}"
    return {
        "entry": "patient",
        "person": worklist.person(who, now, zone),
        "patient": who,
        "admitted": zone.shown(who.admitted_at, now) if who.admitted_at else "",
        "ventilated": zone.shown(who.ventilated_since, now) if who.ventilated_since else "",
        "risk": said,
        "interval": patient.interval_of(said),
        "change": _change(risks, newest) if said.figure else None,
        "hours": shown,
        "hour": hour,
        "hour_at": zone.whole(explained.at) if explained else "",
        "account": patient.account(explained, moment, zone),
        "origins": origins.origins(explained, results, _finder(visitor, patient_id), zone),
        "companions": [patient.beside(one) for one in newest.companions] if newest else [],
        "severity": severity.present(results[-1], now, zone) if results else None,
        "amended": _amended(visitor, results),
        "notes": _notes(visitor, results[-1]) if results else (),
        "newest": results[-1] if results else None,
        "newest_study": results[-1].study_uid if results else "",
        "films": patient.films(studies, results, now, zone),
        "course": drawn,
        "data": drawn.data(zone, [(one.at, f"{here}?at={one.risk_id}") for one in risks]),
        "here": here,
        "span": span if span in SPANS else "all",
        "spans": SPANS,
    }


def _picture(visitor: Visitor, newest: StudyResult | None) -> bytes | None:
    """The newest film as it is shown without scripts, where it has a score."""
    key = newest.artifacts.get("film") if newest and newest.status == "ok" else None
    return film.preview(visitor.desk.services.objects.get(key)) if key else None


def _finder(visitor: Visitor, patient_id: str) -> origins.Find:
    """Looks up values of this patient as they were kept."""
    index = visitor.desk.services.index

    def find(variable: str, at: datetime) -> Observation | None:
        found = index.observations(patient_id, variable=variable, since=at, until=at)
        return found[-1] if found else None

    return find


def _amended(visitor: Visitor, results: Sequence[StudyResult]) -> dict[str, Amendment]:
    """The last amendment of each study that has one."""
    index, zone, now = visitor.desk.services.index, visitor.desk.zone, visitor.now
    return {
        one.study_uid: amendment(
            index.result(one.supersedes), one, now, zone, scores=one.status == "ok"
        )
        for one in results
        if one.supersedes is not None
    }


def _notes(visitor: Visitor, newest: StudyResult) -> tuple[review.Note, ...]:
    """What readers say of the newest film, each reader's last word."""
    reviews = visitor.desk.services.index.reviews(study_uid=newest.study_uid)
    return review.notes(reviews, newest, visitor.now, visitor.desk.zone)


def _change(risks: tuple[RiskRecord, ...], newest: RiskRecord | None) -> float | None:
    """Change against about one hour earlier, as on the worklist; None without such a record."""
    if newest is None or newest.probability is None:
        return None
    course = [(one.at, one.probability) for one in risks if one.probability is not None]
    earlier = hour_earlier(newest.at, course)
    return None if earlier is None else newest.probability - earlier
