"""A backup of everything that Carina remembers, taken while it runs, and the way back.

A backup is a folder: `carina.sqlite` (the index at one moment, whatever database it came from),
`objects/` (the bytes it speaks of) and `backup.json`, written last. The index is copied first and
the objects after: an object is always durable before the index speaks of it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from service.errors import InvalidObjectError, NotFoundError, UsageError
from service.store.index import Index
from service.store.objects import FileObjects, ObjectStore, sync_folder
from service.store.soundness import is_sound

INDEX, OBJECTS, MANIFEST = "carina.sqlite", "objects", "backup.json"


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds.

    Parameters
    ----------
    made_at : ISO 8601, UTC: the moment of the index.
    rows : of the index, by table.
    objects : how many the index speaks of.
    copied : how many of them this run copied; the others were there from an earlier run.
    missing : how many the index speaks of and the store does not have.
    damaged : how many the store has with other bytes than were received; they are not copied.
    """

    made_at: str
    rows: dict[str, int]
    objects: int
    copied: int
    missing: int
    damaged: int = 0  # backups of earlier versions do not tell

    @property
    def lacking(self) -> int:
        """How many objects it speaks of and does not hold."""
        return self.missing + self.damaged


def back_up(index: Index, objects: ObjectStore, folder: Path, now: datetime) -> Backup:
    """Copy index and objects into `folder`; a second run there copies the new objects alone.

    Carina may go on running meanwhile.

    Raises
    ------
    OutOfResourcesError : a disk is full, or the database away. The backup before stays whole.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = folder / f"{INDEX}.part"
    _remove(part)
    kept = FileObjects(folder / OBJECTS)
    with closing(Index(f"sqlite:///{part}")) as copy:
        copy.migrate()
        rows = index.copy_to(copy)
        wanted = dict(copy.object_keys())
        copied, missing, damaged = _copy_objects(objects, kept, wanted)
    made = Backup(now.isoformat(), rows, len(wanted), copied, missing, damaged)
    _put_in_force(part, folder / INDEX)
    _remove(part)
    manifest = folder / f"{MANIFEST}.part"
    manifest.write_text(json.dumps(asdict(made), indent=2) + "\n", encoding="utf-8")
    _put_in_force(manifest, folder / MANIFEST)
    return made


def restore(
    folder: Path, index: Index, objects: ObjectStore, *, incomplete: bool = False
) -> tuple[Backup, int]:
    """Bring a backup into an empty index and its object store, objects first.

    Every DICOM object is compared with the digest that the index holds before anything is put in
    force. Studies that wait for their result are worked on at the next start.

    Parameters
    ----------
    incomplete : bring back what is whole, although objects are damaged or missing.

    Returns
    -------
    The backup, and how many objects it speaks of and did not bring back.

    Raises
    ------
    UsageError : there is no whole backup, or the index holds rows already.
    InvalidObjectError : an object of the backup is damaged or missing; nothing is in force.
    """
    made = read(folder)
    index.insist_on_empty()  # before objects are written beside those of another installation
    kept = FileObjects(folder / OBJECTS)
    with tempfile.TemporaryDirectory() as aside:
        # A copy: an older backup is brought to today's schema, and stays what it is.
        shutil.copy(folder / INDEX, Path(aside) / INDEX)
        with closing(Index(f"sqlite:///{Path(aside) / INDEX}")) as copy:
            copy.migrate()
            wanted = dict(copy.object_keys())
            lost = _put_back(kept, objects, wanted)
            if lost > made.lacking and not incomplete:
                raise InvalidObjectError(
                    f"expected {len(wanted) - made.lacking} whole objects in the backup, found "
                    f"{len(wanted) - lost}; it is damaged: take another one, or bring back what "
                    "is whole with --incomplete"
                )
            copy.copy_to(index)
    return made, lost


def read(folder: Path) -> Backup:
    """The manifest of a backup.

    Raises
    ------
    UsageError : there is none: the backup was not finished, or lies elsewhere.
    """
    try:
        return Backup(**json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"expected a finished backup in {folder}, found no readable {MANIFEST}; check the "
            "folder, or run carina backup again"
        ) from error


def _copy_objects(
    source: ObjectStore, target: FileObjects, wanted: dict[str, str]
) -> tuple[int, int, int]:
    """Copy what is not there yet; how many were copied, are missing, and are damaged."""
    copied = missing = damaged = 0
    for key, sha256 in wanted.items():
        if target.holds(key):
            continue
        try:
            data = source.get(key)
        except NotFoundError:
            missing += 1
            continue
        if is_sound(data, sha256):
            target.keep(key, data)
            copied += 1
        else:
            damaged += 1
    return copied, missing, damaged


def _put_back(source: FileObjects, target: ObjectStore, wanted: dict[str, str]) -> int:
    """Put the whole objects of a backup where they were; how many are not among them."""
    lost = 0
    for key, sha256 in wanted.items():
        try:
            data = source.get(key)
        except NotFoundError:
            lost += 1
            continue
        if is_sound(data, sha256):
            target.keep(key, data)
        else:
            lost += 1
    return lost


def _put_in_force(part: Path, target: Path) -> None:
    """Give a written file its name, so that both outlast a loss of power."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)
    sync_folder(target.parent)


def _remove(part: Path) -> None:
    """Remove what a run left, with the files that lie beside an index that is written to."""
    for left in part.parent.glob(f"{part.name}*"):
        left.unlink()
