"""The units that vital signs and laboratory values arrive in, and when a number tells its unit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Conversion:
    """value * factor + offset gives our unit; applies to a named unit or to a certain range."""

    variable: str
    units: tuple[str, ...]
    factor: float
    offset: float = 0.0
    certain_low: float = math.nan
    certain_high: float = math.nan


# A range is "certain" only where no living patient has that number in our own unit.
CONVERSIONS: tuple[Conversion, ...] = (
    Conversion("temperature", ("[degF]", "degF", "F"), 5 / 9, -160 / 9, 80.0, 112.0),
    Conversion("fio2", ("%",), 0.01, 0.0, 21.0, 100.0),
    Conversion("spo2", ("fraction", "1", "{fraction}"), 100.0, 0.0, 0.4, 1.0),
    Conversion("pao2", ("kPa",), 7.50062),
    Conversion("paco2", ("kPa",), 7.50062),
    Conversion("creatinine", ("umol/L", "µmol/L"), 1 / 88.42, 0.0, 45.0, 2600.0),
    Conversion("urea", ("mg/dL",), 0.357),  # as urea nitrogen: 1 mg/dL = 0.357 mmol/L
    Conversion("haemoglobin", ("g/L",), 0.1, 0.0, 40.0, 250.0),
    Conversion("haemoglobin", ("mmol/L",), 1.6114),
    Conversion("wbc", ("/uL",), 0.001, 0.0, 1000.0, 500000.0),
    Conversion("lymphocytes", ("/uL",), 0.001, 0.0, 150.0, 100000.0),
    Conversion("lactate", ("mg/dL",), 0.111),
    Conversion("crp", ("mg/dL",), 10.0),
)

# Other spellings of our own units.
SAME_UNIT: Mapping[str, frozenset[str]] = {
    "/min": frozenset({"/min", "bpm", "{beats}/min", "{breaths}/min", "1/min"}),
    "mm[Hg]": frozenset({"mm[Hg]", "mmHg"}),
    "Cel": frozenset({"Cel", "°C", "C", "degC"}),
    "fraction": frozenset({"fraction", "1", "{fraction}"}),
    "%": frozenset({"%", "percent"}),
    "L/min": frozenset({"L/min", "l/min"}),
    "points": frozenset({"points", "{score}", "score", "1"}),
    "pH": frozenset({"pH", "[pH]", "1"}),
    "mmol/L": frozenset({"mmol/L", "meq/L"}),
    "10*9/L": frozenset({"10*9/L", "10*3/uL", "K/uL", "K/mcL"}),
    "g/dL": frozenset({"g/dL"}),
    "mg/dL": frozenset({"mg/dL"}),
    "mg/L": frozenset({"mg/L"}),
    "mL/h": frozenset({"mL/h", "mL"}),
}
