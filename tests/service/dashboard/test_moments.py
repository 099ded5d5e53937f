"""Times are local, carry their zone, and old is never taken for new."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.dashboard.moments import Zone, age, years
from service.errors import UsageError

BERLIN = Zone.named("Europe/Berlin")
NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (NOW, "10:30 CET"),
        (NOW - timedelta(days=1), "22 Nov 10:30 CET"),
        (datetime(2025, 7, 1, 22, 5, tzinfo=UTC), "2 Jul 2025 00:05 CEST"),
    ],
)
def test_a_time_is_the_wards_and_says_its_zone(moment: datetime, written: str) -> None:
    assert BERLIN.shown(moment, NOW) == written


def test_a_zone_without_letters_says_its_offset() -> None:
    assert Zone.named("America/Sao_Paulo").shown(NOW, NOW) == "06:30 UTC-03"


def test_the_machine_has_a_zone() -> None:
    assert Zone.named("").shown(NOW, NOW)


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "/etc/passwd"])
def test_an_unknown_zone_says_what_to_set(name: str) -> None:
    with pytest.raises(UsageError, match="CARINA_TIME_ZONE"):
        Zone.named(name)


@pytest.mark.parametrize(
    ("minutes", "written"),
    [
        (0, "<1 min"),
        (12, "12 min"),
        (89, "89 min"),
        (91, "1 h"),
        (47 * 60, "47 h"),
        (49 * 60, "2 d"),
        (-1, "<1 min"),
        (-30, "30 min ahead"),
    ],
)
def test_an_age_is_short_and_a_wrong_clock_shows(minutes: int, written: str) -> None:
    assert age(NOW - timedelta(minutes=minutes), NOW) == written


@given(st.dates(date(1900, 1, 1), date(2026, 11, 23)))
def test_years_never_round_up(born: date) -> None:
    whole = years(born, date(2026, 11, 23))
    assert whole is not None
    assert -0.01 < (date(2026, 11, 23) - born).days / 365.2425 - whole < 1.01


def test_nobody_is_born_tomorrow() -> None:
    assert years(date(2026, 11, 24), date(2026, 11, 23)) is None
