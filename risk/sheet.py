"""One file of rows as a hospital hands it over, CSV or Parquet: read, checked, or turned down."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as arrow_csv
from numpy.typing import NDArray

from risk.estimate import Value
from risk.features import BadValue, is_missing

LABELS = ("label", "patient", "hospital")
ABSENT = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "none", "#N/A", "<NA>")
MOST_WRONG = 0.2  # of the rows; with more, the table means something else than it says
SNIFFED_BYTES = 65536
PARQUET, GZIP, ZIP = b"PAR1", b"\x1f\x8b", b"PK\x03\x04"

Answerable = Callable[[dict[str, object]], tuple[dict[str, Value], str]]


def read(path: Path) -> pd.DataFrame:
    """The rows of a CSV (UTF-8, commas) or a Parquet file, told apart by their first bytes.

    Cells of a CSV stay text until they are checked, so that a message can quote them.

    Raises
    ------
    BadValue : no such file, another format or encoding, a ragged row, a column twice, no rows.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise BadValue(f"expected a CSV or Parquet table at {path}, found {found}: check the path")
    try:
        with path.open("rb") as file:
            start = file.read(SNIFFED_BYTES)
    except OSError as error:
        raise BadValue(
            f"expected a table that may be read at {path}, found: {error.strerror}"
        ) from error
    frame = _parquet(path) if start.startswith(PARQUET) else _csv(path, start)
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    if frame.columns.has_duplicates:
        twice = sorted(set(frame.columns[frame.columns.duplicated()]))
        raise BadValue(
            f"{path.name}: expected each column once, found twice: {', '.join(twice)}; drop one"
        )
    if frame.empty:
        raise BadValue(f"{path.name}: expected at least one row, found 0 rows, an empty table")
    return frame


