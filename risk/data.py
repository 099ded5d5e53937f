"""Training tables from the public sources, with the same definitions as the served rows.

A data folder is laid out like the project's data folder (or like its `risk` part). A hospital's
own data is one CSV or Parquet table with the columns of `features.columns` plus `label`,
`patient` and, where there are several, `hospital`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from risk import outpatient, sheet, ventilation
from risk.estimate import Value
from risk.features import (
    BASE,
    CHANGE_WINDOW_H,
    PRESSURE_CHANGE,
    TABLES,
    URINE_WINDOW_H,
    VENTILATION,
    WINDOW_H,
    WINDOWED,
    Variable,
)

HORIZON_H = 12.0
DEFAULT_THRESHOLD = 2.8211  # extent (severity model) that separates Brixia 0-2 from more, Cohen

# eICU demo (ricu names) -> ours, with the factor into our unit.
_EICU: Mapping[str, tuple[str, float]] = {
    "hr": ("heart_rate", 1.0),
    "resp": ("respiratory_rate", 1.0),
    "o2sat": ("spo2", 1.0),
    "sbp": ("systolic_bp", 1.0),
    "dbp": ("diastolic_bp", 1.0),
    "map": ("mean_bp", 1.0),
    "temp": ("temperature", 1.0),
    "fio2": ("fio2", 0.01),
    "ph": ("ph", 1.0),
    "po2": ("pao2", 1.0),
    "pco2": ("paco2", 1.0),
    "bicar": ("bicarbonate", 1.0),
    "lact": ("lactate", 1.0),
    "wbc": ("wbc", 1.0),
    "hgb": ("haemoglobin", 1.0),
    "crea": ("creatinine", 1.0),
    "bun": ("urea", 0.357),
    "urine": ("urine_output", 1.0),
}

# PhysioNet/CinC 2012 -> ours. RespRate and FiO2 are left out on purpose: their presence
# follows ventilation there, and with them the label leaks.
_CINC: Mapping[str, tuple[str, float]] = {
    "HR": ("heart_rate", 1.0),
    "SysABP": ("systolic_bp", 1.0),
    "NISysABP": ("systolic_bp", 1.0),
    "DiasABP": ("diastolic_bp", 1.0),
    "NIDiasABP": ("diastolic_bp", 1.0),
    "MAP": ("mean_bp", 1.0),
    "NIMAP": ("mean_bp", 1.0),
    "Temp": ("temperature", 1.0),
    "GCS": ("gcs", 1.0),
    "pH": ("ph", 1.0),
    "PaO2": ("pao2", 1.0),
    "PaCO2": ("paco2", 1.0),
    "HCO3": ("bicarbonate", 1.0),
    "Lactate": ("lactate", 1.0),
    "WBC": ("wbc", 1.0),
    "Creatinine": ("creatinine", 1.0),
    "BUN": ("urea", 0.357),
    "Urine": ("urine_output", 1.0),
}


@dataclass(frozen=True, slots=True)
class Cohort:
    """Rows to fit or to judge a model on.

    Parameters
    ----------
    rows : one column per variable of the model's table, NaN or None where not known.
    label : (n,), True where the outcome came.
    patient : (n,), the unit of resampling: a stay, a patient.
    group : (n,), the unit of splitting: a hospital, a state.
    hour : (n,), hours since admission; zeros where rows are patients.
    onset : (n,), hour of the outcome, infinite where it never came.
    left_out : `row` and `reason` of the rows of a hospital's own table that are not used.
    """

    name: str
    rows: pd.DataFrame
    label: NDArray[np.bool_]
    patient: NDArray[np.int64]
    group: NDArray[np.int64]
    hour: NDArray[np.float64]
    onset: NDArray[np.float64]
    left_out: pd.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.label)

    def take(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> Cohort:
        """The rows that `keep` picks."""
        return Cohort(
            self.name,
            self.rows.loc[keep].reset_index(drop=True)
            if keep.dtype == np.bool_
            else self.rows.iloc[keep].reset_index(drop=True),
            self.label[keep],
            self.patient[keep],
            self.group[keep],
            self.hour[keep],
            self.onset[keep],
        )


def risk_folder(data: Path) -> Path:
    """The folder that holds `eicu_demo`: `data` itself or `data/risk`."""
    for folder in (data / "risk", data):
        if (folder / "eicu_demo").is_dir() or any(folder.glob("mexico_sinave_*.csv.gz")):
            return folder
    raise FileNotFoundError(
        f"expected eicu_demo/ or mexico_sinave_*.csv.gz in {data} or {data / 'risk'}, found "
        "neither; give the data folder, or one CSV or Parquet table of your own"
    )


def eicu(folder: Path) -> Cohort:
    """Patient-hours of the eICU demo that are not ventilated, at the end of each charted hour.

    The values charted in hour h are known at t = h + 1. The label is the first invasive
    ventilation in (t, t + 12 h]. Stays ventilated on arrival, or probably so, are left out.
    """
    stays = pd.read_csv(folder / "eicu_demo" / "stays.csv")
    stays = stays[~stays["hidden_vent_day1"]]
    hourly = pd.read_parquet(folder / "eicu_demo" / "hourly.parquet")
    keep = ["stay_id", "vent_onset_h", "age", "sex", "hospitalid"]
    grid = hourly[["stay_id", "hour", *_EICU]].merge(stays[keep], on="stay_id")
    grid = grid.sort_values(["stay_id", "hour"], ignore_index=True)
    grid = grid.rename(columns={name: ours for name, (ours, _) in _EICU.items()})
    for ours, factor in _EICU.values():
        grid[ours] *= factor
    grid["t"] = grid["hour"] + 1.0
    return _cohort("eicu_demo", grid, grid["sex"].str.lower(), grid["hospitalid"])


def cinc(folder: Path) -> Cohort:
    """Patient-hours of PhysioNet/CinC 2012 from hour 6 that are not ventilated.

    Onsets before hour 6 are mostly surgical arrivals already intubated; those stays are out.
    The set's `MechVent` flags end at 48 h: rows whose horizon ends later are out too.
    """
    long = pd.read_parquet(folder / "cinc2012" / "long.parquet")
    records = pd.read_csv(folder / "cinc2012" / "records.csv")
    long = long.assign(record=long["record"].astype(int), param=long["param"].astype(str))
    gender = long[long["param"] == "Gender"].drop_duplicates("record").set_index("record")["value"]
    long = long[long["param"].isin(list(_CINC)) & (long["value"] >= 0)]
    long = long.assign(
        ours=long["param"].map({k: v[0] for k, v in _CINC.items()}),
        value=long["value"] * long["param"].map({k: v[1] for k, v in _CINC.items()}),
        bucket=np.floor(long["hour"]).astype(int),
    )
    urine = long[long["ours"] == "urine_output"]
    wide = long.pivot_table(index=["record", "bucket"], columns="ours", values="value")
    wide["urine_output"] = urine.groupby(["record", "bucket"])["value"].sum()
    index = pd.MultiIndex.from_product([records["record"], range(48)], names=["record", "bucket"])
    grid = wide.reindex(index).reset_index().merge(records, on="record")
    grid = grid.sort_values(["record", "bucket"], ignore_index=True)
    grid = grid.rename(columns={"record": "stay_id", "first_mechvent_h": "vent_onset_h"})
    grid["t"] = grid["bucket"] + 1.0
    sex = grid["stay_id"].map(gender).map({0.0: "female", 1.0: "male"})
    cohort = _cohort("cinc2012", grid, sex, (grid["set"] == "b").astype(int))
    return cohort.take((cohort.onset >= 6) & (cohort.hour >= 6) & (cohort.hour <= 36))


def _cohort(name: str, grid: pd.DataFrame, sex: pd.Series, group: pd.Series) -> Cohort:
    """Features of a complete hourly grid, then only the hours before the onset."""
    rows = _features(grid)
    rows["age_years"], rows["sex"] = grid["age"], sex.where(sex.isin(["female", "male"]), None)
    rows["hours_in_unit"] = grid["t"]
    rows["ventilated"] = "no"
    rows = rows[[variable.name for variable in VENTILATION]]
    onset = grid["vent_onset_h"].fillna(np.inf).to_numpy(float)
    t = grid["t"].to_numpy(float)
    at_risk = onset > t
    cohort = Cohort(
        name,
        rows,
        onset <= t + HORIZON_H,
        grid["stay_id"].to_numpy(np.int64),
        group.to_numpy(np.int64),
        t,
        onset,
    )
    return cohort.take(at_risk)


def _features(grid: pd.DataFrame) -> pd.DataFrame:
    """The vectorised twin of `features.ventilation_row` for a grid without gaps in its hours."""
    stay = grid["stay_id"]
    rows = pd.DataFrame(index=grid.index, columns=[v.name for v in VENTILATION], dtype=float)
    for variable in BASE:
        if variable.name in grid:
            values = _plausible(grid[variable.name], variable)
            if variable.name in WINDOWED:
                window = _window(values, stay, grid["t"])
                for statistic in WINDOWED[variable.name]:
                    rows[f"{variable.name}_{statistic}_6h"] = window[statistic]
            if variable.name == "urine_output":
                rows[variable.name] = _urine(values, stay).clip(upper=variable.high)
            else:
                limit = int(variable.max_age_h)
                rows[variable.name] = values.groupby(stay).ffill(limit=limit)
            if variable.name == "systolic_bp":
                first = _first_of_window(values, stay)
                rows[PRESSURE_CHANGE.name] = rows[variable.name] - first
    return rows


def _first_of_window(values: pd.Series, stay: pd.Series) -> pd.Series:
    """The earliest reading of the last 48 hours: the next one after the window's first hour."""
    following = values.groupby(stay).bfill()
    place = stay.groupby(stay).cumcount().to_numpy()
    back = np.minimum(place, int(CHANGE_WINDOW_H) - 1)
    return pd.Series(following.to_numpy()[np.arange(len(stay)) - back], index=values.index)


