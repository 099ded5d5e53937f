"""What may be sent to Carina: every storage class, in every transfer syntax that can be stored.

A study push must never half fail because of an object that Carina only keeps, so the list is wide.
docs/dicom-conformance.md repeats both lists; a test insists that they agree.
"""

from __future__ import annotations

from pynetdicom._globals import ALL_TRANSFER_SYNTAXES
from pynetdicom.presentation import AllStoragePresentationContexts

VERIFICATION = "1.2.840.10008.1.1"

_ELSEWHERE = frozenset(
    {
        "1.2.840.10008.1.2.4.94",  # JPIP Referenced: the pixels stay on somebody else's server
        "1.2.840.10008.1.2.4.95",
        "1.2.840.10008.1.2.4.204",
        "1.2.840.10008.1.2.4.205",
        "1.2.840.10008.1.2.7.1",  # SMPTE ST 2110: a live stream, not a stored object
        "1.2.840.10008.1.2.7.2",
        "1.2.840.10008.1.2.7.3",
    }
)

STORAGE_CLASSES: tuple[str, ...] = tuple(
    str(context.abstract_syntax) for context in AllStoragePresentationContexts
)
"""SOP class UIDs that are taken in by C-STORE and STOW-RS."""

TRANSFER_SYNTAXES: tuple[str, ...] = tuple(
    uid for uid in ALL_TRANSFER_SYNTAXES if uid not in _ELSEWHERE
)
"""Transfer syntax UIDs that are taken in; the sender's first one is chosen."""

_STORAGE = frozenset(STORAGE_CLASSES)
_SYNTAXES = frozenset(TRANSFER_SYNTAXES)


def is_storable(sop_class_uid: str, transfer_syntax_uid: str) -> bool:
    """Whether an object of this class in this transfer syntax is taken in."""
    return sop_class_uid in _STORAGE and transfer_syntax_uid in _SYNTAXES
