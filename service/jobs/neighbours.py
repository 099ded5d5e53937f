"""The scored studies of a patient before and after one, which are compared with it."""

from __future__ import annotations

from datetime import datetime

from service.errors import NotFoundError
from service.records import Study, StudyResult
from service.store.index import Index

Moment = tuple[datetime, datetime, str]
"""What orders studies: when taken, and where that is the same when received, and the UID."""


def priors(index: Index, study: Study) -> tuple[StudyResult, ...]:
    """The results in force of the earlier studies of the patient that could be scored."""
    return tuple(result for _, result in _neighbours(index, study, earlier=True))


def newest_prior(index: Index, study: Study) -> StudyResult | None:
    """The result in force of the newest earlier study of the patient that could be scored."""
    return max(_neighbours(index, study, earlier=True), default=(None, None))[1]


def next_study(index: Index, study: Study) -> StudyResult | None:
    """The result in force of the next later study of the patient: it compares with this one."""
    return min(_neighbours(index, study, earlier=False), default=(None, None))[1]


def _moment(study: Study) -> Moment:
    """When a study was taken; some films only tell the day."""
    return study.acquired_at or study.received_at, study.received_at, study.study_uid


def _neighbours(index: Index, study: Study, *, earlier: bool) -> list[tuple[Moment, StudyResult]]:
    """Scored studies of the patient before (or after) this one, with their moments."""
    here = _moment(study)
    found = []
    for result in index.patient_results(study.patient_id):
        if result.status != "ok":
            continue
        try:
            there = _moment(index.study(result.study_uid))
        except NotFoundError:  # deleted since it was listed
            continue
        if there < here if earlier else there > here:
            found.append((there, result))
    return found
