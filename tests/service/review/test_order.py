"""The film that would teach the model most comes first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from service.records import (
    Patient,
    Review,
    ReviewCase,
    ScoreReview,
    SeverityFinding,
    StudyResult,
)
from service.review.order import ranked

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
SURE = SeverityFinding(1.0, 4.0, 3.5, 4.5, 9.0, (1.5,) * 6, "m")
RESULT = StudyResult("r", "s", "p", "i", "ok", "", "", NOW, NOW, SURE, artifacts={"film": "k"})


def case(name: str, *reviews: Review, **changes: object) -> ReviewCase:
    result = replace(RESULT, result_id=f"r-{name}", study_uid=name, **changes)
    return ReviewCase(Patient("p"), result, reviews)


def review(reader: str, value: float, name: str = "s") -> Review:
    score = ScoreReview("extent", "corrected", 4.0, value)
    return Review(f"v-{reader}", name, "p", f"r-{name}", "i", reader, NOW, "m", (score,))


def first(*cases: ReviewCase) -> tuple[str, ...]:
    found = ranked(cases, "me")
    return (found[0].case.result.study_uid, *found[0].reasons)


def test_a_wide_interval_comes_before_a_narrow_one() -> None:
    wide = replace(SURE, extent_low=1.0, extent_high=7.0)
    assert first(case("narrow"), case("wide", severity=wide))[0] == "wide"


def test_zones_that_contradict_extent_come_before_those_that_agree() -> None:
    torn = replace(SURE, brixia=16.0)
    assert first(case("whole"), case("torn", severity=torn)) == ("torn", "new", "zones")


def test_sides_that_differ_come_before_equal_ones() -> None:
    uneven = replace(SURE, zones=(3.0, 3.0, 3.0, 0.0, 0.0, 0.0))
    assert first(case("even"), case("uneven", severity=uneven)) == ("uneven", "new", "sides")


def test_a_film_that_another_reader_sees_differently_comes_before_one_that_agrees() -> None:
    agreed, torn = review("other", 4.0, "agreed"), review("other", 8.0, "torn")
    assert first(case("agreed", agreed), case("torn", torn)) == ("torn", "readers")


def test_a_refusal_that_speaks_of_doubt_comes_before_one_of_a_wrong_picture() -> None:
    doubt = case("doubt", status="refused", reason="unlike_training", severity=None)
    wrong = case("wrong", status="refused", reason="not_chest", severity=None)
    assert first(wrong, doubt)[0] == "doubt"


def test_what_i_reviewed_comes_last_until_the_result_is_another() -> None:
    mine = case("mine", review("me", 8.0, "mine"))
    assert [one.done for one in ranked((mine, case("new")), "me")] == [False, True]
    amended = replace(mine, result=replace(mine.result, result_id="later"))
    (found,) = ranked((amended,), "me")
    assert not found.done
    assert "amended" in found.reasons


def test_what_has_no_film_or_failed_is_left_out() -> None:
    assert ranked((case("none", artifacts={}), case("broken", status="failed")), "me") == ()
