"""The contract of the reviews: the same tests on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service.errors import ConflictError, NotFoundError
from service.records import (
    AuditEvent,
    ContourReview,
    Instance,
    Patient,
    Review,
    ScoreReview,
    SeverityFinding,
    Study,
    StudyResult,
)
from service.store.index import Index
from service.store.tables import METADATA

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
AUDIT = AuditEvent(NOW, "reader", "write", "success", "P1", "1.2.3")
SEVERITY = SeverityFinding(2.5, 4.0, 3.0, 5.0, 9.0, (1.0, 2.0, 3.0, 0.5, 1.5, 1.0), "severity-1")
REVIEW = Review(
    "v1", "1.2.3", "P1", "r-1.2.3", "1.2.3.1", "reader", NOW, "severity-1",
    (
        ScoreReview("extent", "corrected", 4.0, 5.5),
        ScoreReview("left_upper", "rejected", 0.5, None),
    ),
    (ContourReview("left_lung", "ab/cd/9", 0.93),),
    "Effusion on the left",
)  # fmt: skip


@pytest.fixture
def index(migrated: Index) -> Iterator[Index]:
    """One patient with two scored studies; emptied after each test."""
    for number, uid in enumerate(("1.2.3", "1.2.4")):
        add_study(migrated, uid, NOW + timedelta(hours=number))
    yield migrated
    with migrated._write() as connection:
        for table in reversed(METADATA.sorted_tables):
            connection.execute(table.delete())


def add_study(index: Index, uid: str, at: datetime) -> None:
    film = Instance(
        f"{uid}.1", "1.2.840.10008.5.1.4.1.1.1", f"{uid}.0", uid, "1.2.840.10008.1.2.1", "ab/cd/1",
        "0" * 64, 9, at, "import", "CR",
    )  # fmt: skip
    index.add_instance(film, Study(uid, "P1", at, at), Patient("P1", "DOE^JANE"), AUDIT)
    index.add_result(
        StudyResult(
            f"r-{uid}", uid, "P1", f"{uid}.1", "ok", "", "", at, at, SEVERITY,
            artifacts={"film": "ab/cd/2"}, revision=1,
        ),
        AUDIT,
    )  # fmt: skip


def test_a_review_comes_back_as_it_was_kept(index: Index) -> None:
    index.add_review(REVIEW, AUDIT)
    assert index.review("v1") == REVIEW
    assert index.reviews(study_uid="1.2.3") == (REVIEW,)
    assert index.reviews(patient_id="P1") == (REVIEW,)
    assert index.reviews(study_uid="1.2.4") == ()


def test_a_later_review_of_the_same_reader_supersedes_and_the_earlier_one_stays(
    index: Index,
) -> None:
    index.add_review(REVIEW, AUDIT)
    later = replace(REVIEW, review_id="v2", comment="", contours=())  # at the same moment
    index.add_review(later, AUDIT)
    assert index.reviews(study_uid="1.2.3") == (later,)
    every = index.reviews(study_uid="1.2.3", superseded=True)
    assert every == (replace(REVIEW, superseded_by="v2"), later)


def test_reviews_of_two_readers_stand_beside_each_other(index: Index) -> None:
    index.add_review(REVIEW, AUDIT)
    index.add_review(replace(REVIEW, review_id="v2", reader="second"), AUDIT)
    assert [one.reader for one in index.reviews(study_uid="1.2.3")] == ["reader", "second"]


def test_a_review_changes_no_result(index: Index) -> None:
    before = index.current_result("1.2.3")
    index.add_review(REVIEW, AUDIT)
    assert index.current_result("1.2.3") == before


def test_a_review_is_audited_and_told_with_itself(index: Index) -> None:
    number = index.last_news()
    index.add_review(REVIEW, AUDIT)
    assert AUDIT in index.audits(patient_id="P1", limit=1)
    assert [one.kind for one in index.news(number)] == ["study"]


@pytest.mark.parametrize(
    "changes", [{"study_uid": "1.2.4"}, {"patient_id": "P2"}, {"result_id": "none"}]
)
def test_a_review_of_a_result_that_is_none_of_the_study_leaves_no_trace(
    index: Index, changes: dict[str, str]
) -> None:
    count = len(index.audits())
    with pytest.raises(NotFoundError):
        index.add_review(replace(REVIEW, **changes), AUDIT)
    assert index.reviews() == ()
    assert len(index.audits()) == count


def test_an_identifier_is_used_once(index: Index) -> None:
    index.add_review(REVIEW, AUDIT)
    with pytest.raises(ConflictError):
        index.add_review(replace(REVIEW, reader="second"), AUDIT)
    assert index.reviews() == (REVIEW,)


def test_cases_are_the_newest_studies_with_their_reviews_in_force(index: Index) -> None:
    index.add_review(REVIEW, AUDIT)
    later = index.add_review(replace(REVIEW, review_id="v2"), AUDIT)
    newest, older = index.review_cases(10)
    assert (newest.result.study_uid, newest.reviews) == ("1.2.4", ())
    assert (older.result.study_uid, older.reviews) == ("1.2.3", (later,))
    assert older.patient.name == "DOE^JANE"
    assert [one.result.study_uid for one in index.review_cases(1)] == ["1.2.4"]


def test_a_backup_takes_the_masks_of_reviews_along(index: Index) -> None:
    index.add_review(REVIEW, AUDIT)
    assert ("ab/cd/9", "") in set(index.object_keys())
