"""The bytes of the objects: the contract of a store, and the store that is a directory."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from service.errors import NotFoundError, OutOfResourcesError, UsageError

UNBOUNDED_MB = 1 << 40  # what a store without a bound answers when it is asked for its room
_AT_ONCE = 1 << 20  # bytes; the kernel takes four times as long over 10 MB in one piece
_NO_UNNAMED_FILES = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})  # NFS and others


class Draft(Protocol):
    """An object that is being written; nothing of it stays unless it is kept."""

    def write(self, piece: bytes | memoryview) -> None:
        """Add bytes; OutOfResourcesError when there is no room for them."""
        ...

    def read(self) -> bytes:
        """Give all that was written."""
        ...

    def keep(self) -> str:
        """Keep it durably and give its key, as `ObjectStore.put`; nothing is written after that."""
        ...

    def discard(self) -> None:
        """Let go of it; what was kept stays."""
        ...


class ObjectStore(Protocol):
    """Where bytes are kept under keys that Carina makes; never built from what a sender says."""

    def put(self, data: bytes | memoryview, suffix: str = "") -> str:
        """Keep bytes durably and give their key; OutOfResourcesError when that cannot be."""
        ...

    def draft(self, suffix: str = "") -> Draft:
        """Begin an object whose bytes come piece by piece."""
        ...

    def keep(self, key: str, data: bytes | memoryview) -> None:
        """Keep bytes durably under a key that Carina made before: a backup, or its restore."""
        ...

    def get(self, key: str) -> bytes:
        """Give the bytes back; NotFoundError for an unknown key."""
        ...

    def holds(self, key: str) -> bool:
        """Tell whether there are bytes under a key, without reading them."""
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


class HeldDraft:
    """A draft in memory, for a store that takes an object as a whole."""

    def __init__(self, store: ObjectStore, suffix: str) -> None:
        self._store, self._suffix = store, suffix
        self._bytes = BytesIO()

    def write(self, piece: bytes | memoryview) -> None:
        """Add bytes."""
        self._bytes.write(piece)

    def read(self) -> bytes:
        """Give all that was written."""
        return self._bytes.getvalue()

    def keep(self) -> str:
        """Put it into the store."""
        return self._store.put(self._bytes.getbuffer(), self._suffix)

    def discard(self) -> None:
        """Let go of the memory."""
        self._bytes = BytesIO()


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
        with _room_for(len(data)):
            self._make_folder(target.parent)
            _write_durably(target, data)

    def draft(self, suffix: str = "") -> Draft:
        """Begin a file without a name, or hold the bytes where the file system has no such files.

        A process that is killed amid a film leaves nothing behind.
        """
        key = new_key(suffix)
        target = self._root / key
        with _room_for(0):
            self._make_folder(target.parent)
            try:
                fd = os.open(target.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
            except OSError as error:
                if error.errno not in _NO_UNNAMED_FILES:
                    raise
                return HeldDraft(self, suffix)
        return _UnnamedFile(key, target, fd)

    def _make_folder(self, folder: Path) -> None:
        """Make the folders of a key; a new folder is only durable once its parent is synced."""
        if folder.is_dir():
            return
        if folder != self._root:
            self._make_folder(folder.parent)
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)

    def get(self, key: str) -> bytes:
        """Read the file of a key."""
        try:
            return self._file(key).read_bytes()
        except FileNotFoundError as error:
            raise unknown(key) from error
        except OSError as error:
            raise _unusable(error) from error

    def holds(self, key: str) -> bool:
        """Look for the file of a key."""
        try:
            return self.path(key) is not None
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


class _UnnamedFile:
    """A draft as an open file that gets its name when it is kept."""

    def __init__(self, key: str, target: Path, fd: int) -> None:
        self._key, self._target, self._fd = key, target, fd
        self._size_bytes = 0

    def write(self, piece: bytes | memoryview) -> None:
        """Add bytes."""
        self._size_bytes += len(piece)
        try:
            _write(self._fd, piece)
        except OSError as error:
            raise _no_room(self._size_bytes, error) from error

    def read(self) -> bytes:
        """Give all that was written; one system call gives 2 GiB at most."""
        found = bytearray()
        try:
            while piece := os.pread(self._fd, self._size_bytes - len(found), len(found)):
                found += piece
        except OSError as error:
            raise _unusable(error) from error
        return bytes(found)

    def keep(self) -> str:
        """Name it, then fsync it and its folder, as `_write_durably` does."""
        with _room_for(self._size_bytes):
            if not self._is_named():
                _write_durably(self._target, self.read())
                return self._key
            try:
                os.fsync(self._fd)
                sync_folder(self._target.parent)
            except OSError:
                with suppress(OSError):
                    self._target.unlink(missing_ok=True)
                raise
        return self._key

    def _is_named(self) -> bool:
        """Name it; False where the file system, or a missing /proc, does not allow it."""
        folder = os.open(self._target.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:  # open(2), O_TMPFILE; with `dst_dir_fd` Python follows the link
            os.link(f"/proc/self/fd/{self._fd}", self._target.name, dst_dir_fd=folder)
        except OSError:
            return False
        finally:
            os.close(folder)
        return True

    def discard(self) -> None:
        """Close it: without a name its bytes are free again."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    __del__ = discard


@contextmanager
def _room_for(size_bytes: int) -> Iterator[None]:
    """Turn a disk that does not take an object into one error."""
    try:
        yield
    except OSError as error:
        raise _no_room(size_bytes, error) from error


def _no_room(size_bytes: int, error: OSError) -> OutOfResourcesError:
    return OutOfResourcesError(
        f"expected to keep an object of {size_bytes} bytes, found: {error.strerror}; "
        "free or repair the disk of the data directory, then send again"
    )


def _unusable(error: OSError) -> OutOfResourcesError:
    return OutOfResourcesError(
        f"expected the disk of the data directory to answer, found: {error.strerror}; "
        "repair it, then try again"
    )


def _write_durably(target: Path, data: bytes | memoryview) -> None:
    written = target.with_name(f".{target.name}.part")
    try:
        with written.open("wb", buffering=0) as file:
            _write(file.fileno(), data)
            # Renamed first: the file system writes contents and name in one go. Whoever reads has
            # the key from the index, which speaks of it only after this.
            written = written.rename(target)
            os.fsync(file.fileno())
        sync_folder(target.parent)
    except OSError:
        with suppress(OSError):
            written.unlink(missing_ok=True)
        raise


def _write(fd: int, data: bytes | memoryview) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left[:_AT_ONCE]) :]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
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
