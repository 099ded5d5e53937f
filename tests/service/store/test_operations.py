"""What an administrator sees of the index and has tried again, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.errors import ConflictError, NotFoundError
from service.installation import Hour
from service.records import (
    OWN_SOURCE,
    AuditEvent,
    Commitment,
    Delivery,
    Instance,
    Patient,
    Role,
    Study,
    StudyResult,
    User,
)
from service.store.index import Index
from service.store.tables import DISMISSALS, METADATA

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
PACS, OTHER = "PACS@host:104", "OTHER@host:104"
CR, GSPS = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.11.1"
RETRY = AuditEvent(NOW, "ada", "retry", "success", detail="why")


@pytest.fixture
def index(migrated: Index) -> Iterator[Index]:
    """An empty index: migrated once, emptied after each test."""
    yield migrated
    with migrated._write() as connection:
        for table in reversed(METADATA.sorted_tables):
            connection.execute(table.delete())


def film(index: Index, study_uid: str, at: datetime, **changed: Any) -> None:
    one = Instance(
        f"{study_uid}.1", CR, f"{study_uid}.0", study_uid, "1.2.840.10008.1.2.1", f"k{study_uid}",
        "0" * 64, 1000, at, "c-store:PACS", "CR",
    )  # fmt: skip
    event = AuditEvent(at, "PACS", "receive", "success", "P1", study_uid)
    index.add_instance(
        replace(one, **changed), Study(study_uid, "P1", at, at), Patient("P1"), event
    )


def judged(index: Index, study_uid: str, at: datetime, status: Any = "failed") -> str:
    revision = index.study(study_uid).revision
    result = StudyResult(
        f"r-{study_uid}-{revision}", study_uid, "P1", None, status, "internal", "broken", at, at,
        revision=revision,
    )  # fmt: skip
    return index.add_result(result, AuditEvent(at, "system", "score", "failure")).result_id


def delivery(
    index: Index, name: str, result_id: str, state: Any, attempts: int, to: str = PACS
) -> None:
    message = "expected an answer, found none" if attempts > 1 else ""
    index.add_delivery(Delivery(name, result_id, to, f"2.25.{name}", state, attempts, NOW, message))


def test_each_film_and_result_is_counted_in_its_hour_and_no_other(index: Index) -> None:
    since = NOW + timedelta(minutes=30)  # a zone may be half an hour off
    for number, minutes in enumerate((-1, 0, 59, 60, 61, 179, 180)):
        film(index, f"1.{number}", since + timedelta(minutes=minutes))
    film(index, "1.0", since, sop_instance_uid="9", source=OWN_SOURCE)
    film(index, "1.0", since, sop_instance_uid="8", sop_class_uid=GSPS)
    film(index, "1.1", since + HOUR, sha256="1" * 64)
    film(index, "1.2", since + 2 * HOUR, sop_instance_uid="7", state="undecodable")
    for number, (minutes, status) in enumerate(((5, "ok"), (6, "refused"), (130, "failed"))):
        judged(index, f"1.{number}", since + timedelta(minutes=minutes), status)
    assert index.inflow(since, 3) == (
        Hour(since, films=2, judged=2, refused=1),
        Hour(since + HOUR, films=3, aside=1),
        Hour(since + 2 * HOUR, films=2, undecodable=1, judged=1, failed=1),
    )


def test_a_failed_study_is_listed_until_it_is_judged_again(index: Index) -> None:
    film(index, "1.2", NOW)
    judged(index, "1.2", NOW)
    (seen,) = index.failures()
    assert (seen.kind, seen.name, seen.state, seen.attempts) == ("study", "1.2", "failed", 1)
    assert (seen.patient_id, seen.code) == ("P1", "internal")
    assert index.pending_studies() == ()
    assert index.retry_study("1.2", RETRY)
    assert [one.study_uid for one in index.pending_studies()] == ["1.2"]
    assert [one.state for one in index.failures()] == ["waiting"]
    assert not index.retry_study("1.2", RETRY)  # it waits for that already
    (written,) = index.audits(action="retry")
    assert (written.study_uid, written.patient_id) == ("1.2", "P1")
    judged(index, "1.2", NOW)
    assert [(one.state, one.attempts) for one in index.failures()] == [("failed", 2)]
    index.retry_study("1.2", RETRY)
    judged(index, "1.2", NOW, "ok")
    assert index.failures() == ()
    assert index.failure_counts()["study"] == 0


def test_only_what_failed_is_tried_again(index: Index) -> None:
    film(index, "1.2", NOW)
    delivery(index, "done", judged(index, "1.2", NOW, "ok"), "delivered", 1)
    answered = Commitment("2.25.1", "MOD", ((CR, "1.2.1"),), "reported", 1, NOW)
    index.add_commitment(answered, RETRY)
    for retry in (index.retry_study, index.retry_delivery, index.retry_commitment):
        with pytest.raises(NotFoundError):
            retry("9.9", RETRY)
    for retry, name in (
        (index.retry_study, "1.2"),
        (index.retry_delivery, "done"),
        (index.retry_commitment, "2.25.1"),
    ):
        with pytest.raises(ConflictError):
            retry(name, RETRY)


def test_a_delivery_that_was_given_up_is_due_at_once_and_has_all_its_attempts(
    index: Index,
) -> None:
    film(index, "1.2", NOW)
    result_id = judged(index, "1.2", NOW, "ok")
    delivery(index, "a", result_id, "failed", 100)
    assert [one.name for one in index.failures()] == ["a"]
    index.retry_delivery("a", RETRY)
    (due,) = index.due_deliveries(NOW)
    assert (due.state, due.attempts) == ("waiting", 0)
    assert index.failures() == ()
    assert [one.study_uid for one in index.audits(action="retry")] == ["1.2"]


def test_a_commitment_that_was_given_up_is_asked_anew(index: Index) -> None:
    asked = Commitment("2.25.1", "MOD", ((CR, "1.2.1"),), "failed", 100, NOW, "no answer")
    index.add_commitment(asked, replace(RETRY, action="commit"))
    assert index.commitment_counts() == {"waiting": 0, "reported": 0, "failed": 1}
    (seen,) = index.failures()
    assert (seen.kind, seen.peer, seen.message) == ("commitment", "MOD", "no answer")
    index.retry_commitment("2.25.1", RETRY)
    assert [one.transaction_uid for one in index.take_commitments(NOW, NOW)] == ["2.25.1"]


def test_each_destination_says_what_it_took_what_it_is_owed_and_since_when_it_fails(
    index: Index,
) -> None:
    for number in range(3):
        film(index, f"1.{number}", NOW)
    first, second, third = (judged(index, f"1.{n}", NOW + n * HOUR, "ok") for n in range(3))
    delivery(index, "a", first, "delivered", 1)
    delivery(index, "b", second, "failed", 100)
    delivery(index, "c", third, "waiting", 7)
    delivery(index, "d", third, "waiting", 0)
    delivery(index, "e", third, "failed", 100, to="GONE@host:104")
    pacs, other, gone = index.destinations((PACS, OTHER))
    assert (pacs.delivered_at, pacs.waiting, pacs.failed) == (NOW, 2, 1)
    assert pacs.failing_since == NOW + HOUR
    assert "found none" in pacs.message
    assert (other.delivered_at, other.waiting, other.failing_since) == (None, 0, None)
    assert (gone.name, gone.failed) == ("GONE@host:104", 1)
    assert index.retry_destination(PACS, RETRY) == 2
    assert index.retry_destination(OTHER, RETRY) == 0
    assert {one.delivery_id for one in index.due_deliveries(NOW)} == {"b", "c", "d"}
    assert len(index.audits(action="retry")) == 1


def test_what_is_dismissed_stays_away_until_it_fails_again(index: Index) -> None:
    dismiss = replace(RETRY, action="dismiss")
    film(index, "1.2", NOW)
    result = judged(index, "1.2", NOW + HOUR)  # by a clock that is ahead
    delivery(index, "a", result, "failed", 100)
    delivery(index, "b", result, "waiting", 7)
    delivery(index, "c", result, "waiting", 0)
    index.dismiss_study("1.2", "phantom", dismiss)
    assert index.dismiss_destination(PACS, "gone", dismiss) == 2
    assert index.dismiss_destination(PACS, "gone", dismiss) == 0
    assert index.failures() == ()
    assert index.failure_counts() == {"study": 0, "delivery": 0, "commitment": 0}
    assert index.failure_counts(dismissed=True) == {"study": 1, "delivery": 2, "commitment": 0}
    aside = index.failures(dismissed=True)
    assert {(one.name, one.state) for one in aside} == {
        ("1.2", "failed"), ("a", "failed"), ("b", "failed")
    }  # fmt: skip
    assert {one.dismissal.reason for one in aside if one.dismissal} == {"phantom", "gone"}
    (pacs,) = index.destinations(())
    assert (pacs.waiting, pacs.failed, pacs.failing_since) == (1, 0, None)
    assert [one.delivery_id for one in index.due_deliveries(NOW)] == ["c"]
    index.retry_study("1.2", RETRY)
    judged(index, "1.2", NOW + 2 * HOUR)
    assert [one.name for one in index.failures()] == ["1.2"]
    assert len(index.audits(action="dismiss")) == 2


def test_only_what_failed_is_dismissed_and_a_deletion_takes_it_along(index: Index) -> None:
    film(index, "1.2", NOW)
    result = judged(index, "1.2", NOW, "ok")
    delivery(index, "d", result, "delivered", 1)
    delivery(index, "f", result, "failed", 100)
    index.add_commitment(Commitment("2.25.1", "PACS", (), "waiting", 0, NOW), RETRY)
    for act, name in (
        (index.dismiss_study, "1.2"), (index.dismiss_delivery, "d"),
        (index.dismiss_commitment, "2.25.1"),
    ):  # fmt: skip
        with pytest.raises(ConflictError, match="failed"):
            act(name, "why", RETRY)
        with pytest.raises(NotFoundError):
            act("none", "why", RETRY)
    index.dismiss_delivery("f", "why", RETRY)
    index.delete_study("1.2", "why", RETRY)
    with index._read() as connection:
        assert connection.execute(DISMISSALS.select()).all() == []


def test_what_is_kept_is_told_by_kind_with_its_size(index: Index) -> None:
    film(index, "1.2", NOW)
    film(index, "1.2", NOW, sop_instance_uid="8", sop_class_uid=GSPS, size_bytes=10)
    film(index, "1.2", NOW, sop_instance_uid="9", source=OWN_SOURCE, size_bytes=20)
    kept = [(one.kind, one.objects, one.size_bytes) for one in index.kept()]
    assert kept == [("films", 1, 1000), ("others", 1, 10), ("reports", 1, 20)]
    assert index.database_bytes() > 0


def test_audit_rows_of_a_time_are_found_newest_first(index: Index) -> None:
    rows = [replace(RETRY, at=NOW + n * HOUR, detail=str(n)) for n in range(5)]
    index.add_audits(rows)
    found = index.audits(since=NOW + HOUR, before=NOW + 4 * HOUR, action="retry")
    assert [one.detail for one in found] == ["3", "2", "1"]


def test_the_last_administrator_stays_one_whoever_asks(index: Index) -> None:
    for name, role in (("ada", Role.ADMIN), ("bob", Role.ADMIN), ("eve", Role.CLINICIAN)):
        index.add_user(User(name, role, "hash", NOW), replace(RETRY, action="user-add"))
    index.change_user("ada", {"disabled": True}, (RETRY,))
    for values in ({"disabled": True}, {"role": "clinician"}):
        with pytest.raises(ConflictError, match="administrator"):
            index.change_user("bob", values, (RETRY,))
    assert index.user("bob") == User("bob", Role.ADMIN, "hash", NOW)
    assert index.change_user("eve", {"role": "admin"}, ()).role is Role.ADMIN
    assert index.change_user("bob", {"disabled": True}, (RETRY,)).disabled
    assert index.change_user("eve", {"disabled": True}, (), keep_admin=False).disabled
    with pytest.raises(NotFoundError):
        index.change_user("nobody", {"disabled": True}, (RETRY,))
    assert len(index.audits(action="retry")) == 2  # what was refused left no trace
