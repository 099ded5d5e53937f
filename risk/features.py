"""What the risk models are told: every variable with its unit, plausible range, code and age.

The tables below are data. `ventilation_row` turns raw readings into one row at one moment,
and `normalise` is the only place where a unit is converted or a value is turned down.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Literal

import numpy as np
import pandas as pd

from risk.units import CONVERSIONS, SAME_UNIT, Conversion

Row = dict[str, object]
Kind = Literal["number", "level"]

WINDOW_H = 6.0
URINE_WINDOW_H = 6.0
CHANGE_WINDOW_H = 48.0


class BadValue(ValueError):  # noqa: N818  # named for what it is, as Refusal is
    """A value that cannot be what its name says. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One column of a risk model's table.

    Parameters
    ----------
    low, high : plausible range in `unit`, both ends included. Outside it, a value is refused.
    source : where the definition and the range come from.
    loinc : LOINC code of the observation, "" where there is none.
    max_age_h : how old a reading may be before it is stale and left out.
    required : "" or which rule makes it needed.
    levels : the permitted words of a variable of kind "level".
    """

    name: str
    label: str
    unit: str
    low: float
    high: float
    source: str
    loinc: str = ""
    max_age_h: float = 24.0
    required: str = ""
    levels: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        """Whether the values are numbers or words."""
        return "level" if self.levels else "number"

    @property
    def range(self) -> str:
        """The permitted values as one readable phrase."""
        return " | ".join(self.levels) if self.levels else f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True, slots=True)
class Reading:
    """One measured value as it arrives: base variable name, number, unit ("" = ours), time."""

    variable: str
    value: float
    unit: str
    at: datetime


_CHARTED = "bedside monitor or chart"
_LABORATORY = "laboratory"
_ONE_VITAL = "at least one of heart_rate, respiratory_rate, spo2"

BASE: tuple[Variable, ...] = (
    Variable(
        "heart_rate", "Heart rate", "/min", 10, 300, _CHARTED, "8867-4", 4.0, required=_ONE_VITAL
    ),
    Variable(
        "respiratory_rate",
        "Respiratory rate",
        "/min",
        2,
        80,
        _CHARTED,
        "9279-1",
        4.0,
        required=_ONE_VITAL,
    ),
    Variable("spo2", "SpO2", "%", 40, 100, _CHARTED, "59408-5", 4.0, required=_ONE_VITAL),
    Variable("systolic_bp", "Systolic pressure", "mm[Hg]", 30, 300, _CHARTED, "8480-6", 4.0),
    Variable("diastolic_bp", "Diastolic pressure", "mm[Hg]", 10, 200, _CHARTED, "8462-4", 4.0),
    Variable("mean_bp", "Mean pressure", "mm[Hg]", 15, 250, _CHARTED, "8478-0", 4.0),
    Variable("temperature", "Temperature", "Cel", 28, 43, _CHARTED, "8310-5", 12.0),
    Variable("fio2", "Inspired oxygen", "fraction", 0.21, 1.0, _CHARTED, "3150-6", 5.0),
    Variable("oxygen_flow", "Oxygen flow", "L/min", 0, 80, _CHARTED, "3151-8", 5.0),
    Variable("gcs", "Glasgow coma scale", "points", 3, 15, _CHARTED, "9269-2", 12.0),
    Variable("ph", "Arterial pH", "pH", 6.5, 8.0, _LABORATORY, "2744-1", 12.0),
    Variable("pao2", "PaO2", "mm[Hg]", 20, 700, _LABORATORY, "2703-7", 12.0),
    Variable("paco2", "PaCO2", "mm[Hg]", 8, 200, _LABORATORY, "2019-8", 12.0),
    Variable("bicarbonate", "Bicarbonate", "mmol/L", 2, 60, _LABORATORY, "1963-8", 36.0),
    Variable("lactate", "Lactate", "mmol/L", 0.1, 35, _LABORATORY, "2524-7", 12.0),
    Variable("wbc", "White cells", "10*9/L", 0.0, 500, _LABORATORY, "6690-2", 36.0),
    Variable("haemoglobin", "Haemoglobin", "g/dL", 2, 25, _LABORATORY, "718-7", 36.0),
    Variable("creatinine", "Creatinine", "mg/dL", 0.1, 30, _LABORATORY, "2160-0", 36.0),
    Variable("urea", "Urea", "mmol/L", 0.2, 100, _LABORATORY, "22664-7", 36.0),
    Variable("urine_output", "Urine output", "mL/h", 0, 1500, _CHARTED, "9187-6", URINE_WINDOW_H),
)

STATISTICS = ("min", "max", "mean", "slope")
# Which statistics of the last 6 hours a variable gets.
WINDOWED: Mapping[str, tuple[str, ...]] = {
    "heart_rate": STATISTICS,
    "respiratory_rate": STATISTICS,
    "spo2": STATISTICS,
    "fio2": ("max",),
}


def _windowed(base: Variable) -> tuple[Variable, ...]:
    words = {"min": "lowest", "max": "highest", "mean": "mean", "slope": "trend"}
    span = base.high - base.low
    return tuple(
        Variable(
            f"{base.name}_{statistic}_6h",
            f"{base.label}, {words[statistic]} of 6 h",
            f"{base.unit}/h" if statistic == "slope" else base.unit,
            -span if statistic == "slope" else base.low,
            span if statistic == "slope" else base.high,
            "computed from the readings of the last 6 hours",
            max_age_h=WINDOW_H,
        )
        for statistic in WINDOWED[base.name]
    )


_BY_NAME = {variable.name: variable for variable in BASE}
SEVERITY = Variable(
    "severity_extent",
    "Severity of the film",
    "0-8",
    0,
    8,
    "geographic extent of opacity, severity model",
    max_age_h=72.0,
)
AGE = Variable("age_years", "Age", "a", 0, 120, "registration", "30525-0", math.inf)
SEX = Variable(
    "sex", "Sex", "", 0, 1, "registration", "46098-0", math.inf, levels=("female", "male")
)
HOURS_IN_UNIT = Variable(
    "hours_in_unit", "Hours in the unit", "h", 0, 20000, "admission record", max_age_h=math.inf
)
PRESSURE_CHANGE = Variable(
    "systolic_bp_change_48h",
    "Systolic pressure, change since the first reading of 48 h",
    "mm[Hg]",
    -270,
    270,
    "computed from the readings of the last 48 hours",
    max_age_h=4.0,
)
VENTILATED = Variable(
    "ventilated",
    "Ventilated now",
    "",
    0,
    1,
    "bedside chart",
    max_age_h=4.0,
    levels=("no", "yes"),
)

VENTILATION: tuple[Variable, ...] = (
    AGE,
    SEX,
    *BASE[:10],
    *(feature for name in WINDOWED for feature in _windowed(_BY_NAME[name])),
    PRESSURE_CHANGE,
    *BASE[10:],
    HOURS_IN_UNIT,
    SEVERITY,
    VENTILATED,
)

_YES_NO = ("no", "yes")


def _history(name: str, label: str) -> Variable:
    return Variable(name, label, "", 0, 1, "history", max_age_h=math.inf, levels=_YES_NO)


OUTPATIENT: tuple[Variable, ...] = (
    Variable("age_years", "Age", "a", 0, 120, "registration", "30525-0", math.inf, "always"),
    Variable(
        "sex",
        "Sex",
        "",
        0,
        1,
        "registration",
        "46098-0",
        math.inf,
        "always",
        ("female", "male"),
    ),
    _history("pregnancy", "Pregnant"),
    Variable("days_since_symptoms", "Days since symptoms", "d", 0, 60, "history", "", math.inf),
    Variable(
        "test_result",
        "SARS-CoV-2 test",
        "",
        0,
        1,
        _LABORATORY,
        "94500-6",
        336.0,
        levels=("negative", "positive", "pending"),
    ),
    _history("contact", "Contact with a case"),
    _history("smoking", "Smoking"),
    _history("diabetes", "Diabetes"),
    _history("copd", "Chronic obstructive pulmonary disease"),
    _history("asthma", "Asthma"),
    _history("immunosuppression", "Immunosuppression"),
    _history("hypertension", "Hypertension"),
    _history("cardiovascular_disease", "Cardiovascular disease"),
    _history("obesity", "Obesity"),
    _history("chronic_kidney_disease", "Chronic kidney disease"),
    _history("other_comorbidity", "Other comorbidity"),
    *(
        _BY_NAME[name]
        for name in (
            "respiratory_rate",
            "spo2",
            "systolic_bp",
            "diastolic_bp",
            "heart_rate",
            "temperature",
            "gcs",
            "oxygen_flow",
        )
    ),
    Variable(
        "oxygen", "Breathing", "", 0, 1, _CHARTED, "3151-8", 12.0, levels=("room_air", "oxygen")
    ),
    Variable("urea", "Urea", "mmol/L", 0.2, 100, _LABORATORY, "22664-7", 72.0),
    Variable("crp", "C-reactive protein", "mg/L", 0, 700, _LABORATORY, "1988-5", 72.0),
    Variable("lymphocytes", "Lymphocytes", "10*9/L", 0, 100, _LABORATORY, "731-0", 72.0),
    Variable(
        "pneumonia",
        "Pneumonia",
        "",
        0,
        1,
        "radiology report or examination",
        "",
        72.0,
        levels=_YES_NO,
    ),
    SEVERITY,
)

TABLES: Mapping[str, tuple[Variable, ...]] = {
    "ventilation": VENTILATION,
    "outpatient": OUTPATIENT,
}


def columns(name: str) -> pd.DataFrame:
    """The columns of one model's table: name, unit, range, required, and what else is known."""
    if name not in TABLES:
        raise BadValue(f"expected one of {', '.join(TABLES)}, found {name!r}")
    return pd.DataFrame(
        {
            "name": [v.name for v in TABLES[name]],
            "unit": [v.unit for v in TABLES[name]],
            "range": [v.range for v in TABLES[name]],
            "required": [v.required or "no" for v in TABLES[name]],
            "label": [v.label for v in TABLES[name]],
            "max_age_h": [v.max_age_h for v in TABLES[name]],
            "loinc": [v.loinc for v in TABLES[name]],
            "source": [v.source for v in TABLES[name]],
        }
    )


