"""What a stored object says beside its pixels, told within bounds of time.

A header that lies within the first bytes of a plain file, as that of nearly every film does, is
read here: so few bytes cannot hold a thread for long, whatever they are. Any other one is read by a
decoding process; an object that does not get through it is marked `undecodable` and not read again.
"""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Collection
from contextlib import suppress

from pydicom.datadict import tag_for_keyword
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from models.refusal import Refusal
from service.decoding import Decoding
from service.dicom import dicom_json
from service.errors import InvalidObjectError, NotFoundError, OutOfResourcesError
from service.records import Instance
from service.store.index import Index
from service.store.objects import ObjectStore

HEAD_BYTES = 128 << 10  # 0.3 s for the worst that they can hold
PATIENCE_S = 30.0  # for all the headers of one request
_AVAILABLE_SYNTAX = "00083002"


class Descriptions:
    """Reads the headers of stored objects."""

    def __init__(self, index: Index, objects: ObjectStore, decoding: Decoding) -> None:
        self._index = index
        self._objects = objects
        self._decoding = decoding

    def of(self, instance: Instance, only: Collection[int] = ()) -> dicom_json.Json:
        """The header of an object, or `only` these tags of it, as DICOM JSON.

        Raises
        ------
        InvalidObjectError : it cannot be read.
        NotFoundError : its bytes are lost.
        OutOfResourcesError : no process can be had to read it; try again.
        """
        found = None
        if instance.transfer_syntax_uid != DeflatedExplicitVRLittleEndian:
            head = self._head(instance)
            found = within(head, is_whole=len(head) < HEAD_BYTES, only=only)
        return self._in_process(instance, only) if found is None else found

    def _head(self, instance: Instance) -> bytes:
        """The first bytes of an object."""
        path = self._objects.path(instance.object_key)
        if path is not None:
            with suppress(OSError), path.open("rb") as file:  # else the store says what is wrong
                return file.read(HEAD_BYTES)
        return self._objects.get(instance.object_key)[:HEAD_BYTES]

    def _in_process(self, instance: Instance, only: Collection[int]) -> dicom_json.Json:
        if instance.state == "undecodable":
            raise InvalidObjectError(
                "expected a header that can be read, found that it could not be read before"
            )
        try:
            return self._decoding.header(self._objects.get(instance.object_key), only)
        except Refusal as refusal:
            self._index.mark_undecodable(instance.sop_instance_uid)
            raise InvalidObjectError(refusal.message) from refusal


class Look:
    """The headers that one request or query asks for, all of them in bounded time."""

    def __init__(self, descriptions: Descriptions) -> None:
        self._descriptions = descriptions
        self._until = time.monotonic() + PATIENCE_S

    def header(self, instance: Instance, only: Collection[int] = ()) -> dicom_json.Json:
        """The header of an object, with the transfer syntax that it can be had in.

        Raises
        ------
        InvalidObjectError : it cannot be read.
        NotFoundError : its bytes are lost.
        OutOfResourcesError : the headers before it took too long; try again.
        """
        if time.monotonic() > self._until:
            raise OutOfResourcesError(
                f"expected headers that are read within {PATIENCE_S:g} s, found that they take "
                "longer; ask again, or for fewer"
            )
        found = self._descriptions.of(instance, only)
        if not only:
            available = {"vr": "UI", "Value": [instance.transfer_syntax_uid]}
            found = dict(sorted({**found, _AVAILABLE_SYNTAX: available}.items()))
        return found

    def known(self, instance: Instance, keywords: Collection[str]) -> dicom_json.Json:
        """Some of the header for a search; empty where it is broken: others are still found."""
        tags = [tag for tag in map(tag_for_keyword, keywords) if tag is not None]
        try:
            return self.header(instance, () if "all" in keywords else tags)
        except (InvalidObjectError, NotFoundError, OutOfResourcesError):
            return {}


def within(head: bytes, *, is_whole: bool, only: Collection[int] = ()) -> dicom_json.Json | None:
    """The header in the first bytes of a file, None where it goes on behind them.

    Raises
    ------
    InvalidObjectError : they cannot be read as a data set.
    """
    end = min([*dicom_json.PIXEL_DATA, *([max(only) + 1] if only else [])])
    beyond: list[tuple[int, str | None]] = []

    def stop(tag: BaseTag, vr: str | None, _length: int) -> bool:
        if int(tag) >= end:
            beyond.append((int(tag), vr))
        return bool(beyond)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values of the patient
            ds = read_partial(io.BytesIO(head), stop, specific_tags=list(only) or None)
    except Exception as error:
        # The edge to a parser and hostile bytes: whatever it raises, there is no data set.
        if not is_whole:
            return None
        raise InvalidObjectError(
            f"expected a stored object that can be read, found {type(error).__name__} in its bytes"
        ) from error
    if not is_whole and not beyond:
        return None
    found = dicom_json.of_header(ds, only)
    for tag, vr in beyond:
        if tag in dicom_json.PIXEL_DATA and not only:
            found[f"{tag:08X}"] = dicom_json.bulk_value(vr or dicom_json.PIXEL_DATA[tag])
    return dicom_json.addressed(found, "")
