from __future__ import annotations

import math

from risk.features import BASE, OUTPATIENT
from risk.units import CONVERSIONS, SAME_UNIT


def test_a_range_that_tells_its_unit_overlaps_no_plausible_value() -> None:
    ranges = {v.name: (v.low, v.high) for v in (*BASE, *OUTPATIENT)}
    for rule in CONVERSIONS:
        if not math.isnan(rule.certain_low):
            low, high = ranges[rule.variable]
            touches = rule.certain_low == high or rule.certain_high == low
            assert rule.certain_low > high or rule.certain_high < low or touches, rule


def test_no_foreign_unit_is_also_our_own() -> None:
    units = {v.name: v.unit for v in (*BASE, *OUTPATIENT)}
    for rule in CONVERSIONS:
        assert not set(rule.units) & SAME_UNIT[units[rule.variable]], rule
