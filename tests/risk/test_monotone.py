"""What physiology says about the direction holds in the shipped models, whatever else is known."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk import outpatient, ventilation
from risk.features import VENTILATION

RANGES = {variable.name: (variable.low, variable.high) for variable in VENTILATION}
RISES_WITH = ("lactate", "creatinine", "urea", "severity_extent", "fio2")
FALLS_WITH = ("haemoglobin", "urine_output", "gcs", "spo2")
PATIENTS = st.fixed_dictionaries(
    {"heart_rate": st.floats(40, 160), "spo2": st.floats(70, 100)},
    optional={
        "age_years": st.floats(18, 95),
        "respiratory_rate": st.floats(8, 45),
        "fio2": st.floats(0.21, 1.0),
        "ph": st.floats(7.0, 7.6),
        "lactate": st.floats(0.5, 10),
        "hours_in_unit": st.floats(0, 200),
    },
)


def risk(row: dict[str, object]) -> float:
    found = ventilation.predict(row).probability
    assert found is not None
    return found


@pytest.mark.parametrize("name", [*RISES_WITH, *FALLS_WITH])
@settings(deadline=None, max_examples=15)
@given(row=PATIENTS, a=st.floats(0, 1), b=st.floats(0, 1))
def test_a_worse_value_never_lowers_the_risk_of_ventilation(
    name: str, row: dict[str, object], a: float, b: float
) -> None:
    low, high = RANGES[name]
    less, more = (low + (high - low) * one for one in sorted((a, b)))
    better, worse = (less, more) if name in RISES_WITH else (more, less)
    assert risk({**row, name: worse}) >= risk({**row, name: better}) - 1e-12


@settings(deadline=None, max_examples=25)
@given(st.floats(18, 95), st.floats(0, 8), st.floats(0, 8), st.sampled_from(["yes", "no", None]))
def test_a_worse_film_never_lowers_the_risk_of_an_outpatient(
    age: float, a: float, b: float, pneumonia: str | None
) -> None:
    person = {"age_years": age, "sex": "female", "test_result": "positive", "pneumonia": pneumonia}
    less, more = (
        outpatient.predict({**person, "severity_extent": one}).probability for one in sorted((a, b))
    )
    assert less is not None
    assert more is not None
    assert more >= less - 1e-12
