"""Charts lose no extreme, and tables hold what charts show."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from service.dashboard.course import MOST_POINTS, Point, Window, course, thinned
from service.dashboard.moments import Zone
from service.records import Patient
from tests.service.dashboard.ward import NOW, WARD, observations, risks

WINDOW = Window(NOW - timedelta(days=3), NOW, Zone.named("UTC"))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=40), st.integers(1, 100))
def test_thinning_keeps_order_and_extremes(values: list[float], times: int) -> None:
    points = [Point(NOW + timedelta(minutes=i), v) for i, v in enumerate(values * times)]
    kept = thinned(points)
    assert len(kept) <= MOST_POINTS + 2
    assert [p.at for p in kept] == sorted(p.at for p in kept)
    assert {min(values), max(values)} <= {p.value for p in kept}


def test_every_chart_says_its_unit_and_has_a_table_of_its_values() -> None:
    drawn = course(Patient("P-1001"), risks(WARD[0]), [], observations(WARD[0]), WINDOW)
    assert [panel.key for panel in drawn.panels][:2] == ["risk", "respiratory_rate"]
    for panel in drawn.panels:
        assert len(panel.lines) == len(panel.points)
        assert panel.unit or panel.key == "fio2"


def test_a_refused_risk_is_a_gap_and_never_a_point() -> None:
    from dataclasses import replace

    refused = replace(risks(WARD[0])[0], status="refused", probability=None, low=None, high=None)
    assert course(Patient("P-1001"), [refused], [], [], WINDOW).panels == ()
