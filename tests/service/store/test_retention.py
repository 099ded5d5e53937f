"""The retention rules delete what is old, and nothing that is in use."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from service.records import OWN_SOURCE, AuditEvent, Delivery, Patient
from service.store import retention
from service.store.deletions import sweep
from service.store.retention import Due, Keep

from .conftest import DAY, NOW, SR, House

AUDIT = AuditEvent(NOW, "system", "write", "success")
LONG_AGO = NOW - 100 * DAY


def apply(house: House, keep: Keep, now: datetime = NOW) -> Due:
    return retention.apply(house.index, keep, "system", lambda: now)


def old_study(house: House, study: str = "1.1", patient: str = "P1") -> None:
    house.film(study, patient, LONG_AGO)
    house.result(study)


def test_without_rules_nothing_is_ever_due(house: House) -> None:
    old_study(house)
    house.value("P1", LONG_AGO)
    assert house.index.due(Keep(), NOW) == Due((), {}, {})
    assert apply(house, Keep()) == Due((), {}, {})


def test_a_study_goes_when_its_newest_object_is_old(house: House) -> None:
    old_study(house, "1.1")
    old_study(house, "1.2", "P2")
    house.film("1.2", "P2", NOW - DAY, sop_instance_uid="1.2.2")
    house.result("1.2")
    assert house.index.due(Keep(films_days=30), NOW).studies == ("1.1",)
    assert house.index.study("1.1")  # telling deletes nothing
    assert apply(house, Keep(films_days=30)).studies == ("1.1",)
    assert [one.study_uid for one in house.index.studies()] == ["1.2"]
    assert (house.index.audits()[0].action, house.index.audits()[0].study_uid) == ("delete", "1.1")
    assert sweep(house.index, house.objects) > 0


def test_a_study_that_waits_for_its_result_or_its_delivery_stays(house: House) -> None:
    house.film("1.1", "P1", LONG_AGO)
    old_study(house, "1.2", "P2")
    result = house.result("1.2")
    house.index.add_delivery(Delivery("d", result.result_id, "PACS", "1.9", "waiting", 0, NOW))
    assert apply(house, Keep(films_days=30)).studies == ()


@pytest.mark.parametrize(("days", "goes"), [(1, False), (20, True)])
def test_a_patient_in_care_is_not_touched(house: House, days: int, goes: bool) -> None:
    old_study(house)
    house.value("P1", LONG_AGO)
    house.value("P1", NOW - timedelta(days=days))
    house.index.put_patient(Patient("P1", admitted_at=LONG_AGO), AUDIT)
    due = apply(house, Keep(films_days=30, observations_days=30))
    assert due == (Due(("1.1",), {}, {"P1": 1}) if goes else Due((), {}, {}))


def test_objects_without_films_and_our_own_go_on_their_own(house: House) -> None:
    old_study(house)
    house.film("1.1", "P1", LONG_AGO, sop_instance_uid="1.1.8", sop_class_uid=SR)
    own = house.film(
        "1.1", "P1", LONG_AGO, sop_instance_uid="1.1.9", sop_class_uid=SR, source=OWN_SOURCE
    )
    assert apply(house, Keep(derived_days=30)).objects == {"1.1": 1}
    assert house.index.leftovers() == (own.object_key,)
    assert apply(house, Keep(others_days=30)).objects == {"1.1": 1}
    assert [one.sop_instance_uid for one in house.index.instances("1.1")] == ["1.1.1"]
    assert house.index.study("1.1").revision == 1


def test_a_study_without_films_goes_by_the_rule_of_other_objects(house: House) -> None:
    house.film("1.1", "P1", LONG_AGO, sop_class_uid=SR)
    assert apply(house, Keep(films_days=30)).studies == ()
    assert apply(house, Keep(others_days=30)) == Due(("1.1",), {}, {})
    assert house.index.patients() == ()


def test_old_values_and_risks_go_and_the_newest_are_pointed_at(house: House) -> None:
    house.value("P1", LONG_AGO, 80)
    house.value("P1", NOW - DAY, 90)
    house.value("P2", LONG_AGO, 85)
    house.risk("P1", LONG_AGO, 0.2)
    house.risk("P1", NOW - DAY, 0.4)
    assert apply(house, Keep(observations_days=30)).values == {"P1": 2, "P2": 1}
    assert [one.value for one in house.index.observations("P1")] == [90]
    assert [one.probability for one in house.index.risks("P1")] == [0.4]
    rows, _ = house.index.worklist(who="everybody", now=NOW)
    assert [(one.patient.patient_id, one.vitals["spo2"].value) for one in rows] == [("P1", 90)]


def test_a_film_that_arrives_between_looking_and_deleting_saves_its_study(house: House) -> None:
    old_study(house)
    keep = Keep(films_days=30)
    assert house.index.due(keep, NOW).studies == ("1.1",)
    house.film("1.1", "P1", NOW, sop_instance_uid="1.1.2")
    audit = AuditEvent(NOW, "system", "delete", "success")
    assert not house.index.delete_due_study("1.1", keep, "old", audit)
    assert len(house.index.instances("1.1")) == 2
