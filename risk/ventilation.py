"""The probability that invasive ventilation starts within the next 12 hours."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import pandas as pd

from risk import rows
from risk.additive import Table, shipped
from risk.estimate import Estimate, Value, refused
from risk.features import TABLES, WINDOWED, BadValue, Variable

VARIABLES: tuple[Variable, ...] = TABLES["ventilation"]
ONE_OF = ("heart_rate", "respiratory_rate", "spo2")
ROUNDED = {"fio2": 0.005, **dict.fromkeys(ONE_OF, 0.5)}  # half of the last digit that is charted


def predict(row: Mapping[str, object], table: Table | None = None) -> Estimate:
    """Estimate one patient's risk now.

    Parameters
    ----------
    row : values by the names of `carina risk columns ventilation`; what is missing is left out.
    table : another coefficient table, for example one fitted on local data.

    Returns
    -------
    Estimate
        Refused where the patient is ventilated already, where heart rate, respiratory rate and
        SpO2 are all missing, or where a value is impossible. Higher is worse. Measured on adults
        in intensive care (eICU demo); not valid for children or after extubation.
    """
    table = table or shipped("ventilation")
    try:
        values, reason = answerable(row)
    except BadValue as error:
        return rows.refuse_bad(error, table)
    missing = tuple(v.name for v in VARIABLES if values[v.name] is None and v.name != "ventilated")
    if reason:
        return refused(reason, table.label, missing)
    return rows.estimate(table, derive(values), missing)


def answerable(row: Mapping[str, object]) -> tuple[dict[str, Value], str]:
    """The row's checked values, and why there is no answer for such a patient, "" where there is.

    Raises
    ------
    BadValue : a value is impossible, or contradicts another.
    """
    checked = rows.check(row, VARIABLES)
    _consistent(checked)
    if checked["ventilated"] == "yes":
        return checked, "the patient is ventilated already; this model answers only before that"
    if all(checked[name] is None for name in ONE_OF):
        names = ", ".join(ONE_OF)
        return checked, f"expected at least one of {names}, found none; measure and send one"
    return checked, ""


def predict_table(frame: pd.DataFrame, table: Table | None = None) -> pd.DataFrame:
    """`predict` for every row of a table; see `rows.predict_table`."""
    table = table or shipped("ventilation")
    return rows.predict_table(frame, answerable, derive, table)


def fio2_from_flow(flow_l_min: float) -> float:
    """FiO2 of an oxygen flow by nasal cannula or mask: 4 % more for each litre a minute.

    The usual bedside rule (0.20 + 0.04 per L/min), not more than 0.60; it is an estimate.
    """
    return 0.21 if flow_l_min < 0.25 else min(0.20 + 0.04 * flow_l_min, 0.60)


def derive(checked: Mapping[str, Value]) -> dict[str, Value]:
    """Add what the terms are computed from: FiO2 where only the flow is known, SpO2/FiO2, ROX.

    Where nobody gives the window of 6 hours, it holds at least the latest reading.
    """
    values = dict(checked)
    if values["fio2"] is None and isinstance(values["oxygen_flow"], float):
        values["fio2"] = fio2_from_flow(values["oxygen_flow"])
    for name, statistics in WINDOWED.items():
        for statistic in statistics:
            window = f"{name}_{statistic}_6h"
            if values[window] is None and statistic != "slope":
                values[window] = values[name]  # the latest reading is in the window itself
    spo2, fio2 = values["spo2"], values["fio2"]
    breaths = values["respiratory_rate"]
    known = isinstance(spo2, float) and isinstance(fio2, float)
    values["sf_ratio"] = spo2 / fio2 if known else None  # type: ignore[operator]  # both floats
    ratio = values["sf_ratio"]
    both = isinstance(ratio, float) and isinstance(breaths, float)
    values["rox"] = ratio / breaths if both else None  # type: ignore[operator]  # both floats
    return values


def _consistent(values: Mapping[str, Value]) -> None:
    """Raise where two values contradict each other."""
    for smaller, larger, slack in _ordered():
        low, high = values[smaller], values[larger]
        if isinstance(low, float) and isinstance(high, float) and low > high + slack:
            raise BadValue(
                f"expected {smaller} <= {larger}, found {low:g} > {high:g}; check both values"
            )


@cache
def _ordered() -> tuple[tuple[str, str, float], ...]:
    """What is never above what, but for rounding: the latest reading lies in its own window."""
    pairs = [("diastolic_bp", "systolic_bp", 0.0), ("mean_bp", "systolic_bp", 0.0)]
    for name, slack in ROUNDED.items():
        statistics = WINDOWED[name]
        lowest, highest, mean = (f"{name}_{word}_6h" for word in ("min", "max", "mean"))
        if "min" in statistics:
            pairs += [(lowest, highest, 0.0), (lowest, name, slack)]
            pairs += [(lowest, mean, slack), (mean, highest, slack)]
        pairs.append((name, highest, slack))
    return tuple(pairs)
