"""`carina backup FOLDER`, `carina restore FOLDER` and `carina verify`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from service import app
from service.errors import UsageError
from service.records import AuditEvent
from service.settings import Settings
from service.store import backup, soundness
from service.store.index import Index
from service.store.objects import ObjectStore, open_objects


def save(settings: Settings, folder: Path) -> int:
    """Back up index and objects into a folder; 1 where objects of the index are not in it.

    Raises
    ------
    UsageError : there is no index, so that nothing would be backed up, or the folder cannot be
        written.
    """
    _insist_on_index(settings)
    objects = open_objects(
        settings.object_store_url, settings.object_store_endpoint, settings.data_dir / "objects"
    )
    with closing(app.open_index(settings)) as index:
        made = _back_up(index, objects, folder)
        index.add_audit(_audit("backup", f"{made.objects} objects"))
    print(
        f"{made.rows['studies']} studies of {made.rows['patients']} patients, {made.objects} "
        f"objects ({made.copied} new) -> {folder}"
    )
    if made.missing:
        print(f"{made.missing} objects of the index are missing in the object store")
    if made.damaged:
        print(f"{made.damaged} objects are not as they were received, and were not copied")
    if made.lacking:
        print("carina verify names them")
    return 1 if made.lacking else 0


def _back_up(index: Index, objects: ObjectStore, folder: Path) -> backup.Backup:
    try:
        return backup.back_up(index, objects, folder, app.clock())
    except OSError as error:
        raise UsageError(
            f"expected a folder for the backup at {folder}, found: {error.strerror}; give one that "
            "this user may write"
        ) from error


def restore(settings: Settings, folder: Path, *, incomplete: bool = False) -> int:
    """Bring a backup into an empty data directory, database and object store.

    Parameters
    ----------
    incomplete : bring back what is whole, although objects are damaged or missing.

    Returns
    -------
    1 where objects were not brought back.
    """
    backup.read(folder)
    objects = open_objects(
        settings.object_store_url, settings.object_store_endpoint, settings.data_dir / "objects"
    )
    with closing(app.open_index(settings)) as index:
        made, lost = backup.restore(folder, index, objects, incomplete=incomplete)
        index.add_audit(_audit("restore", f"backup of {made.made_at}"))
    print(
        f"{made.rows['studies']} studies of {made.rows['patients']} patients as of {made.made_at} "
        "are back; start carina serve"
    )
    if lost:
        print(f"{lost} objects did not come back; carina verify names them")
    return 1 if lost else 0


def verify(settings: Settings) -> int:
    """Compare every object with the digest it was received with; 1 where one is not the same.

    Carina may go on running: what is deleted meanwhile is not told.

    Raises
    ------
    UsageError : there is no index.
    """
    _insist_on_index(settings)
    objects = open_objects(
        settings.object_store_url, settings.object_store_endpoint, settings.data_dir / "objects"
    )
    with closing(app.open_index(settings)) as index:
        wanted = dict(index.object_keys())
        found = list(soundness.faults(objects, wanted))
        now_wanted = dict(index.object_keys()) if found else wanted
        found = [fault for fault in found if fault.key in now_wanted]
        for fault in found:
            print(f"{fault.what}: {_named(index, fault.key)}")
    print(f"{len(wanted)} objects read, {len(found)} of them lost or damaged")
    return 1 if found else 0


def _named(index: Index, key: str) -> str:
    """What lies under a key, for the administrator who has it sent again."""
    instance = index.under_key(key)
    if instance is None:
        return f"picture or mask ({key})"
    return f"object {instance.sop_instance_uid} of study {instance.study_uid} ({key})"


def _insist_on_index(settings: Settings) -> None:
    file = settings.data_dir / "carina.sqlite"
    if not settings.database_url and not file.is_file():
        raise UsageError(f"expected an index at {file}, found none: check --data-dir")


def _audit(action: str, detail: str) -> AuditEvent:
    return AuditEvent(app.clock(), "console", action, "success", address="local", detail=detail)