def reads_as(name: str, value: float) -> bool:
    """Whether a charted value is taken as a reading: the rule of `_plausible`, one at a time."""
    variable = next(v for v in BASE if v.name == name)
    factor = next(factor for ours, factor in _EICU.values() if ours == name)
    return bool(_plausible(pd.Series([value * factor]), variable).notna().iloc[0])


def _plausible(values: pd.Series, variable: Variable) -> pd.Series:
    high = 9000.0 if variable.name == "urine_output" else variable.high
    return values.where((values >= variable.low) & (values <= high))


def _rolling(values: pd.Series, stay: pd.Series, hours: float) -> Any:
    return values.groupby(stay).rolling(int(hours), min_periods=1)


def _urine(volumes: pd.Series, stay: pd.Series) -> pd.Series:
    total: pd.Series = _rolling(volumes, stay, URINE_WINDOW_H).sum().droplevel(0)
    return total / URINE_WINDOW_H


def _window(values: pd.Series, stay: pd.Series, t: pd.Series) -> dict[str, pd.Series]:
    rolling = _rolling(values, stay, WINDOW_H)
    hours = t.where(values.notna())

    def mean(series: pd.Series) -> pd.Series:
        average: pd.Series = _rolling(series, stay, WINDOW_H).mean().droplevel(0)
        return average

    centre = mean(hours)
    spread = mean(hours**2) - centre**2
    slope = (mean(hours * values) - centre * mean(values)) / spread
    enough = _rolling(values, stay, WINDOW_H).count().droplevel(0) >= 3
    return {
        "min": rolling.min().droplevel(0),
        "max": rolling.max().droplevel(0),
        "mean": rolling.mean().droplevel(0),
        "slope": slope.where(enough),
    }


