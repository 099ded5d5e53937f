"""`carina risk ventilation|outpatient TABLE.csv -o FILE.csv` and `carina risk columns NAME`."""

from __future__ import annotations

import sys
from pathlib import Path

from risk import outpatient, sheet, ventilation
from risk.features import BadValue, columns
from service.errors import UsageError

MODELS = {"ventilation": ventilation, "outpatient": outpatient}


def predict(name: str, table: Path, out: Path) -> int:
    """Predict each row of `table`; 0 when at least one row has an answer.

    Raises
    ------
    UsageError : the table is missing, empty, unreadable or has unknown columns.
    """
    if not out.parent.is_dir():
        raise UsageError(f"expected the folder {out.parent} for -o, found none: make it first")
    try:
        found = MODELS[name].predict_table(sheet.read(table))
    except BadValue as error:
        raise UsageError(str(error)) from error
    part = out.with_name(out.name + ".part")
    found.to_csv(part, index=False)
    part.replace(out)
    answered = int((found["status"] == "ok").sum())
    print(f"{answered} of {len(found)} rows answered, {len(found) - answered} refused -> {out}")
    return 0 if answered else 1


def show_columns(name: str) -> int:
    """Print the columns that a table needs, as CSV: name, unit, range, required."""
    columns(name).to_csv(sys.stdout, index=False)
    return 0
