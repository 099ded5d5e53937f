"""The bytes of the objects: the contract of a store, and the store that is a directory."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from service.errors import NotFoundError, OutOfResourcesError, UsageError

UNBOUNDED_MB = 1 << 40  # what a store without a bound answers when it is asked for its room


class ObjectStore(Protocol):
    """Where bytes are kept under keys that Carina makes; never built from what a sender says."""

    def put(self, data: bytes | memoryview, suffix: str = "") -> str:
        """Keep bytes durably and give their key; OutOfResourcesError when that cannot be."""
        ...

    def keep(self, key: str, data: bytes | memoryview) -> None:
        """Keep bytes durably under a key that Carina made before: a backup, or its restore."""
        ...

    def get(self, key: str) -> bytes:
        """Give the bytes back; NotFoundError for an unknown key."""
        ...

    def path(self, key: str) -> Path | None:
        """Give a local file holding the bytes, where the store has one."""
        ...

    def delete(self, key: str) -> None:
        """Remove the bytes; an unknown key is no error."""
        ...

    def free_mb(self) -> int:
        """Tell how many megabytes can still be kept."""
        ...


def new_key(suffix: str) -> str:
    """Make a key that is the only one; 256 folders spread the files and are soon all there."""
    name = uuid4().hex
    return f"{name[:2]}/{name}{suffix}"


def unknown(key: str) -> NotFoundError:
    """Say that nothing is kept under a key."""
    return NotFoundError(f"expected an object under the key {key!r}, found none; was it deleted?")


class FileObjects:
    """Objects as files below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def put(self, data: bytes | memoryview, suffix: str = "") -> str:
        """Write under a new key; the bytes are durable when it comes back."""
        key = new_key(suffix)
        self.keep(key, data)
        return key

    def keep(self, key: str, data: bytes | memoryview) -> None:
        """Write to a temporary file, rename, fsync it and its folder: after that it is durable."""
        target = self._file(key)
        try:
            self._make_folder(target.parent)
            _write_durably(target, data)
        except OSError as error:
            raise OutOfResourcesError(
                f"expected to keep an object of {len(data)} bytes, found: {error.strerror}; "
                "free or repair the disk of the data directory, then send again"
            ) from error

    def _make_folder(self, folder: Path) -> None:
        """Make the folders of a key; a new folder is only durable once its parent is synced."""
        if folder.is_dir():
            return
        if folder != self._root:
            self._make_folder(folder.parent)
        folder.mkdir(parents=True, exist_ok=True)
        _sync_folder(folder.parent)

    def get(self, key: str) -> bytes:
        """Read the file of a key."""
        try:
            return self._file(key).read_bytes()
        except FileNotFoundError as error:
            raise unknown(key) from error
        except OSError as error:
            raise _unusable(error) from error

    def path(self, key: str) -> Path | None:
        """Give the file of a key, or None where there is none."""
        file = self._file(key)
        return file if file.is_file() else None

    def delete(self, key: str) -> None:
        """Remove the file of a key."""
        try:
            self._file(key).unlink(missing_ok=True)
        except OSError as error:
            raise _unusable(error) from error

    def free_mb(self) -> int:
        """Ask the file system."""
        folder = self._root
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free // 2**20

    def _file(self, key: str) -> Path:
        file = (self._root / key).resolve()
        if not file.is_relative_to(self._root):
            raise unknown(key)
        return file


def _unusable(error: OSError) -> OutOfResourcesError:
    return OutOfResourcesError(
        f"expected the disk of the data directory to answer, found: {error.strerror}; "
        "repair it, then try again"
    )


def _write_durably(target: Path, data: bytes | memoryview) -> None:
    written = target.with_name(f".{target.name}.part")
    try:
        with written.open("wb") as file:
            file.write(data)
            file.flush()
            # Renamed first: the file system writes contents and name in one go. Whoever reads has
            # the key from the index, which speaks of it only after this.
            written = written.rename(target)
            os.fsync(file.fileno())
        _sync_folder(target.parent)
    except OSError:
        with suppress(OSError):
            written.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_objects(url: str, endpoint: str, folder: Path) -> ObjectStore:
    """Open the store that the settings name: `s3://...`, or files below `folder` when empty."""
    if not url:
        return FileObjects(folder)
    if not url.startswith("s3://"):
        raise UsageError(
            f"expected an object store like s3://bucket/prefix or nothing, found {url!r}; "
            "correct CARINA_OBJECT_STORE_URL"
        )
    from service.store.s3 import S3Objects  # noqa: PLC0415  # only this set-up needs the client

    return S3Objects(url, endpoint)