_MEXICO_YES_NO: Mapping[str, str] = {
    "EMBARAZO": "pregnancy",
    "OTRO_CASO": "contact",
    "TABAQUISMO": "smoking",
    "DIABETES": "diabetes",
    "EPOC": "copd",
    "ASMA": "asthma",
    "INMUSUPR": "immunosuppression",
    "HIPERTENSION": "hypertension",
    "CARDIOVASCULAR": "cardiovascular_disease",
    "OBESIDAD": "obesity",
    "RENAL_CRONICA": "chronic_kidney_disease",
    "OTRA_COM": "other_comorbidity",
    "NEUMONIA": "pneumonia",
}


def mexico(folder: Path) -> Cohort:
    """Everyone seen for suspected COVID-19 in Mexico, except the last 14 days of admissions.

    The label is intensive care, intubation or death by the date of the file. Codes 97, 98 and
    99 (not applicable, ignored, unknown) are missing, except that men are not pregnant.
    """
    path = max(folder.glob("mexico_sinave_*.csv.gz"))
    people = pd.read_csv(path)
    seen = pd.to_datetime(people["FECHA_INGRESO"])
    snapshot = pd.to_datetime(people["FECHA_ACTUALIZACION"]).max()
    kept = (seen < snapshot - pd.Timedelta(days=14)).to_numpy()
    people, seen = people[kept].reset_index(drop=True), seen[kept].reset_index(drop=True)
    label = (people["UCI"] == 1) | (people["INTUBADO"] == 1) | (people["FECHA_DEF"] < "9999")
    rows = pd.DataFrame(index=people.index, columns=[v.name for v in TABLES["outpatient"]])
    rows["age_years"] = people["EDAD"].astype(float)
    rows["sex"] = people["SEXO"].map({1: "female", 2: "male"})
    days = (seen - pd.to_datetime(people["FECHA_SINTOMAS"])).dt.days
    rows["days_since_symptoms"] = days.where((days >= 0) & (days <= 60)).astype(float)
    rows["test_result"] = people["RESULTADO"].map({1: "positive", 2: "negative", 3: "pending"})
    for column, ours in _MEXICO_YES_NO.items():
        rows[ours] = people[column].map({1: "yes", 2: "no"})
    rows.loc[rows["sex"] == "male", "pregnancy"] = "no"
    return Cohort(
        "mexico",
        rows,
        label.to_numpy(bool),
        np.arange(len(people)),
        people["ENTIDAD_UM"].to_numpy(np.int64),
        np.zeros(len(people)),
        np.full(len(people), np.inf, dtype=np.float64),
    )


