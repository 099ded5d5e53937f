"""The secret that makes the pseudonyms of exports; no option, as all see a command line."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from service.errors import UsageError
from service.settings import Settings

LEAST_BYTES = 32  # as long as the hash
_MOST_BYTES = 4096


def given(settings: Settings) -> bytes | None:
    """The export secret of the settings or of the file that they name; None where neither does.

    Raises
    ------
    UsageError : both are set, it is too short, or others may read the file.
    """
    if settings.export_secret is not None and settings.export_secret_file is not None:
        raise UsageError(
            "expected one export secret, found CARINA_EXPORT_SECRET and CARINA_EXPORT_SECRET_FILE: "
            "set one of them"
        )
    if settings.export_secret is not None:
        return _long_enough(settings.export_secret.get_secret_value().encode())
    if settings.export_secret_file is not None:
        return _long_enough(_read(settings.export_secret_file))
    return None


def _long_enough(key: bytes) -> bytes:
    if len(key) < LEAST_BYTES:
        raise UsageError(
            f"expected an export secret of {LEAST_BYTES} bytes or more, found {len(key)}; make one "
            "with: openssl rand -hex 32"
        )
    return key


def _read(path: Path) -> bytes:
    """The secret in a file that nobody else may read, without the end of its line."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) & 0o077:
                raise UsageError(
                    f"expected an export secret that others may not read, found {path} open to "
                    "them: chmod 600 it and make a new secret"
                )
            return file.read(_MOST_BYTES).strip()
    except OSError as error:
        raise UsageError(
            f"expected an export secret in {path}, found: {error.strerror}; "
            "see CARINA_EXPORT_SECRET_FILE"
        ) from error
