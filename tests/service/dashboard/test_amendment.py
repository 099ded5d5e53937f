"""An amended result says why it was amended, and what it said before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service.dashboard.amendment import amendments
from service.dashboard.moments import Zone
from service.records import SeverityFinding, StudyResult

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
ZONE = Zone.named("Europe/Berlin")
SEVERITY = SeverityFinding(5.0, 3.9, 3.0, 4.8, 8.0, (1.0,) * 6, "severity-1")
FIRST = StudyResult(
    "r1", "1.2", "P1", "1.2.1", "ok", "", "", NOW - timedelta(hours=1), NOW, SEVERITY, revision=1
)
COMPARED = replace(FIRST, prior_sop_instance_uid="1.1.1")
REFUSED = replace(FIRST, status="refused", reason="not_frontal", severity=None)
OTHER = replace(SEVERITY, extent=4.9, extent_low=4.0, extent_high=5.8)


@pytest.mark.parametrize(
    ("before", "changes", "why"),
    [
        (REFUSED, {"status": "ok", "severity": OTHER, "sop_instance_uid": "1.2.2"}, "a further"),
        (FIRST, {"sop_instance_uid": "1.2.2", "severity": OTHER}, "another film of the study"),
        (FIRST, {"prior_sop_instance_uid": "1.1.1"}, "a prior film"),
        (COMPARED, {"prior_sop_instance_uid": None}, "no longer"),
        (FIRST, {"severity": replace(OTHER, model="severity-2")}, "severity-1 to severity-2"),
        (FIRST, {"revision": 2}, "stayed the same"),
        (replace(REFUSED, status="failed"), {"status": "ok", "severity": OTHER}, "had failed"),
        (FIRST, {"severity": OTHER}, "judged again"),
    ],
)  # fmt: skip
def test_each_cause_of_an_amendment_is_named(
    before: StudyResult, changes: dict[str, object], why: str
) -> None:
    after = replace(FIRST, **{"result_id": "r2", "created_at": NOW, **changes})  # type: ignore[arg-type]
    (told,) = amendments((before, after), NOW, ZONE)
    assert why in "; ".join(told.why)
    assert told.made == "10:30 CET"


def test_an_amendment_tells_both_answers() -> None:
    scored = replace(FIRST, result_id="r2", severity=OTHER, sop_instance_uid="1.2.2")
    (told,) = amendments((REFUSED, scored), NOW, ZONE)
    assert told.changed == "no score (not frontal), now extent 4.9 of 8 (4.0–5.8)"
    assert amendments((FIRST,), NOW, ZONE) == ()


def test_a_film_that_is_refused_in_the_end_has_no_score_in_its_history_either() -> None:
    told = amendments((FIRST, replace(FIRST, severity=OTHER), REFUSED), NOW, ZONE)
    assert told[0].changed == "a score, withdrawn, now no score (not frontal)"
    assert not any("extent" in one.changed for one in told)
