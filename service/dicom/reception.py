"""A data set that is kept while it arrives (C-STORE): a film never lies in memory as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from service.dicom.header import Header, file_meta, read_leading_header
from service.errors import CarinaError
from service.store.objects import Draft, ObjectStore

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

HEAD_BYTES = 64 << 10  # a header of a film has some 10 kB
_ADMITTED_BYTES = 16 << 20  # then it is asked again: the disk may have filled meanwhile


@dataclass(frozen=True, slots=True)
class Received:
    """A whole file that came in and is not kept yet.

    Parameters
    ----------
    read : gives its bytes.
    keep : makes it durable and gives its key in the store.
    """

    header: Header
    sha256: str
    size_bytes: int
    read: Callable[[], bytes]
    keep: Callable[[], str]


class Reception(BytesIO):
    """Holds a data set until its header is there, then writes it on to the store.

    It is the `BytesIO` that pynetdicom wants for a data set. What is small, deflated, or has much
    before the end of its header, stays in memory. Nothing is in force before `Ingest.take`.

    Parameters
    ----------
    admit : is shown the header before anything is written, and again every 16 MB. What it raises
        is told by `received`, and nothing is kept.
    """

    def __init__(
        self, objects: ObjectStore, transfer_syntax_uid: str, admit: Callable[[Header], None]
    ) -> None:
        super().__init__()
        self._objects, self._admit = objects, admit
        self._transfer_syntax_uid = transfer_syntax_uid
        self._file: _GrowingFile | None = None
        self._is_held = False  # in memory, to its end
        self._error: CarinaError | None = None
        self.size_bytes = 0

    def write(self, piece: ReadableBuffer, /) -> int:
        """Add bytes of the data set; after an error they are counted only."""
        view = memoryview(piece)
        self.size_bytes += view.nbytes
        if self._error is None:
            try:
                self._add(view)
            except CarinaError as error:  # told once the message is whole: PS3.7 9.3.1
                self._error = error
                self.discard()
        return view.nbytes

    def received(self) -> Received | None:
        """The file that was written; None where the data set is in memory.

        Raises
        ------
        CarinaError : it is not taken in, or could not be written.
        """
        if self._error is not None:
            raise self._error
        return self._file.received() if self._file else None

    def discard(self) -> None:
        """Let go of what was written; what was kept stays."""
        if self._file is not None:
            self._file.discard()
        self.truncate(0)

    def _add(self, piece: memoryview) -> None:
        if self._file is not None:
            if self._file.is_due():
                self._admit(self._file.header)
            self._file.write(piece)
            return
        super().write(piece)
        if self.size_bytes >= HEAD_BYTES and not self._is_held:
            self._settle()

    def _settle(self) -> None:
        """Go on in the store, where the header is whole."""
        head = self.getvalue()
        header = read_leading_header(head, self._transfer_syntax_uid)
        if header is None:
            self._is_held = True
            return
        self._admit(header)
        self._file = _GrowingFile(header, self._objects.draft(".dcm"))
        uids = header["SOPClassUID"], header["SOPInstanceUID"], header.transfer_syntax_uid
        self._file.write(file_meta(*uids))
        self._file.write(head)
        self.seek(0)
        self.truncate()


class _GrowingFile:
    """A draft in the store, counted and hashed while it grows."""

    def __init__(self, header: Header, draft: Draft) -> None:
        self.header, self._draft = header, draft
        self._sha256 = hashlib.sha256()
        self._size_bytes = 0
        self._due_bytes = _ADMITTED_BYTES

    def is_due(self) -> bool:
        """Whether much was written since this was asked last."""
        if self._size_bytes < self._due_bytes:
            return False
        self._due_bytes = self._size_bytes + _ADMITTED_BYTES
        return True

    def write(self, piece: bytes | memoryview) -> None:
        self._sha256.update(piece)
        self._draft.write(piece)
        self._size_bytes += len(piece)

    def received(self) -> Received:
        sha256, size_bytes = self._sha256.hexdigest(), self._size_bytes
        return Received(self.header, sha256, size_bytes, self._draft.read, self._draft.keep)

    def discard(self) -> None:
        self._draft.discard()
