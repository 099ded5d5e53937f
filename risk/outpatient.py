"""The probability of intensive care, ventilation or death for someone seen at a clinic."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from risk import rows
from risk.additive import Table, shipped
from risk.estimate import Estimate, Value, refused
from risk.features import TABLES, BadValue, Variable

VARIABLES: tuple[Variable, ...] = TABLES["outpatient"]
# What acts differently with pneumonia, and the name of its second curve, which exists only there.
WITH_PNEUMONIA: Mapping[str, str] = {
    "age_years": "age_with_pneumonia",
    "days_since_symptoms": "days_with_pneumonia",
    "sex": "sex_with_pneumonia",
    "test_result": "test_result_with_pneumonia",
    "contact": "contact_with_pneumonia",
}


def predict(row: Mapping[str, object], table: Table | None = None) -> Estimate:
    """Estimate one person's risk of intensive care, intubation or death.

    Parameters
    ----------
    row : values by the names of `carina risk columns outpatient`; what is missing is left out.
    table : another coefficient table, for example one fitted on local data.

    Returns
    -------
    Estimate
        Refused without age or sex, or where a value is impossible. Higher is worse. Measured on
        people seen for suspected COVID-19 in Mexico in spring 2020; the terms of vital signs,
        urea, CRP and lymphocytes are published points and were not fitted there.
    """
    table = table or shipped("outpatient")
    try:
        values, reason = answerable(row)
    except BadValue as error:
        return rows.refuse_bad(error, table)
    missing = tuple(v.name for v in VARIABLES if values[v.name] is None)
    if reason:
        return refused(reason, table.label, missing)
    return rows.estimate(table, derive(values, _threshold(table)), missing)


def answerable(row: Mapping[str, object]) -> tuple[dict[str, Value], str]:
    """The row's checked values, and why there is no answer for such a person, "" where there is.

    Raises
    ------
    BadValue : a value is impossible, or contradicts another.
    """
    checked = rows.check(row, VARIABLES)
    if checked["sex"] == "male" and checked["pregnancy"] == "yes":
        raise BadValue("pregnancy: expected no for a man, found yes; correct sex or pregnancy")
    needed = [name for name in ("age_years", "sex") if checked[name] is None]
    if needed:
        return checked, f"expected age_years and sex, found no {' and no '.join(needed)}; enter it"
    return checked, ""


def predict_table(frame: pd.DataFrame, table: Table | None = None) -> pd.DataFrame:
    """`predict` for every row of a table; see `rows.predict_table`."""
    table = table or shipped("outpatient")
    threshold = _threshold(table)
    return rows.predict_table(frame, answerable, lambda row: derive(row, threshold), table)


def _threshold(table: Table) -> float:
    return float(table.card["parameters"]["pneumonia_threshold_extent"])


def derive(checked: Mapping[str, Value], threshold: float) -> dict[str, Value]:
    """Add what the terms need: pneumonia from the film's score, oxygen from the flow, GCS < 15.

    Age, days since symptoms, sex, test and contact act differently with pneumonia: they have a
    second curve there.
    A film whose extent reaches `threshold` (where Brixia leaves 0-2) counts as pneumonia, also
    beside a report that says no; a lower extent says "no" only where there is no report.
    """
    values = dict(checked)
    extent, flow, gcs = values["severity_extent"], values["oxygen_flow"], values["gcs"]
    if isinstance(extent, float):
        if extent >= threshold:
            values["pneumonia"] = "yes"
        elif values["pneumonia"] is None:
            values["pneumonia"] = "no"
    if values["oxygen"] is None and isinstance(flow, float):
        values["oxygen"] = "oxygen" if flow > 0 else "room_air"
    if values["pregnancy"] is None and values["sex"] == "male":
        values["pregnancy"] = "no"
    ill = values["pneumonia"] == "yes"
    for name, inside in WITH_PNEUMONIA.items():
        values[inside] = values[name] if ill else None
    values["confusion"] = None
    if isinstance(gcs, float):
        values["confusion"] = "yes" if gcs < 15 else "no"
    return values
