"""A deleted study is gone at once and whole, its bytes follow, and the audit stays."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from functools import partial

import pytest

from service.errors import NotFoundError, OutOfResourcesError
from service.records import OWN_SOURCE, AuditEvent, Delivery, Patient, Study
from service.store.deletions import sweep
from service.store.objects import FileObjects, ObjectStore

from .conftest import DAY, NOW, SR, House

AUDIT = AuditEvent(NOW, "chief", "delete", "success", detail="wrong patient")


def delete(house: House, study: str = "1.1") -> tuple[str, ...]:
    return house.index.delete_study(study, "wrong patient", AUDIT)[1]


@pytest.fixture
def scored(house: House) -> House:
    """A patient with two scored studies, the later compared with the earlier; SR sent."""
    house.film("1.1", "P1", NOW - DAY)
    house.film("1.2", "P1")
    result = house.result("1.1")
    house.film("1.1", "P1", sop_instance_uid="1.1.9", sop_class_uid=SR, source=OWN_SOURCE)
    house.result("1.2", prior="1.1")
    house.index.add_delivery(Delivery("d", result.result_id, "PACS", "1.1.9", "waiting", 0, NOW))
    return house


def test_nothing_of_a_deleted_study_is_left(scored: House) -> None:
    index = scored.index
    result = index.current_result("1.1")
    assert result is not None
    keys = [one.object_key for one in index.instances("1.1")] + list(result.artifacts.values())
    delete(scored)
    with pytest.raises(NotFoundError):
        index.study("1.1")
    with pytest.raises(NotFoundError):
        index.instance("1.1.1")
    assert (index.results("1.1"), index.deliveries(), index.instances("1.1")) == ((), (), ())
    assert index.due_deliveries(NOW) == ()
    assert set(keys) <= set(index.leftovers())
    assert all(scored.kept(key) for key in keys)  # bytes after rows
    sweep(index, scored.objects)
    assert not any(scored.kept(key) for key in keys)
    assert index.leftovers() == ()
    assert index.counts()["leftovers"] == 0


def test_storage_commitment_no_longer_affirms_a_deleted_study(scored: House) -> None:
    assert set(scored.index.kept_classes(["1.1.1", "1.2.1"])) == {"1.1.1", "1.2.1"}
    delete(scored)
    assert set(scored.index.kept_classes(["1.1.1", "1.2.1"])) == {"1.2.1"}


def test_who_deleted_why_and_when_stays(scored: House) -> None:
    delete(scored)
    assert scored.index.audits()[0] == replace(AUDIT, patient_id="P1", study_uid="1.1")
    (known,) = scored.index.deletions()
    assert (known.study_uid, known.actor, known.reason, known.at) == (
        "1.1", "chief", "wrong patient", NOW,
    )  # fmt: skip


def test_the_later_study_is_judged_again_and_shows_nothing_of_the_deleted_film(
    scored: House,
) -> None:
    before = scored.index.current_result("1.2")
    assert before is not None
    assert delete(scored) == ("1.2",)
    assert [one.study_uid for one in scored.index.pending_studies()] == ["1.2"]
    after = scored.index.current_result("1.2")
    assert after is not None
    assert set(after.artifacts) == {"film"}
    sweep(scored.index, scored.objects)
    assert not scored.kept(before.artifacts["aligned_prior"])
    assert scored.kept(before.artifacts["film"])


def test_the_worklist_shows_the_newest_study_that_is_left(scored: House) -> None:
    scored.index.put_patient(Patient("P1", admitted_at=NOW), AUDIT)
    delete(scored, "1.2")
    rows, _ = scored.index.worklist(now=NOW)
    assert rows[0].result is not None
    assert rows[0].result.study_uid == "1.1"
    delete(scored, "1.1")
    rows, _ = scored.index.worklist(now=NOW)
    assert rows[0].result is None


def test_a_patient_of_whom_nothing_is_left_goes_and_others_stay(house: House) -> None:
    for number, patient_id in enumerate(("BARE", "VALUES", "INSIDE")):
        house.film(f"1.{number}", patient_id)
    house.value("VALUES", NOW)
    house.index.put_patient(Patient("INSIDE", admitted_at=NOW), AUDIT)
    for number in range(3):
        delete(house, f"1.{number}")
    assert [one.patient_id for one in house.index.patients()] == ["INSIDE", "VALUES"]


def test_a_study_that_is_sent_again_is_a_new_one_that_waits_for_its_result(scored: House) -> None:
    result = scored.result("1.1")
    delete(scored)
    with pytest.raises(NotFoundError):  # of a run that began before
        scored.index.add_result(replace(result, result_id="late"), AUDIT)
    scored.film("1.1", "P1", NOW)
    assert {one.study_uid for one in scored.index.pending_studies()} == {"1.1", "1.2"}
    assert scored.index.study("1.1").revision > result.revision  # its jobs have new names
    with pytest.raises(NotFoundError):  # the films that it speaks of are gone
        scored.index.add_result(replace(result, result_id="later"), AUDIT)
    assert scored.result("1.1").revision == scored.index.study("1.1").revision


def test_a_known_object_that_is_deleted_while_it_is_sent_again_is_not_acknowledged(
    scored: House,
) -> None:
    known = scored.index.instance("1.1.1")
    delete(scored)
    with pytest.raises(OutOfResourcesError):
        scored.index.add_instance(
            known, Study("1.1", "P1", None, NOW), Patient("P1"), AUDIT, again=True
        )
    with pytest.raises(NotFoundError):
        scored.index.study("1.1")


def test_a_report_that_was_being_made_does_not_bring_the_study_back(scored: House) -> None:
    own = scored.index.instance("1.1.9")
    delete(scored)
    with pytest.raises(NotFoundError):
        scored.index.add_instance(own, Study("1.1", "P1", None, NOW), Patient("P1"), AUDIT)
    with pytest.raises(NotFoundError):
        scored.index.study("1.1")


class Stubborn(FileObjects):
    """A store that will not delete some of its objects."""

    def __init__(self, objects: ObjectStore, kept: Container[str]) -> None:
        self._objects, self._kept = objects, kept

    def delete(self, key: str) -> None:
        if key in self._kept:
            raise OutOfResourcesError("expected the store, found none")
        self._objects.delete(key)


def test_an_object_that_cannot_be_deleted_does_not_keep_the_others(scored: House) -> None:
    delete(scored)
    first, *others = scored.index.leftovers()
    with pytest.raises(OutOfResourcesError):
        sweep(scored.index, Stubborn(scored.objects, {first}))
    assert scored.index.leftovers() == (first,)
    assert not any(scored.kept(key) for key in others)
    assert sweep(scored.index, scored.objects) == 1
    assert not scored.kept(first)


def test_a_store_that_is_away_is_not_asked_for_everything(
    scored: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete(scored)
    left, asked = scored.index.leftovers(), []
    monkeypatch.setattr(scored.index, "leftovers", partial(scored.index.leftovers, 1))

    class Away(Stubborn):
        def delete(self, key: str) -> None:
            asked.append(key)
            super().delete(key)

    with pytest.raises(OutOfResourcesError):
        sweep(scored.index, Away(scored.objects, left))
    assert asked == [left[0]]


def test_a_deletion_that_breaks_leaves_everything(
    scored: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("power cut")

    monkeypatch.setattr("service.store.deletions.write_audit", breaks)
    with pytest.raises(RuntimeError):
        delete(scored)
    assert len(scored.index.instances("1.1")) == 2
    assert scored.index.current_result("1.1") is not None
    assert scored.index.leftovers() == ()


def test_deleting_what_is_not_there_is_told(scored: House) -> None:
    delete(scored)
    with pytest.raises(NotFoundError):
        delete(scored)
