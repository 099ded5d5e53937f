"""Whether the parts that Carina leans on can be used, and how full they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import make_url

from service.context import Services
from service.errors import CarinaError
from service.installation import Kept
from service.settings import Settings
from service.store.objects import UNBOUNDED_MB

OK = "ok"


@dataclass(frozen=True, slots=True)
class Storage:
    """Where things are kept, whether it can be used, and how much room there is.

    Parameters
    ----------
    index, objects : "ok", or what is wrong in words.
    database : kind of the database of the index.
    store : "files", or the bucket as `s3://bucket/prefix`.
    free_mb : room for objects; None in a bucket, which has no bound, and where it is not known.
    least_mb : below this nothing is taken in.
    database_mb, jobs_mb : size of the index, and of the jobs where they have a file of their own.
    """

    index: str
    objects: str
    database: Literal["SQLite", "PostgreSQL"]
    store: str
    free_mb: int | None
    least_mb: int
    database_mb: float | None
    jobs_mb: float | None
    kept: tuple[Kept, ...]


def index(services: Services) -> str:
    """`ok`, or why the index cannot be used."""
    return _tried(services.index.ping)


def objects(services: Services) -> str:
    """`ok`, or why the object store cannot be used: away, or too full to take films in."""
    said = _tried(services.objects.free_mb)
    free_mb, least = _free_mb(services), services.settings.min_free_disk_mb
    if said == OK and free_mb is not None and free_mb < least:
        return f"expected {least} MB of free space, found {free_mb}; free the disk"
    return said


def storage(services: Services) -> Storage:
    """Look at database and object store."""
    settings = services.settings
    sqlite = make_url(settings.index_url).get_backend_name() == "sqlite"
    return Storage(
        index=index(services),
        objects=objects(services),
        database="SQLite" if sqlite else "PostgreSQL",
        store=settings.object_store_url or "files",
        free_mb=_free_mb(services),
        least_mb=settings.min_free_disk_mb,
        database_mb=services.index.database_bytes() / 2**20,
        jobs_mb=_jobs_mb(settings) if sqlite else None,
        kept=services.index.kept(),
    )


def _tried(look: Callable[[], object]) -> str:
    try:
        look()
    except CarinaError as error:
        return error.message
    return OK


def _free_mb(services: Services) -> int | None:
    try:
        free_mb = services.objects.free_mb()
    except CarinaError:
        return None
    return free_mb if free_mb < UNBOUNDED_MB else None


def _jobs_mb(settings: Settings) -> float | None:
    """The file of the jobs with its journal; None before the first start."""
    path = Path(make_url(settings.jobs_url).database or "")
    files = [one for one in (path, path.with_name(f"{path.name}-wal")) if one.is_file()]
    return sum(one.stat().st_size for one in files) / 2**20 if files else None
