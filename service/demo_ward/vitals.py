"""Hourly vital signs for the sample ward: a course of illness with seeded noise.

Everything here is made up for the demonstration and says so in its `source`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

SOURCE = "demo"
UNITS = {
    "heart_rate": "/min",
    "respiratory_rate": "/min",
    "spo2": "%",
    "systolic_bp": "mm[Hg]",
    "diastolic_bp": "mm[Hg]",
    "temperature": "Cel",
    "fio2": "1",
    "gcs": "{score}",
}
NOISE = {
    "heart_rate": 3.0,
    "respiratory_rate": 1.0,
    "spo2": 0.7,
    "systolic_bp": 5.0,
    "diastolic_bp": 3.0,
    "temperature": 0.15,
}
WELL = {
    "heart_rate": 78.0,
    "respiratory_rate": 15.0,
    "spo2": 97.0,
    "systolic_bp": 126.0,
    "diastolic_bp": 74.0,
    "temperature": 36.8,
    "fio2": 0.21,
    "gcs": 15.0,
}
ILL = {
    "heart_rate": 118.0,
    "respiratory_rate": 34.0,
    "spo2": 87.0,
    "systolic_bp": 104.0,
    "diastolic_bp": 58.0,
    "temperature": 38.8,
    "fio2": 0.6,
    "gcs": 14.0,
}


@dataclass(frozen=True, slots=True)
class Course:
    """How ill somebody is over three days: 0 as WELL, 1 as ILL.

    `last_hours_ago` is the age of the newest reading, `without` names what is not measured,
    `hours` is how long ago the first reading was taken, `still` what goes on being measured.
    """

    then: float
    now: float
    last_hours_ago: int = 0
    without: tuple[str, ...] = ()
    hours: int = 72
    still: tuple[str, ...] = ()


COURSES = {
    "failing": Course(0.25, 1.0),
    "worsening": Course(0.15, 0.65),
    "improving": Course(0.75, 0.2),
    "steady": Course(0.2, 0.2),
    "high_flow": Course(0.55, 0.75),
    "well": Course(0.0, 0.03),
    "stale": Course(0.3, 0.4, last_hours_ago=7, still=("heart_rate",)),
    "ventilated": Course(0.5, 1.0, last_hours_ago=1),
    "no_saturation": Course(0.3, 0.45, without=("spo2",)),
    "new": Course(0.5, 0.6, hours=0),
    "clinic_ill": Course(0.4, 0.4, last_hours_ago=2, hours=2),
    "clinic_well": Course(0.05, 0.05, last_hours_ago=3, hours=3),
    "clinic_film": Course(0.0, 0.0, without=tuple(UNITS)),
}


def readings(patient_id: str, course: str, now: datetime) -> Iterator[dict[str, object]]:
    """Observations of one patient, oldest first, as the API takes them.

    Raises
    ------
    KeyError : no such course in COURSES.
    """
    plan = COURSES[course]
    rng = np.random.default_rng(int.from_bytes(patient_id.encode()[-4:], "big"))
    for hours_ago in range(plan.hours, -1 if plan.still else plan.last_hours_ago - 1, -1):
        passed = 1 - hours_ago / plan.hours if plan.hours else 1.0
        share = plan.then + (plan.now - plan.then) * passed**1.5
        at = now - timedelta(hours=hours_ago, minutes=int(rng.integers(0, 12)))
        for variable, unit in UNITS.items():
            over = hours_ago < plan.last_hours_ago and variable not in plan.still
            if over or variable in plan.without:
                continue
            yield {
                "patient_id": patient_id,
                "variable": variable,
                "value": _value(variable, share, rng),
                "unit": unit,
                "observed_at": at.isoformat(),
                "source": SOURCE,
            }


def _value(variable: str, share: float, rng: np.random.Generator) -> float:
    value = WELL[variable] + (ILL[variable] - WELL[variable]) * share
    value += rng.normal(0, NOISE.get(variable, 0.0))
    if variable == "fio2":
        return round(max(0.21, round(value * 20) / 20), 2)
    if variable == "spo2":
        return float(min(100, round(value)))
    return round(value, 1) if variable == "temperature" else float(round(value))
