"""Try again what failed: the index puts it back, the jobs are told at once."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

from service.context import Services
from service.errors import OutOfResourcesError
from service.records import AuditEvent

Kind = Literal["study", "delivery", "destination", "commitment"]


def retry(services: Services, kind: Kind, name: str, audit: AuditEvent) -> int:
    """Have one thing, or all that a destination did not take, tried again.

    A queue that is away does no harm: what the index holds as not done is found by the recovery
    or the next minute.

    Parameters
    ----------
    name : Study Instance UID, delivery identifier, destination, or transaction UID.

    Returns
    -------
    How much waits to be tried because of this; 0 where it waited already.

    Raises
    ------
    NotFoundError : there is no such thing.
    ConflictError : it did not fail.
    """
    index = services.index
    if kind == "study":
        again = index.retry_study(name, audit)
        with suppress(OutOfResourcesError):
            services.arrived(name)
        return int(again)
    count = 1
    if kind == "delivery":
        index.retry_delivery(name, audit)
    elif kind == "commitment":
        index.retry_commitment(name, audit)
    else:
        count = index.retry_destination(name, audit)
    with suppress(OutOfResourcesError):
        services.sending()
    return count
