"""The cohort table on disk: Parquet or CSV, the columns of `Row` in their order."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from service.errors import UsageError
from service.jobs.scored import COLUMNS, Row

SUFFIXES = (".parquet", ".csv")
_TYPES = {"acquired_at": pa.timestamp("us")}
_NUMBERS = {field.name for field in fields(Row) if "float" in str(field.type)}
SCHEMA = pa.schema(
    [
        (name, _TYPES.get(name, pa.float64() if name in _NUMBERS else pa.string()))
        for name in COLUMNS
    ]
)


def check_output(output: Path) -> None:
    """Refuse an output that could not be written, before hours are spent.

    Raises
    ------
    UsageError : another suffix, or a folder that cannot be written to.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"expected an output that ends in {' or '.join(SUFFIXES)}, found {output.name!r}"
        )
    if output.is_dir():
        raise UsageError(f"expected a file to write to, found the folder {output}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"expected to write into {output.parent}, found: {error}") from error
    if not os.access(output.parent, os.W_OK):
        raise UsageError(f"expected to write into {output.parent}, found it read-only")


def write(rows: Sequence[Row], output: Path) -> None:
    """Write the table, whole or not at all."""
    part = output.with_name(f".{output.name}.part")
    if output.suffix.lower() == ".csv":
        _write_csv(rows, part)
    else:
        pq.write_table(_arrow(rows), part, compression="zstd")
    with part.open("rb") as written:
        os.fsync(written.fileno())
    part.replace(output)
    folder = os.open(output.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read(output: Path) -> list[Row]:
    """Rows of an earlier run; none where there is no table.

    Raises
    ------
    UsageError : the file is there but is not such a table.
    """
    if not output.exists():
        return []
    try:
        found = _read_csv(output) if output.suffix.lower() == ".csv" else _read_parquet(output)
        return [Row(**{name: _plain(name, row[name]) for name in COLUMNS}) for row in found]
    except (pa.ArrowInvalid, KeyError, ValueError, csv.Error) as error:
        raise UsageError(
            f"expected {output} to be a table of an earlier run, found: {error}; choose another "
            "output or start again without --resume"
        ) from error


def _arrow(rows: Sequence[Row]) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in COLUMNS}
    columns["acquired_at"] = [
        datetime.fromisoformat(moment) if moment else None for moment in columns["acquired_at"]
    ]
    return pa.table(columns, schema=SCHEMA)


def _write_csv(rows: Sequence[Row], part: Path) -> None:
    with part.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(COLUMNS)
        for row in rows:
            values = row.as_dict().values()
            writer.writerow(["" if value is None else value for value in values])


def _read_csv(output: Path) -> list[dict[str, Any]]:
    with output.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _read_parquet(output: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(output).to_pylist()
    return found


def _plain(name: str, value: Any) -> Any:
    """A cell as `Row` holds it."""
    if name in _NUMBERS:
        return None if value in ("", None) else float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else str(value)