def all_columns() -> pd.DataFrame:
    """The columns of every model's table; `model` says whose."""
    return pd.concat([columns(name).assign(model=name) for name in TABLES], ignore_index=True)


def normalise(variable: Variable, value: float, unit: str = "") -> float:
    """`value` in the variable's own unit.

    Parameters
    ----------
    value : the number as it arrived.
    unit : UCUM or a common spelling; "" means that nobody said, and then a conversion is made
        only where the number can have no other meaning (98 is a temperature in Fahrenheit).

    Raises
    ------
    BadValue : the unit is unknown, or the number is impossible in any unit.
    """
    if not math.isfinite(value):
        raise BadValue(f"{variable.name}: expected a number, found {value}; leave it empty")
    converted = _converted(variable, value, unit)
    slack = 1e-6 * max(1.0, abs(variable.high))  # 0.21 of a 32-bit column lies just below 0.21
    if variable.low - slack <= converted <= variable.high + slack:
        return float(min(max(converted, variable.low), variable.high))
    raise BadValue(
        f"{variable.name}: expected {variable.range} {variable.unit}, found {value:g} "
        f"{unit or '(no unit given)'}; check the unit or leave it empty"
    )


def _converted(variable: Variable, value: float, unit: str) -> float:
    rules = _rules(base_name(variable.name))
    if unit and unit not in SAME_UNIT.get(variable.unit, frozenset({variable.unit})):
        for rule in rules:
            if unit in rule.units:
                return value * rule.factor + _offset(rule, variable)
        raise BadValue(
            f"{variable.name}: expected the unit {variable.unit}, found {unit!r}; "
            "send it in that unit"
        )
    if unit or variable.low <= value <= variable.high or variable.name.endswith("_slope_6h"):
        return value
    for rule in rules:
        if rule.certain_low <= value <= rule.certain_high:
            return value * rule.factor + _offset(rule, variable)
    return value


