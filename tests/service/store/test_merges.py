"""Two identifiers become one patient: everything follows, nothing is lost, the bytes stay."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import select

from service.errors import ConflictError, NotFoundError, UsageError
from service.records import AuditEvent, Patient, StudyFilter
from service.store.tables import OBSERVATIONS

from .conftest import DAY, NOW, House

HOUR = timedelta(hours=1)
AUDIT = AuditEvent(NOW, "chief", "merge", "success", detail="registered twice")


def merge(house: House, old: str = "OLD", new: str = "NEW") -> tuple[str, ...]:
    return house.index.merge_patients(old, new, "registered twice", AUDIT)[1]


@pytest.fixture
def two(house: House) -> House:
    """OLD with two studies and NEW with one between them, values and risks of both."""
    house.film("1.1", "OLD", NOW - 3 * DAY)
    house.film("1.2", "NEW", NOW - 2 * DAY)
    house.film("1.3", "OLD", NOW - DAY)
    house.result("1.1")
    house.result("1.2")
    house.result("1.3", prior="1.1")
    house.value("OLD", NOW - HOUR, 88)
    house.value("NEW", NOW - 2 * HOUR, 95)
    house.risk("OLD", NOW - HOUR, 0.3)
    house.risk("NEW", NOW - 2 * HOUR, 0.2)
    return house


def test_everything_follows_to_the_patient_that_is_left(two: House) -> None:
    merge(two)
    index = two.index
    assert [one.study_uid for one in index.studies(patient_id="NEW")] == ["1.3", "1.2", "1.1"]
    assert {one.patient_id for one in index.patient_results("NEW")} == {"NEW"}
    assert [one.study_uid for one in index.patient_results("NEW")] == ["1.1", "1.2", "1.3"]
    assert [one.value for one in index.observations("NEW")] == [95, 88]
    assert [one.probability for one in index.risks("NEW")] == [0.2, 0.3]
    assert [one.patient_id for one in index.patients()] == ["NEW"]


def test_the_old_identifier_leads_to_the_patient_that_is_left(two: House) -> None:
    merge(two)
    index = two.index
    assert index.patient("OLD").patient_id == "NEW"
    assert index.studies(patient_id="OLD") == index.studies(patient_id="NEW")
    assert index.observations("OLD") == index.observations("NEW")
    assert index.risks("OLD") == index.risks("NEW")
    assert index.current_risk("OLD") == index.current_risk("NEW")
    assert index.patient_results("OLD") == index.patient_results("NEW")
    assert len(index.find_studies(StudyFilter(patient_id="OLD"))) == 3


def test_what_arrives_later_under_the_old_identifier_lands_with_the_patient(two: House) -> None:
    merge(two)
    two.film("1.4", "OLD")
    two.film("1.1", "OLD", sop_instance_uid="1.1.2")
    two.value("OLD", NOW, 90)
    two.index.put_patient(Patient("OLD", ward="3", admitted_at=NOW), AUDIT)
    assert two.index.study("1.4").patient_id == "NEW"
    assert [one.state for one in two.index.instances("1.1")] == ["stored", "stored"]
    assert two.index.observations("NEW")[-1].value == 90
    assert two.index.patient("NEW").ward == "3"
    assert [one.patient_id for one in two.index.patients()] == ["NEW"]


def test_the_stored_bytes_stay_as_they_were(two: House) -> None:
    before = {one.sop_instance_uid: (one.sha256, two.objects.get(one.object_key))
              for one in two.index.instances("1.1")}  # fmt: skip
    merge(two)
    after = {one.sop_instance_uid: (one.sha256, two.objects.get(one.object_key))
             for one in two.index.instances("1.1")}  # fmt: skip
    assert after == before


def test_studies_that_have_another_prior_now_wait_for_a_result(two: House) -> None:
    assert merge(two) == ("1.2", "1.3")
    waiting = {one.study_uid for one in two.index.pending_studies()}
    assert waiting == {"1.2", "1.3"}


def test_who_merged_why_and_what_is_told_for_both_identifiers(two: House) -> None:
    merge(two)
    (known,) = two.index.merges()
    assert (known.merged_id, known.patient_id, known.actor) == ("OLD", "NEW", "chief")
    assert known.reason == "registered twice"
    assert known.moved["studies"] == ["1.1", "1.3"]
    assert (known.moved["observations"], known.moved["risks"], known.moved["results"]) == (1, 1, 2)
    for patient_id in ("OLD", "NEW"):
        assert two.index.audits(patient_id=patient_id)[0] == replace(AUDIT, patient_id=patient_id)


def test_of_two_values_of_one_moment_the_later_received_counts(house: House) -> None:
    house.film("1.2", "NEW")
    house.value("OLD", NOW, 88, received_at=NOW + HOUR)
    house.value("NEW", NOW, 95)
    house.value("OLD", NOW + HOUR, 89)
    house.value("NEW", NOW + HOUR, 96, received_at=NOW + 2 * HOUR)
    merge(house)
    assert [one.value for one in house.index.observations("NEW")] == [88, 96]
    with house.index._read() as connection:
        assert len(connection.execute(select(OBSERVATIONS)).all()) == 4


def test_what_is_not_known_of_the_patient_is_filled_in_and_the_rest_stays(house: House) -> None:
    born = date(1960, 2, 3)
    house.index.put_patient(
        Patient("OLD", name="DOE^J", birth_date=born, ward="5", admitted_at=NOW), AUDIT
    )
    house.index.put_patient(Patient("NEW", name="DOE^JANE"), AUDIT)
    merge(house)
    left = house.index.patient("NEW")
    assert (left.name, left.birth_date, left.ward) == ("DOE^JANE", born, "5")
    assert left.admitted_at == NOW
    assert house.index.merges()[0].moved["patient"]["name"] == "DOE^J"


def test_a_chain_of_merges_leads_to_the_last_patient(house: House) -> None:
    for patient_id in ("A", "B", "C"):
        house.film(f"1.{ord(patient_id)}", patient_id)
    merge(house, "A", "B")
    merge(house, "B", "C")
    assert house.index.patient("A").patient_id == "C"
    house.film("1.9", "A")
    assert house.index.study("1.9").patient_id == "C"


def test_a_merge_that_cannot_be_is_refused_and_changes_nothing(two: House) -> None:
    with pytest.raises(NotFoundError):
        merge(two, "OLD", "NOBODY")
    with pytest.raises(NotFoundError):
        merge(two, "NOBODY", "NEW")
    with pytest.raises(UsageError):
        merge(two, "OLD", "OLD")
    assert len(two.index.studies(patient_id="OLD")) == 2
    merge(two)
    with pytest.raises(ConflictError):
        merge(two)
    with pytest.raises(UsageError):
        merge(two, "NEW", "OLD")


def test_a_result_and_a_risk_that_were_begun_before_find_their_patient(two: House) -> None:
    run = replace(two.result("1.3"), result_id="late", revision=9)
    merge(two)
    assert two.index.add_result(run, AUDIT).patient_id == "NEW"
    two.risk("OLD", NOW)
    assert len(two.index.risks("NEW")) == 2  # dropped: it knew only half of the values


def test_films_that_arrive_during_a_merge_are_all_with_the_patient(two: House) -> None:
    threads = [
        threading.Thread(target=two.film, args=(f"2.{number}", "OLD")) for number in range(12)
    ]
    for number, thread in enumerate(threads):
        thread.start()
        if number == 5:
            merge(two)
    for thread in threads:
        thread.join()
    assert len(two.index.studies(patient_id="NEW")) == 15
    assert [one.patient_id for one in two.index.patients()] == ["NEW"]