def _parquet(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise BadValue(
            f"{path.name}: expected a whole Parquet file, found a damaged one "
            f"({type(error).__name__}); write it again"
        ) from error
    named = [name for name in frame.index.names if name is not None]
    return frame.reset_index() if named else frame.reset_index(drop=True)


def _csv(path: Path, start: bytes) -> pd.DataFrame:
    _is_text(path, start)
    bad: list[Any] = []

    def note(row: Any) -> str:
        bad.append(row)
        return "skip"

    try:
        found = arrow_csv.read_csv(
            path,
            read_options=arrow_csv.ReadOptions(use_threads=False),
            parse_options=arrow_csv.ParseOptions(
                newlines_in_values=True,
                invalid_row_handler=note,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(_header(start), pa.string()),
                strings_can_be_null=True,
                null_values=list(ABSENT),
            ),
        )
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise BadValue(
            f"{path.name}: expected a CSV table in UTF-8 with commas, found: {_first(error)}; "
            "export it again"
        ) from error
    if bad:
        raise BadValue(
            f"{path.name}: expected {bad[0].expected_columns} fields in every line, found "
            f"{bad[0].actual_columns} in line {bad[0].number}; look for a missing or an extra "
            "comma, an open quote, or a file that was cut short"
        )
    frame: pd.DataFrame = found.to_pandas()
    return frame


def _is_text(path: Path, start: bytes) -> None:
    """Turn down what is no CSV in UTF-8 with commas, in words that name what it is."""
    if path.suffix.lower() in (".parquet", ".pq"):
        raise BadValue(
            f"{path.name}: expected a Parquet file, as its name says, found something else; write "
            "it again, or name a CSV table .csv"
        )
    if start.startswith((GZIP, ZIP)):
        raise BadValue(
            f"{path.name}: expected a plain CSV or Parquet table, found a packed file or a "
            "workbook; unpack it, or save the sheet as CSV UTF-8"
        )
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in start:
        raise BadValue(
            f"{path.name}: expected text in UTF-8, found UTF-16 or no text; save it as CSV UTF-8"
        )
    try:
        io.TextIOWrapper(io.BytesIO(start.rsplit(b"\n", 1)[0]), "utf-8").read()
    except UnicodeDecodeError as error:
        raise BadValue(
            f"{path.name}: expected text in UTF-8, found the byte 0x{start[error.start]:02x} at "
            f"position {error.start}; save it as CSV UTF-8"
        ) from error
    header = _header(start)
    if len(header) == 1:
        for mark, word in ((";", "semicolons"), ("\t", "tabs")):
            if mark in header[0]:
                raise BadValue(
                    f"{path.name}: expected columns separated by commas, found {word}; export it "
                    "with commas, and with points in decimal numbers"
                )
    if b"\n" not in start and b"\r" not in start and start:
        raise BadValue(f"{path.name}: expected column names and rows, found one line; check it")
    if not any(name.strip() for name in header):
        raise BadValue(f"{path.name}: expected a line of column names, found none; check the file")


def _header(start: bytes) -> list[str]:
    """Names in the first line that is not blank."""
    text = start.decode("utf-8-sig", errors="replace").lstrip("\r\n")
    return next(csv.reader(io.StringIO(text)), [])


def _first(error: BaseException) -> str:
    """The first line of a library's message, without the data that it quotes."""
    return (str(error).splitlines() or [type(error).__name__])[0].split(": ")[0][:120]


def disorder(frame: pd.DataFrame) -> list[str]:
    """Why each row is out of order in time, "" where it is not.

    Looked at where the table has `patient` and `hours_in_unit`: a patient-hour that stands twice
    is refused wherever it stands, an hour that lies before an earlier row of its patient too.
    """
    reasons = [""] * len(frame)
    if not {"patient", "hours_in_unit"} <= set(frame.columns):
        return reasons
    hours = pd.to_numeric(frame["hours_in_unit"].astype("object"), errors="coerce").to_numpy(float)
    patients = frame["patient"].astype(str).to_numpy()
    known = np.isfinite(hours) & frame["patient"].notna().to_numpy()
    pairs = pd.DataFrame({"patient": patients, "hour": hours})
    twice = pairs.duplicated(keep=False).to_numpy() & known
    latest: dict[str, float] = {}
    for row in np.flatnonzero(known):
        hour, before = hours[row], latest.get(patients[row], -np.inf)
        if twice[row]:
            reasons[row] = (
                f"expected one row for a patient and an hour, found hour {hour:g} of this patient "
                "twice; keep the right one"
            )
        elif hour < before:
            reasons[row] = (
                f"hours_in_unit: expected the hours of a patient to rise, found {hour:g} after "
                f"{before:g}; correct the clock or sort the rows"
            )
        latest[patients[row]] = max(hour, before)
    return reasons


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Rows with an outcome that a model can answer.

    Parameters
    ----------
    rows : checked values in our units, one column per variable, None where not known.
    label : (n,), True where the outcome came.
    patient, hospital : (n,), numbers that stand for who and where; the patient where there are
        no two hospitals.
    left_out : `row` (1 is the first below the header) and `reason` of each row not used.
    """

    rows: pd.DataFrame
    label: NDArray[np.bool_]
    patient: NDArray[np.int64]
    hospital: NDArray[np.int64]
    left_out: pd.DataFrame


def outcomes(
    frame: pd.DataFrame, name: str, variables: Sequence[str], answerable: Answerable
) -> Outcomes:
    """Split a table with outcomes into the rows that can be learned from and the others.

    Parameters
    ----------
    frame : the model's columns, `label` and `patient`, and `hospital` where there are several.
    name : what messages call the table.
    answerable : a row's values as the model sees them and "", or the reason why it has no
        answer (ventilated already, nothing measured); it raises `BadValue` for a wrong value.

    Raises
    ------
    BadValue : a column is missing or unknown, a label or a patient is missing, the outcome is of
        one kind, or so many rows hold wrong values that the table must mean something else.
    """
    _columns(frame, name, variables)
    label, patient = labels(frame, name), codes(frame["patient"], name)
    hospital = codes(frame["hospital"], name) if "hospital" in frame else patient
    if len(np.unique(hospital)) < 2:
        hospital = patient  # one hospital cannot be held out
    reasons = disorder(frame)
    wrong = np.array([bool(reason) for reason in reasons])
    values: list[dict[str, Value]] = []
    for row, cells in enumerate(records(frame.drop(columns=[c for c in LABELS if c in frame]))):
        try:
            found, reason = answerable(cells)
        except BadValue as error:
            found, reason, wrong[row] = {}, str(error), True
        reasons[row] = reasons[row] or reason
        if not reasons[row]:
            values.append(found)
    kept = np.array([not reason for reason in reasons])
    _enough(name, label, kept, wrong, reasons)
    rows = pd.DataFrame(values)
    left_out = pd.DataFrame(
        {"row": np.flatnonzero(~kept) + 1, "reason": [r for r in reasons if r]},
    )
    return Outcomes(
        rows.reindex(columns=list(variables)), label[kept], patient[kept], hospital[kept], left_out
    )


def records(frame: pd.DataFrame) -> Iterable[dict[str, object]]:
    """Each row as a dictionary, one at a time."""
    names = [str(name) for name in frame.columns]
    for cells in zip(*(frame[name].array for name in names), strict=True):
        yield dict(zip(names, cells, strict=True))


def _columns(frame: pd.DataFrame, name: str, variables: Sequence[str]) -> None:
    unknown = sorted(set(frame.columns) - set(variables) - set(LABELS))
    if unknown:
        raise BadValue(
            f"{name}: expected the columns of `carina risk columns` and {', '.join(LABELS)}, "
            f"found also {', '.join(unknown)}; rename or drop them"
        )
    for needed in ("label", "patient"):
        if needed not in frame:
            raise BadValue(f"{name}: expected a column {needed!r}, found none; add it")
    if frame.empty:
        raise BadValue(
            f"{name}: expected rows with and without the outcome, found 0 rows; give more data"
        )


_OUTCOMES = {"1": True, "yes": True, "true": True, "0": False, "no": False, "false": False}


def labels(frame: pd.DataFrame, name: str) -> NDArray[np.bool_]:
    """(n,) the column `label`, each 0 or 1, no or yes; `name` is what messages call the table."""
    cells = enumerate(frame["label"], 1)
    return np.array([_label(name, row, value) for row, value in cells], np.bool_)


def _label(name: str, row: int, value: object) -> bool:
    word = str(value).strip().lower().removesuffix(".0")
    if is_missing(value) or word not in _OUTCOMES:
        found = "nothing" if is_missing(value) else repr(value)
        raise BadValue(
            f"{name}: expected label 0 or 1 in row {row}, found {found}; correct it or drop the row"
        )
    return _OUTCOMES[word]


def codes(column: pd.Series, name: str) -> NDArray[np.int64]:
    """(n,) a number for each different patient or hospital."""
    absent = column.isna().to_numpy()
    if absent.any():
        raise BadValue(
            f"{name}: expected a {column.name} in every row, found none in row "
            f"{int(np.argmax(absent)) + 1}; fill it in or drop the row"
        )
    return np.asarray(pd.factorize(column.astype(str))[0], dtype=np.int64)


def _enough(
    name: str,
    label: NDArray[np.bool_],
    kept: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    reasons: Sequence[str],
) -> None:
    if len(np.unique(label)) < 2:
        raise BadValue(
            f"{name}: expected rows with and without the outcome, found {len(label)} rows of one "
            "kind; give more data"
        )
    if wrong.mean() > MOST_WRONG:
        row = int(np.argmax(wrong))
        raise BadValue(
            f"{name}: expected wrong values in {MOST_WRONG:.0%} of the rows at most, found them in "
            f"{wrong.mean():.0%}, first in row {row + 1}: {reasons[row]}"
        )
    if len(np.unique(label[kept])) < 2:
        row = int(np.argmin(kept))
        raise BadValue(
            f"{name}: expected usable rows with and without the outcome, found {int(kept.sum())}, "
            f"not of both kinds; row {row + 1} is not usable: {reasons[row]}"
        )


def write_left_out(left_out: pd.DataFrame, folder: Path) -> None:
    """Write left_out.csv beside what was made from the other rows, or remove an old one."""
    path = folder / "left_out.csv"
    path.unlink(missing_ok=True)
    if len(left_out):
        folder.mkdir(parents=True, exist_ok=True)
        left_out.to_csv(path, index=False)
