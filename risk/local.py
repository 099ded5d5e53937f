"""A hospital's own coefficient table, checked before anybody is told a risk from it."""

from __future__ import annotations

import math
from pathlib import Path

from risk import additive, outpatient, ventilation
from risk.additive import Table, TableError, Term
from risk.features import TABLES

NAMES = ("ventilation", "outpatient")
DERIVED = {
    "ventilation": ("sf_ratio", "rox"),
    "outpatient": (*outpatient.WITH_PNEUMONIA.values(), "confusion"),
}
USUAL = {
    "ventilation": {"spo2": 92.0, "respiratory_rate": 24.0, "fio2": 0.4},
    "outpatient": {"age_years": 60.0, "sex": "male"},
}


def read(name: str, path: Path) -> Table:
    """The model file at `path`, for the model `name`.

    Raises
    ------
    TableError : it is no such file, was changed, belongs to another model, has a term that nobody
        knows or a number that is none, or gives no answer for a usual patient.
    """
    if path.is_dir():
        raise TableError(
            f"expected a model file at {path}, found a folder; give the file, {path / name}.json"
        )
    table = additive.read(path)
    if table.name != name:
        raise TableError(
            f"{path.name}: expected a model named {name}, found {table.name}; give the other file"
        )
    for term in table.terms:
        _check(term, name, path)
    _answers(table, name, path)
    return table


def _check(term: Term, name: str, path: Path) -> None:
    known = (*(v.name for v in TABLES[name]), *DERIVED[name])
    if term.variable not in known:
        raise TableError(
            f"{path.name}: expected terms of the columns of `carina risk columns {name}`, found "
            f"{term.variable}; train the model again with this release"
        )
    numbers = (*term.knots, *term.log_odds, *term.variance, term.missing_log_odds)
    rising = all(a < b for a, b in zip(term.knots, term.knots[1:], strict=False))
    fits = len(term.log_odds) == len(term.variance) == len(term.levels or term.knots)
    positive = all(v >= 0 for v in (*term.variance, term.missing_variance))
    if not (fits and rising and positive and all(map(math.isfinite, numbers))):
        raise TableError(
            f"{path.name}: expected rising knots and a finite number for each in the term "
            f"{term.variable}, found others; train the model again"
        )


def _answers(table: Table, name: str, path: Path) -> None:
    model = ventilation if name == "ventilation" else outpatient
    try:
        found = model.predict(USUAL[name], table)
    except (KeyError, ValueError, TypeError) as error:
        raise TableError(
            f"{path.name}: expected an answer for a usual patient, found "
            f"{type(error).__name__}: {error}; train the model again"
        ) from error
    if found.probability is None:
        raise TableError(
            f"{path.name}: expected an answer for a usual patient, found: {found.reason}"
        )