def table(name: str, path: Path) -> Cohort:
    """A hospital's own table: the columns of the model, `label`, `patient`, maybe `hospital`.

    Values are checked, brought into our units and completed as serving does for each row; rows
    that the model would not answer are in `left_out`.

    Raises
    ------
    BadValue : the file cannot be read, lacks a column, has one that nobody knows, or too many
        wrong values; the message says which.
    """
    return local(name, sheet.read(path), path.name)


def local(name: str, frame: pd.DataFrame, called: str) -> Cohort:
    """`table` for rows that are already read; `called` is what messages call them."""
    names = [variable.name for variable in TABLES[name]]
    found = sheet.outcomes(frame, called, names, _AS_SERVED[name])
    return Cohort(
        Path(called).stem,
        found.rows,
        found.label,
        found.patient,
        found.hospital,
        np.zeros(len(found.label)),
        np.full(len(found.label), np.inf, dtype=np.float64),
        found.left_out,
    )


def _ventilation(row: Mapping[str, object]) -> tuple[dict[str, Value], str]:
    checked, reason = ventilation.answerable(row)
    return ventilation.derive(checked), reason


def _outpatient(row: Mapping[str, object]) -> tuple[dict[str, Value], str]:
    checked, reason = outpatient.answerable(row)
    return outpatient.derive(checked, DEFAULT_THRESHOLD), reason


_AS_SERVED: Mapping[str, sheet.Answerable] = {
    "ventilation": _ventilation,
    "outpatient": _outpatient,
}


def fingerprint(cohort: Cohort) -> str:
    """Digest of rows and outcomes, the same in any order: whether a model knows these rows."""
    rows = cohort.rows.assign(label=cohort.label)[[*sorted(cohort.rows.columns), "label"]]
    hashed = np.sort(pd.util.hash_pandas_object(rows.astype(str), index=False).to_numpy())
    return hashlib.sha256(hashed.tobytes()).hexdigest()
