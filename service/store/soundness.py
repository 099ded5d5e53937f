"""Whether the objects that the index speaks of are there, and as they were received."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from service.errors import NotFoundError
from service.store.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class Fault:
    """An object that the store does not hold as it was received."""

    key: str
    what: Literal["lost", "damaged"]


def is_sound(data: bytes, sha256: str) -> bool:
    """Whether bytes are those of a digest; pictures and masks, which have none, always are."""
    return not sha256 or hashlib.sha256(data).hexdigest() == sha256


def faults(objects: ObjectStore, wanted: Mapping[str, str]) -> Iterator[Fault]:
    """Read every object, and tell of those that are lost or damaged.

    Parameters
    ----------
    wanted : SHA-256 by key; "" where none is known.

    Raises
    ------
    OutOfResourcesError : the object store does not answer.
    """
    for key, sha256 in wanted.items():
        try:
            data = objects.get(key)
        except NotFoundError:
            yield Fault(key, "lost")
            continue
        if not is_sound(data, sha256):
            yield Fault(key, "damaged")
