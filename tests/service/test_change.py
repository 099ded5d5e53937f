"""Scores and map are two looks at one zone; neither hides the other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from models.severity.predict import SeverityChange, ZoneChange
from service.change import zone_changes
from service.records import ChangeFinding, StudyResult, ZoneChangeFinding
from service.store.payloads import result, result_columns


def zone(change: float, real: float, denser: float | None, clearer: float | None) -> str:
    return ZoneChangeFinding(
        "left_lower", change, change - 1, change + 1, real, denser, clearer
    ).agreement


@pytest.mark.parametrize(
    ("change", "real", "denser", "clearer", "said"),
    [
        (1.5, 0.99, 0.4, 0.0, "worse"),
        (-1.5, 0.99, 0.0, 0.4, "better"),
        (1.5, 0.99, 0.0, 0.0, "score only"),
        (0.2, 0.30, 0.4, 0.0, "map only"),
        (1.5, 0.99, 0.0, 0.4, "opposite"),
        (0.2, 0.30, 0.01, 0.0, "neither"),
        (1.5, 0.99, None, None, "no map"),
    ],
)
def test_whether_score_and_map_agree_is_said(
    change: float, real: float, denser: float | None, clearer: float | None, said: str
) -> None:
    assert zone(change, real, denser, clearer) == said


def test_without_an_alignment_the_scores_of_the_zones_stand_by_themselves() -> None:
    scores = SeverityChange(
        1.0, 0.0, 2.0, 0.9, "m", (ZoneChange("left_lower", 1.5, 0.5, 2.5, 0.99),)
    )
    (alone,) = zone_changes(scores, None)
    assert (alone.denser, alone.clearer, alone.change) == (None, None, 1.5)


def test_a_change_that_was_stored_before_the_zones_is_still_read() -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    old = ChangeFinding("1.2", "1.2.1", now, 1.0, 0.0, 2.0, 0.9, True, "", 0.8, 0.9, 0.0, "m")
    stored = result_columns(StudyResult("r", "1.3", "P", None, "ok", "", "", now, now, change=old))
    for name in ("zones", "map_threshold", "map_empty"):
        del stored["change"][name]
    again = result(cast(Any, stored)).change
    assert again == old