@cache
def _rules(name: str) -> tuple[Conversion, ...]:
    return tuple(rule for rule in CONVERSIONS if rule.variable == name)


def _offset(rule: Conversion, variable: Variable) -> float:
    return 0.0 if variable.name.endswith("_slope_6h") else rule.offset


def base_name(name: str) -> str:
    """`spo2_min_6h` -> `spo2`; a name without a window stays."""
    for statistic in STATISTICS:
        suffix = f"_{statistic}_6h"
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name


def ventilation_row(  # noqa: PLR0917  # the contract that the service calls
    observations: Sequence[Reading],
    at: datetime,
    age_years: float | None,
    sex: str | None,
    severity_extent: float | None = None,
    severity_at: datetime | None = None,
    admitted_at: datetime | None = None,
) -> tuple[Row, dict[str, datetime | None]]:
    """The ventilation model's row at one moment, from raw readings.

    Parameters
    ----------
    observations : readings of one patient in any order; those after `at` are not looked at.
        Readings of variables that the model does not know are left out.
    sex : "female", "male", or None where neither is recorded.
    admitted_at : when the patient came to the unit, if known.

    Returns
    -------
    row : a value or None for every variable of `VENTILATION`.
    times : when each input was measured, stale ones included; None where there is none.
        `stale` names those that were too old to be used and are None in the row.

    Raises
    ------
    BadValue : a reading is impossible or in an unknown unit.
    """
    history = _history_before(observations, at)
    row: Row = {variable.name: None for variable in VENTILATION}
    times: dict[str, datetime | None] = dict.fromkeys(row)
    row["age_years"], row["sex"] = age_years, sex
    for variable in BASE:
        readings = history.get(variable.name, [])
        if readings:
            times[variable.name] = readings[-1][0]
            row[variable.name] = _latest(variable, readings, at)
    for name in WINDOWED:
        readings = history.get(name, [])
        found = _window_statistics(readings, at)
        for statistic in WINDOWED[name]:
            row[f"{name}_{statistic}_6h"] = found[statistic]
            times[f"{name}_{statistic}_6h"] = readings[-1][0] if readings else None
    pressures = history.get("systolic_bp", [])
    if pressures:
        times[PRESSURE_CHANGE.name] = pressures[-1][0]
        row[PRESSURE_CHANGE.name] = _change(pressures, row["systolic_bp"], at)
    if admitted_at is not None and admitted_at <= at:
        row["hours_in_unit"], times["hours_in_unit"] = _age_h(admitted_at, at), admitted_at
    if severity_extent is not None and severity_at is not None and severity_at <= at:
        times["severity_extent"] = severity_at
        if _age_h(severity_at, at) <= SEVERITY.max_age_h:
            row["severity_extent"] = severity_extent
    return row, times


