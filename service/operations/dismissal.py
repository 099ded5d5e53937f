"""Put aside what failed and needs nobody any more."""

from __future__ import annotations

from service.operations.retry import Kind
from service.records import AuditEvent
from service.store.index import Index


def dismiss(index: Index, kind: Kind, name: str, reason: str, audit: AuditEvent) -> int:
    """Have one failure, or all of a destination, leave the list; what waits is given up.

    Parameters
    ----------
    name : Study Instance UID, delivery identifier, destination, or transaction UID.

    Returns
    -------
    How many failures leave the list.

    Raises
    ------
    NotFoundError : there is no such thing.
    ConflictError : it did not fail.
    """
    if kind == "destination":
        return index.dismiss_destination(name, reason, audit)
    if kind == "study":
        index.dismiss_study(name, reason, audit)
    elif kind == "delivery":
        index.dismiss_delivery(name, reason, audit)
    else:
        index.dismiss_commitment(name, reason, audit)
    return 1
