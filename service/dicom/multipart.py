"""Multipart messages of DICOM files (PS3.18 8.6.1.2), part by part: STOW-RS in, WADO-RS back."""

from __future__ import annotations

from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.errors import MediaTypeError, TooLargeError, UsageError

_MB = 1 << 20


def boundary_of(content_type: str) -> bytes | None:
    """Boundary of a multipart request of DICOM files; None for a single DICOM file.

    Raises
    ------
    MediaTypeError : the request is neither.
    """
    kind, options = parse_options_header(content_type)
    if kind == b"application/dicom":
        return None
    inner = options.get(b"type", b"application/dicom").lower()
    if kind == b"multipart/related" and inner == b"application/dicom" and options.get(b"boundary"):
        return options[b"boundary"]
    raise MediaTypeError(
        'expected multipart/related; type="application/dicom"; boundary=..., or application/dicom, '
        f"found {content_type[:80]!r}"
    )


class Reader:
    """Collects the bytes of the part that is coming in."""

    def __init__(self, boundary: bytes | None, max_part_bytes: int) -> None:
        self._max = max_part_bytes
        self._part = bytearray()
        self._complete: list[bytes] = []
        self._ended = boundary is None
        self._parser: MultipartParser | None = None
        if boundary is not None:
            try:
                self._parser = MultipartParser(boundary, self._callbacks())
            except FormParserError as error:
                raise _malformed(error) from error

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take some bytes of the body and give the parts that they completed."""
        if self._parser is None:
            self._collect(chunk, 0, len(chunk))
            return []
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _malformed(error) from error
        complete, self._complete = self._complete, []
        return complete

    def finish(self) -> list[bytes]:
        """Give what a body without parts held; a multipart message must have ended by itself."""
        if not self._ended:
            raise UsageError("expected the closing boundary of the multipart message, found none")
        return [bytes(self._part)] if self._parser is None else []

    def _callbacks(self) -> Any:
        return {
            "on_part_begin": self._part.clear,
            "on_part_data": self._collect,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _collect(self, data: bytes, start: int, end: int) -> None:
        if len(self._part) + end - start > self._max:
            raise TooLargeError(
                f"expected objects of at most {self._max // _MB} MB, found a larger one; raise "
                "CARINA_MAX_OBJECT_MB to take it in"
            )
        self._part += memoryview(data)[start:end]

    def _end_part(self) -> None:
        self._complete.append(bytes(self._part))
        self._part.clear()

    def _end(self) -> None:
        self._ended = True


def _malformed(error: FormParserError) -> UsageError:
    return UsageError(f"expected a multipart message, found a malformed one ({error})")
