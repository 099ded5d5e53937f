"""What a peer says beside a command: the data set of a C-FIND or an N-ACTION, read within bounds.

The association's thread reads it. So its size and the number of its items, by which its depth is
bounded too, are looked at before a parser sees it.
"""

from __future__ import annotations

import io

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import ImplicitVRLittleEndian

from service.errors import UsageError

TRANSFER_SYNTAXES = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
"""Those that a message may come in; none of them is compressed."""

_ITEM = b"\xfe\xff\x00\xe0"  # (FFFE,E000); neither text nor a UID holds these bytes


def read(
    encoded: io.BytesIO | None, transfer_syntax_uid: str, *, most_bytes: int, most_items: int
) -> Dataset:
    """Read the data set of a message; an empty one where it has none.

    Parameters
    ----------
    most_bytes, most_items : the largest that can be meant.

    Raises
    ------
    UsageError : it is larger, or no data set in that transfer syntax.
    """
    data = encoded.getbuffer() if encoded is not None else memoryview(b"")
    if len(data) > most_bytes:
        raise UsageError(f"expected at most {most_bytes} bytes, found {len(data)}; ask for less")
    plain = bytes(data)
    items = plain.count(_ITEM)
    if items > most_items:
        raise UsageError(f"expected at most {most_items} items, found {items}; ask for fewer")
    try:
        return read_dataset(
            io.BytesIO(plain),
            is_implicit_VR=transfer_syntax_uid == ImplicitVRLittleEndian,
            is_little_endian=True,
        )
    except Exception as error:
        # The edge to a parser and hostile bytes: whatever it raises, nothing is asked.
        raise UsageError(
            f"expected a data set in {transfer_syntax_uid}, found {type(error).__name__} in it"
        ) from error
