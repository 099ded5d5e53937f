"""The study page tells the change of a zone with both witnesses."""

from __future__ import annotations

from datetime import UTC, datetime

from service.dashboard.study import map_note, zone_changes
from service.records import ChangeFinding, ZoneChangeFinding


def change(aligned: bool, empty: bool | None, *zones: ZoneChangeFinding) -> ChangeFinding:
    return ChangeFinding(
        "1.2", "1.2.1", datetime(2026, 11, 25, tzinfo=UTC), 1.0, 0.0, 2.0, 0.9, aligned,
        "", 0.8, 0.9, 0.0, "m", zones, None if empty is None else 0.5, empty,
    )  # fmt: skip


def test_score_and_map_stand_side_by_side_and_disagreement_is_said() -> None:
    zone = ZoneChangeFinding("left_lower", 1.5, 0.4, 2.6, 0.98, 0.0, 0.31)
    (said,) = zone_changes(change(True, False, zone))
    assert (said.label, said.figure, said.probability) == ("Left lower", "+1.5", "0.98")
    assert said.map == "31 % clearer"
    assert said.agreement == "score and map contradict each other"


def test_without_a_trusted_alignment_nothing_is_said_of_a_map() -> None:
    found = change(False, None, ZoneChangeFinding("left_lower", 1.5, 0.4, 2.6, 0.98))
    assert [(one.map, one.agreement) for one in zone_changes(found)] == [("", "")]
    assert map_note(found) == ""


def test_an_empty_map_says_so_in_words() -> None:
    assert map_note(change(True, True)) == "Change map: no change beyond noise (threshold 0.50)."


def test_a_map_that_shows_something_states_its_threshold() -> None:
    assert (
        map_note(change(True, False)) == "Change map: what changed beyond noise (threshold 0.50)."
    )
