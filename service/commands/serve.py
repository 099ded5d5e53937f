"""`carina serve`, `listen`, `worker`, `import` and `migrate`."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from service import app
from service.errors import InvalidObjectError, TooLargeError, UsageError
from service.settings import Settings
from service.store.index import Index

OVERRIDES = ("data_dir", "http_port", "dicom_port")
_NO_SETTINGS = frozenset({"CARINA_PASSWORD", "CARINA_SHARED_DATA"})  # of `user add`; of the tests
_LINKED = re.compile(r"CARINA_(SERVICE|PORT)(_\w+)?")  # Kubernetes, of a service named carina


def settings_from(options: argparse.Namespace) -> Settings:
    """The environment's settings with the command line's over them.

    Raises
    ------
    UsageError : a variable has a value that cannot be, or is none of the settings.
    """
    _insist_on_known(os.environ)
    given: dict[str, Any] = {
        name: getattr(options, name)
        for name in OVERRIDES
        if getattr(options, name, None) is not None
    }
    try:
        return Settings(**given)
    except ValidationError as error:
        wrong = "; ".join(
            f"CARINA_{'_'.join(map(str, one['loc'])).upper()}: {one['msg']}"
            for one in error.errors(include_input=False, include_url=False)
        )
        raise UsageError(f"expected settings as in docs/settings.md, found {wrong}") from error
    except SettingsError as error:  # quotes the field, not its value
        field = re.search(r'field "(\w+)"', str(error))
        raise UsageError(
            f"expected CARINA_{field[1].upper() if field else '...'} as a list in JSON, such as "
            """'["ONE", "TWO"]', found another form"""
        ) from error


def _insist_on_known(environment: Iterable[str]) -> None:
    """A setting that is misspelt would silently stay at its default.

    Raises
    ------
    UsageError : a variable CARINA_... is none of the settings.
    """
    known = {f"CARINA_{name.upper()}" for name in Settings.model_fields} | _NO_SETTINGS
    for name in sorted(environment):
        if not name.startswith("CARINA_") or name in known or _LINKED.fullmatch(name):
            continue
        meant = difflib.get_close_matches(name, known, 1, 0.8)
        raise UsageError(
            f"expected the settings of docs/settings.md, found {name}; "
            + (f"was {meant[0]} meant?" if meant else "take it out of the environment")
        )


def run(settings: Settings, role: str) -> int:
    """Serve, listen or work until SIGINT or SIGTERM."""
    if role == "serve":
        running = app.start(settings)
        print(
            f"carina: pages on http://{settings.http_host}:{settings.http_port}, "
            f"DICOM on {settings.dicom_host}:{settings.dicom_port} ({settings.ae_title}). "
            "Research use only.",
            flush=True,
        )
        running.wait()
        return 0
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    (app.listen if role == "listen" else app.work)(settings, stopped)
    return 0


def take_in(settings: Settings, paths: Sequence[Path]) -> int:
    """Take DICOM files in as C-STORE would; 0 when each was kept, 1 when some were not."""
    app.configure_logging(settings)
    parts = app.build(settings, "enqueue")
    parts.engine.start()
    counts = {"stored": 0, "duplicate": 0, "conflict": 0, "failed": 0}
    try:
        for file in _files(paths):
            counts[_take(parts, file)] += 1
    finally:
        parts.close()
    print(", ".join(f"{count} {what}" for what, count in counts.items()))
    return 1 if counts["failed"] or not sum(counts.values()) else 0


def _take(parts: app.Parts, file: Path) -> str:
    try:
        data = file.read_bytes()
        return parts.ingest.take(data, source="import", actor="console", address="local").outcome
    except (InvalidObjectError, TooLargeError, OSError) as error:
        print(f"{file}: {error}", file=sys.stderr)
        return "failed"


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.is_file())
        elif path.is_file():
            yield path
        else:
            raise UsageError(f"expected files or folders, found nothing at {path}: check the path")


def migrate(settings: Settings, back_to: str | None = None) -> int:
    """Bring the index to the current schema, or back to an earlier revision."""
    if back_to is not None:
        with closing(Index(settings.index_url)) as index:
            index.step_back(back_to)
        print(f"the index is at revision {back_to}: install the program that goes with it")
        return 0
    app.open_index(settings).close()
    print("the index is at the current schema")
    return 0
