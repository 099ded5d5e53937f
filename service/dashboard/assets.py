"""The built front end, read once: hashed files, and which of them each page needs."""

from __future__ import annotations

import gzip
import json
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from service.errors import NotFoundError, UsageError

BUILT = Path(__file__).parent / "static" / "built"
MANIFEST = "manifest.json"
ENTRIES = ("page", "worklist", "patient", "study", "review", "operations")
COMPRESSED = frozenset({".js", ".css", ".json", ".svg"})


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it goes out. `gzipped` is None where compressing would gain nothing."""

    content: bytes
    gzipped: bytes | None
    media_type: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What one page loads: addresses of modules and style sheets."""

    script: str
    styles: tuple[str, ...]


class Assets:
    """The files of the front end by name.

    Parameters
    ----------
    files : file name below the built folder, with forward slashes, to its bytes.
    manifest : Vite's manifest: source name to built names.
    """

    def __init__(self, files: Mapping[str, Asset], manifest: Mapping[str, Mapping[str, object]]):
        self._files = dict(files)
        self._entries = {name: _entry(name, manifest) for name in ENTRIES}

    @classmethod
    def load(cls, folder: Path = BUILT) -> Assets:
        """Read a built front end.

        Raises
        ------
        UsageError : it has not been built, or the build is not whole.
        """
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            raise UsageError(
                "expected the built pages in service/dashboard/static/built, found none; run "
                "`npm ci && npm run build` in service/dashboard/frontend, or `make demo`"
            ) from None
        files = {
            path.relative_to(folder).as_posix(): _asset(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != MANIFEST
        }
        return cls(files, manifest)

    def entry(self, name: str) -> Entry:
        """What the page `name` (one of `ENTRIES`) loads."""
        return self._entries[name]

    def file(self, name: str) -> Asset:
        """One file; NotFoundError for a name that the build did not make."""
        try:
            return self._files[name]
        except KeyError:
            raise NotFoundError("expected a file of the front end, found none") from None


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    gzipped = gzip.compress(content, 9, mtime=0) if path.suffix in COMPRESSED else None
    media_type = "text/javascript" if path.suffix == ".js" else mimetypes.guess_type(path.name)[0]
    return Asset(content, gzipped, media_type or "application/octet-stream")


def _entry(name: str, manifest: Mapping[str, Mapping[str, object]]) -> Entry:
    source = f"src/{name}.ts"
    if source not in manifest:
        raise UsageError(
            f"expected {source} in the built pages' manifest, found {sorted(manifest)}; "
            "run `npm ci && npm run build` in service/dashboard/frontend again"
        )
    styles = [f"/static/{style}" for style in _styles(source, manifest, set())]
    return Entry(f"/static/{manifest[source]['file']}", tuple(dict.fromkeys(styles)))


def _styles(source: str, manifest: Mapping[str, Mapping[str, object]], seen: set[str]) -> list[str]:
    """Style sheets of a module and of all that it imports."""
    if source in seen:
        return []
    seen.add(source)
    chunk = manifest[source]
    own, imports = chunk.get("css", []), chunk.get("imports", [])
    assert isinstance(own, list)
    assert isinstance(imports, list)
    return [*(style for one in imports for style in _styles(one, manifest, seen)), *own]
