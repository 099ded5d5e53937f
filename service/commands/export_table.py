"""The tables of an export: a new folder, CSV and Parquet, and what each column means."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from service.errors import UsageError


def insist_on_empty(folder: Path) -> None:
    """An export never mixes with what is there.

    Raises
    ------
    UsageError : the folder holds files already, or is none.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"expected a new or empty folder, found files in {folder}: name another")


def write(
    path: Path, rows: Sequence[Mapping[str, str | float | bool | None]], columns: dict[str, str]
) -> None:
    """One table as CSV and as Parquet, with a JSON beside it in the form of BIDS.

    Parameters
    ----------
    path : of the table, without suffix.
    columns : what each one means, in their order.
    """
    table = pd.DataFrame(rows, columns=list(columns))
    table.to_csv(path.with_suffix(".csv"), index=False)
    table.to_parquet(path.with_suffix(".parquet"), index=False)
    said = {column: {"Description": words} for column, words in columns.items()}
    path.with_suffix(".json").write_text(json.dumps(said, indent=2), encoding="utf-8")
