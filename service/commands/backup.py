"""`carina backup FOLDER` and `carina restore FOLDER`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from service import app
from service.errors import UsageError
from service.records import AuditEvent
from service.settings import Settings
from service.store import backup
from service.store.objects import open_objects


def save(settings: Settings, folder: Path) -> int:
    """Back up index and objects into a folder; 1 where objects of the index are missing.

    Raises
    ------
    UsageError : there is no index, so that nothing would be backed up.
    """
    file = settings.data_dir / "carina.sqlite"
    if not settings.database_url and not file.is_file():
        raise UsageError(f"expected an index at {file}, found none: check --data-dir")
    objects = open_objects(
        settings.object_store_url, settings.object_store_endpoint, settings.data_dir / "objects"
    )
    with closing(app.open_index(settings)) as index:
        made = backup.back_up(index, objects, folder, app.clock())
        index.add_audit(_audit("backup", f"{made.objects} objects"))
    print(
        f"{made.rows['studies']} studies of {made.rows['patients']} patients, {made.objects} "
        f"objects ({made.copied} new) -> {folder}"
    )
    if made.missing:
        print(f"{made.missing} objects of the index are missing in the object store")
    return 1 if made.missing else 0


def restore(settings: Settings, folder: Path) -> int:
    """Bring a backup into an empty data directory, database and object store."""
    backup.read(folder)
    objects = open_objects(
        settings.object_store_url, settings.object_store_endpoint, settings.data_dir / "objects"
    )
    with closing(app.open_index(settings)) as index:
        made = backup.restore(folder, index, objects)
        index.add_audit(_audit("restore", f"backup of {made.made_at}"))
    print(
        f"{made.rows['studies']} studies of {made.rows['patients']} patients as of {made.made_at} "
        "are back; start carina serve"
    )
    return 0


def _audit(action: str, detail: str) -> AuditEvent:
    return AuditEvent(app.clock(), "console", action, "success", address="local", detail=detail)
