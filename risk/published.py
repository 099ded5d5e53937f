"""Published scores beside the models: ROX, SpO2/FiO2, qCSI, NEWS2, 4C Mortality and Deterioration.

Each takes a row with the base names and units of `features` and counts as its publication does.
A score whose inputs are not all there has no value: nothing is filled in, but that room air has an
FiO2 of 0.21 and a flow of 0 L/min.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from risk import deterioration
from risk.features import is_missing

Inputs = dict[str, float | str]
Step = tuple[float, int]


@dataclass(frozen=True, slots=True)
class Companion:
    """One published score for one patient.

    Parameters
    ----------
    value : the score, None where an input is missing.
    band : what its publication calls that value, "" where there is none.
    inputs : what it was computed from.
    missing : the inputs that it still needs.
    """

    name: str
    value: float | None
    band: str
    citation: str
    inputs: Mapping[str, float | str]
    missing: tuple[str, ...]


ROX_CITATION = "Roca et al., Am J Respir Crit Care Med 2019; 199: 1368-1376"
SF_CITATION = "Rice et al., Chest 2007; 132: 410-417"
QCSI_CITATION = "Haimovich et al., Ann Emerg Med 2020; 76: 442-453"
NEWS2_CITATION = "Royal College of Physicians, National Early Warning Score (NEWS) 2, 2017"
FOUR_C_CITATION = "Knight et al., BMJ 2020; 370: m3339 (ISARIC 4C Mortality Score)"

ROOM_AIR = 0.21  # FiO2

COMORBIDITIES = (
    "diabetes",
    "copd",
    "immunosuppression",
    "cardiovascular_disease",
    "obesity",
    "chronic_kidney_disease",
    "other_comorbidity",
)

# In-hospital mortality, per cent, of 1 to 21 points (Knight 2020, figure 2; none for 0).
FOUR_C_RISK = (
    0.3, 0.8, 2.3, 4.8, 7.5, 7.8, 11.7, 14.4, 19.2, 22.9, 26.9,
    32.9, 40.1, 44.6, 51.6, 59.1, 66.1, 75.8, 77.4, 82.9, 87.5,
)  # fmt: skip


def companions(row: Mapping[str, object]) -> tuple[Companion, ...]:
    """Every published score for one row, those without a value too."""
    return tuple(score(row) for score in SCORES)


def sf_ratio(row: Mapping[str, object]) -> Companion:
    """SpO2/FiO2 in per cent per fraction; lower is worse. 235 and 315: PaO2/FiO2 200 and 300.

    Valid for SpO2 up to 97 %; above it, the ratio says little and the band says so.
    """
    inputs, missing = _inputs(_breathing(row), ("spo2", "fio2"))
    if missing:
        return _unknown("SpO2/FiO2", SF_CITATION, inputs, missing)
    value = _number(inputs, "spo2") / _number(inputs, "fio2")
    band = _band(value, ((235.0, "as PaO2/FiO2 <= 200"), (315.0, "as PaO2/FiO2 <= 300")), "above")
    if _number(inputs, "spo2") > 97:
        band = "SpO2 above 97 %: not valid"
    return Companion("SpO2/FiO2", value, band, SF_CITATION, inputs, ())


def rox(row: Mapping[str, object]) -> Companion:
    """ROX index (SpO2/FiO2)/respiratory rate for high-flow oxygen; lower is worse.

    4.88 or more at 2, 6 or 12 hours: low risk of intubation. Below 2.85, 3.47, 3.85 at 2, 6, 12
    hours: high risk. The hours of high-flow oxygen are not known here: the bands give all three.
    """
    inputs, missing = _inputs(_breathing(row), ("spo2", "fio2", "respiratory_rate"))
    if missing:
        return _unknown("ROX", ROX_CITATION, inputs, missing)
    ratio = _number(inputs, "spo2") / _number(inputs, "fio2")
    value = ratio / _number(inputs, "respiratory_rate")
    bands = (
        (2.85, "high risk at 2, 6 and 12 h of high-flow oxygen"),
        (3.47, "high risk at 6 and 12 h of high-flow oxygen"),
        (3.85, "high risk at 12 h of high-flow oxygen"),
        (4.88, "between the cut-offs"),
    )
    band = next((text for limit, text in bands if value < limit), "low risk")
    return Companion("ROX", value, band, ROX_CITATION, inputs, ())


def qcsi(row: Mapping[str, object]) -> Companion:
    """Quick COVID-19 Severity Index, 0-12; higher is worse. For up to 6 L/min by cannula.

    Uses the lowest SpO2 of the last hours where it is known. More than 6 L/min counts as 5-6.
    """
    oxygen = dict(row)
    if is_missing(oxygen.get("oxygen_flow")) and _on_oxygen(oxygen) is False:
        oxygen["oxygen_flow"] = 0.0
    lowest = "spo2" if is_missing(oxygen.get("spo2_min_6h")) else "spo2_min_6h"
    inputs, missing = _inputs(oxygen, ("respiratory_rate", lowest, "oxygen_flow"))
    if missing:
        return _unknown("qCSI", QCSI_CITATION, inputs, missing)
    total = (
        _points(_number(inputs, "respiratory_rate"), ((22, 0), (28, 1)), 2)
        + _points(_number(inputs, lowest), ((88, 5), (92, 2)), 0)
        + _points(_number(inputs, "oxygen_flow"), ((2, 0), (4, 4)), 5)
    )
    bands = ((3, "low"), (6, "low-intermediate"), (9, "high-intermediate"))
    band = _band(total, bands, "high")
    return Companion("qCSI", float(total), band, QCSI_CITATION, inputs, ())


def news2(row: Mapping[str, object]) -> Companion:
    """NEWS2, 0-20, SpO2 scale 1; higher is worse. A GCS below 15 counts as C, V, P or U.

    Low 0-4, low-medium where one part scores 3, medium 5-6, high 7 or more.
    """
    names = (
        "respiratory_rate",
        "spo2",
        "systolic_bp",
        "heart_rate",
        "temperature",
        "gcs",
    )
    inputs, missing = _inputs(row, names)
    oxygen = _on_oxygen(row)
    if oxygen is None:
        missing = (*missing, "fio2 or oxygen_flow")
    if missing:
        return _unknown("NEWS2", NEWS2_CITATION, inputs, missing)
    parts = news2_parts(inputs, bool(oxygen))
    total = sum(parts.values())
    inputs["oxygen"] = "oxygen" if oxygen else "room_air"
    if total >= 7:
        band = "high"
    elif total >= 5:
        band = "medium"
    else:
        band = "low-medium" if 3 in parts.values() else "low"
    return Companion("NEWS2", float(total), band, NEWS2_CITATION, inputs, ())


NEWS2_STEPS: Mapping[str, tuple[tuple[Step, ...], int]] = {
    "respiratory_rate": (((8, 3), (11, 1), (20, 0), (24, 2)), 3),
    "spo2": (((91, 3), (93, 2), (95, 1)), 0),
    "systolic_bp": (((90, 3), (100, 2), (110, 1), (219, 0)), 3),
    "heart_rate": (((40, 3), (50, 1), (90, 0), (110, 1), (130, 2)), 3),
    "temperature": (((35.0, 3), (36.0, 1), (38.0, 0), (39.0, 1)), 2),
    "gcs": (((14, 3),), 0),
}


def news2_parts(inputs: Mapping[str, float | str], oxygen: bool) -> dict[str, int]:
    """Points of each part that has a value (temperature is read to one decimal)."""
    parts = {"oxygen": 2 if oxygen else 0}
    for name, (steps, beyond) in NEWS2_STEPS.items():
        if name in inputs:
            value = round(_number(inputs, name), 1 if name == "temperature" else 0)
            parts[name] = _points(value, steps, beyond)
    return parts


def four_c_mortality(row: Mapping[str, object]) -> Companion:
    """4C Mortality Score, 0-21, for adults admitted with COVID-19; higher is worse.

    Low 0-3, intermediate 4-8, high 9-14, very high 15 or more. Hypertension is not counted.
    """
    names = ("age_years", "sex", "respiratory_rate", "spo2", "gcs", "urea", "crp")
    inputs, missing = _inputs(row, names)
    missing = (*missing, *(c for c in COMORBIDITIES if is_missing(row.get(c))))
    if missing:
        return _unknown("4C Mortality", FOUR_C_CITATION, inputs, missing)
    count = sum(row[c] == "yes" for c in COMORBIDITIES)
    inputs["comorbidities"] = float(count)
    age = _points(int(_number(inputs, "age_years")), ((49, 0), (59, 2), (69, 4), (79, 6)), 7)
    total = (
        age
        + int(inputs["sex"] == "male")
        + min(count, 2)
        + _points(_number(inputs, "respiratory_rate"), ((19.999, 0), (29.999, 1)), 2)
        + (2 if _number(inputs, "spo2") < 92 else 0)
        + (2 if _number(inputs, "gcs") < 15 else 0)
        + _points(_number(inputs, "urea"), ((6.999, 0), (14, 1)), 3)
        + _points(_number(inputs, "crp"), ((49.999, 0), (99.999, 1)), 2)
    )
    word = _band(total, ((3, "low"), (8, "intermediate"), (14, "high")), "very high")
    band = f"{word}: {FOUR_C_RISK[total - 1]:g} % died" if total else word
    return Companion("4C Mortality", float(total), band, FOUR_C_CITATION, inputs, ())


def four_c_deterioration(row: Mapping[str, object]) -> Companion:
    """4C Deterioration in points, for adults admitted with COVID-19; higher is worse.

    The band is the published probability of ventilation, critical care or death. Infection in
    hospital counts only where `hospital_acquired` says yes.
    """
    curves = ("age_years", "respiratory_rate", "spo2", "urea", "crp", "lymphocytes")
    inputs, missing = _inputs(row, ("sex", *curves, "gcs", "pneumonia"))
    oxygen = _on_oxygen(row)
    if oxygen is None:
        missing = (*missing, "fio2 or oxygen_flow")
    if missing:
        name = "4C Deterioration"
        return _unknown(name, deterioration.CITATION, inputs, missing)
    points = deterioration.published()
    inputs["oxygen"] = "oxygen" if oxygen else "room_air"
    total = (
        sum(points.points(name, _number(inputs, name)) for name in curves)
        + deterioration.MALE * (inputs["sex"] == "male")
        + deterioration.HOSPITAL_ACQUIRED * (row.get("hospital_acquired") == "yes")
        + deterioration.INFILTRATES * (inputs["pneumonia"] == "yes")
        + deterioration.OXYGEN * bool(oxygen)
        + deterioration.REDUCED_GCS * (_number(inputs, "gcs") < 15)
    )
    band = f"{100 * points.probability(total):.1f} % deteriorated"
    return Companion("4C Deterioration", float(total), band, deterioration.CITATION, inputs, ())


SCORES: tuple[Callable[[Mapping[str, object]], Companion], ...] = (
    rox,
    sf_ratio,
    qcsi,
    news2,
    four_c_mortality,
    four_c_deterioration,
)


def _inputs(row: Mapping[str, object], names: Sequence[str]) -> tuple[Inputs, tuple[str, ...]]:
    inputs: Inputs = {}
    for name in names:
        value = row.get(name)
        if not is_missing(value):
            inputs[name] = value if isinstance(value, str) else float(str(value))
    return inputs, tuple(name for name in names if name not in inputs)


def _unknown(name: str, citation: str, inputs: Inputs, missing: tuple[str, ...]) -> Companion:
    return Companion(name, None, "", citation, inputs, missing)


def _number(inputs: Mapping[str, float | str], name: str) -> float:
    return float(inputs[name])


def _points(value: float, steps: Sequence[Step], beyond: int) -> int:
    """Points of the first step whose upper limit is not below the value."""
    return next((points for limit, points in steps if value <= limit), beyond)


def _band(value: float, bands: Sequence[tuple[float, str]], beyond: str) -> str:
    return next((name for limit, name in bands if value <= limit), beyond)


def _breathing(row: Mapping[str, object]) -> Mapping[str, object]:
    """The row with the FiO2 of room air where it is said that no oxygen is given."""
    if is_missing(row.get("fio2")) and _on_oxygen(row) is False:
        return {**row, "fio2": ROOM_AIR}
    return row


def _on_oxygen(row: Mapping[str, object]) -> bool | None:
    """Whether the patient breathes added oxygen; None where nobody said."""
    word, fio2, flow = row.get("oxygen"), row.get("fio2"), row.get("oxygen_flow")
    known = [
        word == "oxygen" if not is_missing(word) else None,
        float(str(fio2)) > ROOM_AIR + 1e-9 if not is_missing(fio2) else None,
        float(str(flow)) > 0 if not is_missing(flow) else None,
    ]
    said = [answer for answer in known if answer is not None]
    return any(said) if said else None
