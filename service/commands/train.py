"""`carina train NAME --data DIR -o DIR` and `carina evaluate NAME --data DIR`."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from risk import additive, local
from risk.additive import Table, TableError
from risk.features import BadValue
from service.errors import UsageError

MODULES = {
    "severity": "models.severity",
    "structures": "models.structures",
    "registration": "registration",
    "quality": "models.quality",
    "ventilation": "risk",
    "outpatient": "risk",
}
RISK = ("ventilation", "outpatient")
REFUSED = (BadValue, TableError, FileNotFoundError)  # what the risk models say of their data


def train(name: str, data: Path, out: Path, *, resume: bool, quick: bool) -> int:
    """Train one model on `data`, laid out as docs/researcher.md says."""
    _exists(data)
    _is_folder(out)
    module = _module(name, "train")
    if name not in RISK:
        module.train(data, out, resume=resume, quick=quick)
        print(f"trained {name} -> {out}")
        return 0
    try:
        table = module.train(name, data, out, quick=quick)
    except REFUSED as error:
        raise UsageError(str(error)) from error
    print(f"trained {table.label} on {table.card['parameters']['rows']} rows -> {out}")
    tell_left_out(table, out)
    return 0


def evaluate(name: str, data: Path, out: Path, run: Path | None, model: Path | None = None) -> int:
    """Measure one model on `data`; card and plots, and for risk models a report, go to `out`.

    A risk model on a hospital's own table is measured as it is (`model`, or the one that ships);
    `run` measures a training on that table instead, out of fold.
    """
    _exists(data)
    _is_folder(out)
    if name not in RISK:
        if model is not None:
            raise UsageError(f"expected --model for {' or '.join(RISK)} only, found it for {name}")
        found = _module(name, "evaluate").evaluate(data, out, run=run)
    else:
        try:
            found = _risk(name, data, out, run, model)
        except REFUSED as error:
            raise UsageError(str(error)) from error
    print(json.dumps(found, indent=2, default=str))
    print(f"card and plots -> {out}")
    return 0


def _risk(name: str, data: Path, out: Path, run: Path | None, model: Path | None) -> dict[str, Any]:
    found: dict[str, Any]
    if run is not None or data.is_dir():
        if model is not None:
            raise UsageError(
                "expected --model with one table as --data and without --run, found it beside "
                "a folder or --run; leave one out"
            )
        found = _module(name, "evaluate").evaluate(name, data, out, run=run)
        return found
    table = chosen(name, model)
    judged: Table = _module(name, "validate").validate(name, table, data, out)
    tell_left_out(judged, out)
    found = dict(judged.card["metrics"])
    return found


def chosen(name: str, model: Path | None) -> Table:
    """The model file that was named, else the one that ships.

    Raises
    ------
    TableError : the file is no model of that name, or was changed.
    """
    return additive.shipped(name) if model is None else local.read(name, model)


def tell_left_out(table: Table, out: Path) -> None:
    """Say how many rows of a hospital's own table were not used, and where the reasons are."""
    path = out / "left_out.csv"
    if path.is_file():
        with path.open(encoding="utf-8") as file:
            count = sum(1 for _ in file) - 1
        print(f"{count} rows were not used for {table.name}; the reasons -> {path}")


def _exists(data: Path) -> None:
    if not data.exists():
        raise UsageError(f"expected data at {data}, found nothing there: check --data")


def _is_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"expected a folder for --out, found the file {out}: give another name")


def _module(name: str, step: str) -> Any:
    """The training or evaluation module, imported only now: it may need the extra [train]."""
    try:
        return importlib.import_module(f"{MODULES[name]}.{step}")
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] in MODULES[name]:
            raise
        raise UsageError(
            f"expected the package {error.name} for carina {step} {name}, found none: "
            "pip install 'carina[train]'"
        ) from error
