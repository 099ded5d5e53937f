"""What a cohort run has done so far, on disk after every film, so that a crash costs one film."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from service.errors import UsageError
from service.jobs.scored import COLUMNS, Row


class Journal:
    """Rows as JSON lines, each fsynced; the first line names the model that wrote them.

    Parameters
    ----------
    path : the file, beside the output.
    model : label of the weights in use.
    resume : keep the rows that are there instead of starting anew.

    Raises
    ------
    UsageError : another run holds the journal, or another model wrote it.
    """

    def __init__(self, path: Path, model: str, *, resume: bool) -> None:
        self.path = path
        self.done: dict[str, Row] = {}
        self._file: BinaryIO = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise UsageError(
                f"expected to be the only run that writes {path}, found another; wait for it or "
                "choose another output"
            ) from None
        try:
            end = self._read(model) if resume else 0
            self._file.truncate(end)
            if end == 0:
                self._write({"model": model})
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, row: Row) -> None:
        """Keep one row; it is on disk when this returns."""
        self.done[row.path] = row
        self._write(row.as_dict())

    def keep(self, rows: Iterable[Row]) -> None:
        """Keep rows of an earlier, finished run."""
        for row in rows:
            if row.path not in self.done:
                self.add(row)

    def remove(self) -> None:
        """Delete the journal: its rows are in the table now."""
        self.path.unlink(missing_ok=True)

    def _write(self, line: dict[str, object]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self, model: str) -> int:
        """Take in the rows; returns where the last whole line ends."""
        self._file.seek(0)
        end = 0
        for number, line in enumerate(self._file.read().splitlines(keepends=True)):
            said = _parse(line)
            if said is None:
                break  # the line that the crash cut short
            if number == 0:
                _check_model(self.path, str(said.get("model")), model)
            elif set(said) == set(COLUMNS):
                row = Row(**said)
                self.done[row.path] = row
            end += len(line)
        return end


def _parse(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        said = json.loads(line)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def _check_model(path: Path, found: str, model: str) -> None:
    if found != model:
        raise UsageError(
            f"expected {path} to be written by {model}, found {found}; scores of two models do not "
            "belong in one table: start again without --resume"
        )
