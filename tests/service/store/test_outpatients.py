"""Who is not admitted has one risk, kept as long as it says what would be said now."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from service.records import AuditEvent, Patient
from service.risk_record import RiskRecord
from service.store.index import Index

from .conftest import DAY, NOW, House

HOUR = timedelta(hours=1)
MODEL = "outpatient-1+a"
AUDIT = AuditEvent(NOW, "chief", "write", "success")


def keep(
    house: House, who: str, probability: float | None, until: datetime | None = None
) -> RiskRecord:
    record = RiskRecord(
        f"out-{who}", who, NOW, NOW, "ok" if probability else "refused", "", probability,
        0.01, 0.5, -3.0, (), (), (), (), MODEL,
    )  # fmt: skip
    house.index.keep_outpatient_risk(record, until)
    return record


def order(index: Index, who: str, *, descending: bool = True) -> str:
    rows, _ = index.worklist(now=NOW, who=who, sort="risk", descending=descending)  # type: ignore[arg-type]  # of the table
    return "".join(row.patient.patient_id for row in rows)


@pytest.fixture
def clinic(house: House) -> House:
    """A to D seen at a clinic, E and F admitted; D has no number, F none yet."""
    for who in "ABCD":
        house.index.put_patient(Patient(who), AUDIT)
    for who in "EF":
        house.index.put_patient(Patient(who, admitted_at=NOW - DAY), AUDIT)
    for who, probability in (("A", 0.1), ("B", 0.3), ("C", 0.2), ("D", None)):
        keep(house, who, probability)
    house.risk("E", NOW, 0.05)
    return house


def test_outpatients_are_sorted_by_their_risk_and_stand_behind_those_admitted(
    clinic: House,
) -> None:
    assert order(clinic.index, "outpatients") == "BCAD"
    assert order(clinic.index, "outpatients", descending=False) == "ACBD"
    assert order(clinic.index, "everybody") == "EFBCAD"
    assert order(clinic.index, "admitted") == "EF"
    rows, _ = clinic.index.worklist(now=NOW, who="everybody")
    for row in rows:
        assert row.outside == clinic.index.outpatient_risk(row.patient.patient_id)
        assert (row.outside is None) == row.patient.is_admitted


def test_a_risk_of_a_stay_that_is_over_ranks_and_bands_nobody(clinic: House) -> None:
    clinic.index.put_patient(Patient("E", admitted_at=NOW - DAY, discharged_at=NOW), AUDIT)
    assert order(clinic.index, "outpatients") == "BCADE"
    assert clinic.index.worklist(now=NOW, who="everybody", band="medium")[1] == 0


def test_news_is_told_only_where_the_risk_says_something_else(clinic: House) -> None:
    last = clinic.index.last_news()
    record = keep(clinic, "A", 0.1)
    clinic.index.keep_outpatient_risk(replace(record, at=NOW + HOUR, computed_at=NOW + HOUR), None)
    assert clinic.index.news(last) == ()
    kept = clinic.index.outpatient_risk("A")
    assert kept
    assert kept.at == NOW + HOUR
    keep(clinic, "A", 0.4)
    assert [one.kind for one in clinic.index.news(last)] == ["risk"]


def test_due_is_what_rests_on_something_old_and_whoever_has_none_yet(clinic: House) -> None:
    index = clinic.index
    keep(clinic, "A", 0.1, until=NOW)
    keep(clinic, "B", 0.3, until=NOW + HOUR)
    clinic.film("1.1", "N")
    clinic.result("1.1")
    clinic.value("V", NOW - HOUR, 91)
    clinic.value("OLD", NOW - 9 * DAY, 91)
    assert index.outpatients_due(NOW, 3 * DAY, MODEL) == ("A", "N", "V")
    keep(clinic, "V", None)
    assert index.outpatients_due(NOW + HOUR, 3 * DAY, MODEL) == ("A", "B", "N")
    assert index.outpatients_due(NOW, 3 * DAY, "another") == ("A", "B", "C", "D", "N", "V")


def test_it_goes_with_an_admission_a_merge_and_the_last_film(clinic: House) -> None:
    index = clinic.index
    index.put_patient(Patient("A", admitted_at=NOW), AUDIT)
    keep(clinic, "A", 0.4)  # computed meanwhile
    index.put_patient(Patient("A", admitted_at=NOW - DAY, discharged_at=NOW), AUDIT)
    assert index.outpatient_risk("A") is None
    index.merge_patients("B", "C", "registered twice", AUDIT)
    assert index.outpatient_risk("C") is None
    clinic.film("1.1", "N")
    keep(clinic, "N", 0.2)
    index.delete_study("1.1", "sent by mistake", AUDIT)
    assert "N" not in [one.patient_id for one in index.patients()]
