"""Each input of a risk tells what it was, when it was measured and where it came from."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from service.dashboard.moments import Zone
from service.dashboard.origins import Origin, origins
from service.records import Observation
from tests.service.dashboard import ward
from tests.service.dashboard.conftest import Visit

ZONE = Zone.named("Europe/Berlin")
RECORD = ward.risk_record(ward.WARD[0], ward.NOW, 0.31)


def from_monitor(variable: str, at: datetime, delay: timedelta = timedelta(0)) -> Observation:
    return Observation("o", "P", variable, 1.0, "", at, at + delay, "monitor 4")


def told(**changes: object) -> dict[str, Origin]:
    record = replace(RECORD, **changes)  # type: ignore[arg-type]
    return {one.label: one for one in origins(record, (), from_monitor, ZONE)}


def test_a_value_names_its_sender_and_its_age_at_the_hour_of_the_risk() -> None:
    rate = told()["Respiratory rate"]
    assert (rate.source, rate.age, rate.measured) == ("monitor 4", "12 min", "10:18 CET")
    earlier = told(at=ward.NOW + timedelta(hours=5))["Respiratory rate"]
    assert earlier.age == "5 h"


def test_what_is_not_measured_is_not_listed_and_a_record_has_no_age() -> None:
    found = told()
    assert "Lactate" not in found
    assert (found["Age"].source, found["Age"].age) == ("patient record", "")


def test_a_value_that_came_late_says_when_it_came() -> None:
    def late(variable: str, at: datetime) -> Observation:
        return from_monitor(variable, at, timedelta(hours=3))

    found = {one.label: one for one in origins(RECORD, (), late, ZONE)}
    assert found["SpO₂"].source == "monitor 4, arrived 23 Nov 2026 13:18 CET"


def test_a_value_that_was_corrected_since_does_not_claim_its_sender() -> None:
    found = origins(RECORD, (), lambda _variable, _at: None, ZONE)
    assert {one.source for one in found if one.label == "SpO₂"} == {"source no longer kept"}


def test_the_page_leads_from_the_severity_of_a_film_to_the_film(clinician: Visit) -> None:
    page = clinician.page("/patients/P-1001")
    (film,) = [row for row in page.select("table.inputs tbody tr") if "Severity" in row.get_text()]
    link = film.select_one("a")
    assert link is not None
    assert "/studies/1.2.826.0.1.1001.1" in str(link["href"])
