"""`carina risk ventilation|outpatient TABLE -o FILE.csv` and `carina risk columns [NAME]`."""

from __future__ import annotations

import sys
from pathlib import Path

from risk import local, outpatient, sheet, ventilation
from risk.additive import TableError
from risk.features import BadValue, all_columns, columns
from service.errors import UsageError

MODELS = {"ventilation": ventilation, "outpatient": outpatient}


def predict(name: str, table: Path, out: Path, model: Path | None = None) -> int:
    """Predict each row of `table`; 0 when at least one row has an answer.

    Parameters
    ----------
    model : a model file of the hospital's own; None: the one that ships.

    Raises
    ------
    UsageError : the table is missing, empty, unreadable or has unknown columns, or the model file
        cannot be used.
    """
    if not out.parent.is_dir():
        raise UsageError(f"expected the folder {out.parent} for -o, found none: make it first")
    if out.is_dir() or out.resolve() == table.resolve():
        found = "a folder" if out.is_dir() else "the table itself"
        raise UsageError(f"expected a file to write to for -o, found {found}: give another name")
    try:
        served = None if model is None else local.read(name, model)
        answers = MODELS[name].predict_table(sheet.read(table), served)
    except (BadValue, TableError) as error:
        raise UsageError(str(error)) from error
    part = out.with_name(out.name + ".part")
    if out.suffix == ".parquet":
        answers.to_parquet(part, index=False)
    else:
        answers.to_csv(part, index=False)
    part.replace(out)
    answered = int((answers["status"] == "ok").sum())
    print(f"{answered} of {len(answers)} rows answered, {len(answers) - answered} refused -> {out}")
    return 0 if answered else 1


def show_columns(name: str | None) -> int:
    """Print the columns of one model's table as CSV, or those of every model, named beside them."""
    found = columns(name) if name else all_columns()
    found.to_csv(sys.stdout, index=False)
    return 0
