"""What `carina score` was given, as a list of films: files, folders, CSV lists, tar shards."""

from __future__ import annotations

import csv
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.radiograph import Radiograph, read_bytes, read_file
from models.refusal import Refusal
from service.errors import UsageError

# Companions of films in folders and shards. Anything else is tried: DICOM has no fixed suffix.
_TEXTS = ".csv .tsv .txt .json .jsonl .md .xml .html .htm .pdf .log .yml .yaml .toml .ini .cfg"
_TABLES = ".npy .npz .nii .h5 .hdf5 .parquet .feather .pkl .pt .onnx .sqlite .db .idx .index"
_ARCHIVES = ".zip .gz .bz2 .xz .7z .part"
_OTHERS = ".py .ipynb .sh .doc .docx .xls .xlsx .ppt .pptx .cls .cls2 .caption .mp4 .avi"
_NO_IMAGES = frozenset(f"{_TEXTS} {_TABLES} {_ARCHIVES} {_OTHERS}".split())
_NO_IMAGE_NAMES = frozenset({"DICOMDIR", "LICENSE", "README", "MAKEFILE", "THUMBS.DB"})


@dataclass(frozen=True, slots=True)
class Film:
    """Where one film lies.

    Parameters
    ----------
    path : as the table names it; a member of a shard is `shard.tar::member`.
    file : the file to open.
    offset, length : bytes of the film within `file`; None where it is the whole file.
    problem : why it cannot be opened, where that is known beforehand.
    """

    path: str
    file: str
    offset: int = 0
    length: int | None = None
    problem: str = ""

    def read(self) -> Radiograph:
        """Read and decode.

        Raises
        ------
        Refusal : it is no film that can be decoded.
        """
        if self.problem:
            raise Refusal("truncated", self.problem)
        if self.length is None:
            return read_file(self.file)
        try:
            with Path(self.file).open("rb") as shard:
                shard.seek(self.offset)
                data = shard.read(self.length)
        except OSError as error:
            raise Refusal(
                "undecodable", f"expected a readable shard, found: {error.strerror or error}"
            ) from error
        if len(data) < self.length:
            raise Refusal(
                "truncated", f"expected {self.length} bytes in the shard, found {len(data)}"
            )
        return read_bytes(data)


def find(inputs: Sequence[str]) -> list[Film]:
    """Every film of the inputs, each once, in the order given; folders by name.

    Raises
    ------
    UsageError : an input that does not exist, or a list without a `path` column.
    """
    found: dict[str, Film] = {}
    for given in inputs:
        for film in _of_input(Path(given)):
            found.setdefault(f"{os.path.abspath(film.file)}::{film.offset}", film)  # noqa: PTH100 - links stay as given
    return list(found.values())


def _of_input(given: Path) -> Iterator[Film]:
    if given.is_dir():
        yield from _of_folder(given)
    elif not given.exists():
        raise UsageError(
            f"expected a film, folder, CSV or .tar, found nothing at {given}; check the path"
        )
    elif given.suffix.lower() == ".csv":
        yield from _of_list(given)
    else:
        yield from _of_file(given)


def _of_file(file: Path) -> Iterator[Film]:
    if file.suffix.lower() == ".tar":
        yield from _of_shard(file)
    else:
        yield Film(str(file), str(file))


def _of_folder(folder: Path) -> Iterator[Film]:
    seen: set[str] = set()
    for here, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:  # a link back up
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if may_be_film(name):
                yield from _of_file(Path(here) / name)


def may_be_film(name: str) -> bool:
    """Whether a file met in a folder or shard is worth opening, by its name."""
    base = name.rsplit("/", 1)[-1]
    hidden = base.startswith(".") or base.upper() in _NO_IMAGE_NAMES
    return not hidden and Path(base).suffix.lower() not in _NO_IMAGES


def _of_list(table: Path) -> Iterator[Film]:
    """Films of a CSV with a `path` column; relative paths start at the CSV."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines)
            if "path" not in (rows.fieldnames or ()):
                raise UsageError(
                    f"expected a column `path` in {table}, found "
                    f"{', '.join(rows.fieldnames or ()) or 'no header'}; name the column of files"
                )
            paths = [row["path"].strip() for row in rows if (row["path"] or "").strip()]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"expected {table} as CSV in UTF-8, found: {error}") from error
    for path in paths:
        yield from _of_file(table.parent / path)


def _of_shard(shard: Path) -> Iterator[Film]:
    """Members of a WebDataset shard, by where their bytes lie, so that none is unpacked twice."""
    try:
        with tarfile.open(shard, "r:") as members:
            for member in members:
                if member.isreg() and not member.issparse() and may_be_film(member.name):
                    path = f"{shard}::{member.name}"
                    yield Film(path, str(shard), member.offset_data, member.size)
    except (tarfile.TarError, OSError, EOFError) as error:
        problem = f"expected a whole, uncompressed .tar shard, found: {error}"
        yield Film(str(shard), str(shard), problem=problem)