def stale(times: Mapping[str, datetime | None], at: datetime) -> tuple[str, ...]:
    """The inputs that exist but are older than they may be, in the order of the table."""
    limits = {variable.name: variable.max_age_h for variable in VENTILATION}
    return tuple(
        name
        for name, taken in times.items()
        if taken is not None and name in limits and _age_h(taken, at) > limits[name]
    )


def missing_names(row: Mapping[str, object], variables: Iterable[Variable]) -> tuple[str, ...]:
    """Variables that have no value in `row`, in the order of the table."""
    return tuple(v.name for v in variables if is_missing(row.get(v.name)))


def is_missing(value: object) -> bool:
    """None, NaN, NaT, pandas NA and the empty string all mean: not known."""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, (float, np.floating)) and math.isnan(value)


def _age_h(taken: datetime, at: datetime) -> float:
    return (at - taken) / timedelta(hours=1)


def _history_before(
    observations: Sequence[Reading], at: datetime
) -> dict[str, list[tuple[datetime, float]]]:
    history: dict[str, list[tuple[datetime, float]]] = {}
    for reading in sorted(observations, key=lambda r: (r.at, r.variable, r.value)):
        variable = _BY_NAME.get(reading.variable)
        if variable is not None and reading.at <= at:
            value = normalise(_volume(variable), reading.value, reading.unit)
            history.setdefault(variable.name, []).append((reading.at, value))
    return history


def _volume(variable: Variable) -> Variable:
    """Urine arrives as volumes that may cover many hours; every other reading is itself."""
    if variable.name != "urine_output":
        return variable
    return Variable("urine_output", variable.label, variable.unit, 0, 9000, variable.source)


def _latest(
    variable: Variable, readings: list[tuple[datetime, float]], at: datetime
) -> float | None:
    if variable.name == "urine_output":
        volumes = [v for taken, v in readings if _age_h(taken, at) < URINE_WINDOW_H]
        return min(sum(volumes) / URINE_WINDOW_H, variable.high) if volumes else None
    taken, value = readings[-1]
    return value if _age_h(taken, at) <= variable.max_age_h else None


def _window_statistics(
    readings: list[tuple[datetime, float]], at: datetime
) -> dict[str, float | None]:
    recent = [(taken, v) for taken, v in readings if _age_h(taken, at) < WINDOW_H]
    if not recent:
        return dict.fromkeys(STATISTICS)
    values = np.array([v for _, v in recent])
    hours = np.array([-_age_h(taken, at) for taken, _ in recent])
    return {
        "min": float(values.min()),
        "max": float(values.max()),
        "mean": float(values.mean()),
        "slope": _slope(hours, values),
    }


def _change(readings: list[tuple[datetime, float]], latest: object, at: datetime) -> float | None:
    """Latest value minus the first of the window; None where the latest is stale."""
    recent = [v for taken, v in readings if _age_h(taken, at) < CHANGE_WINDOW_H]
    return latest - recent[0] if recent and isinstance(latest, float) else None


def _slope(hours: np.ndarray, values: np.ndarray) -> float | None:
    """Least-squares change per hour; None with fewer than three distinct times."""
    if len(np.unique(hours)) < 3:
        return None
    centred = hours - hours.mean()
    return float(centred @ (values - values.mean()) / (centred @ centred))
