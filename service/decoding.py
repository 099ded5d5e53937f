"""What is read of objects from the network: the contract, and the reading itself.

A parser and six decoders of three languages read what a sender calls a film. A service has that
done by processes of their own, with bounded memory and time: see `decoder.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.part10 import parse
from models.radiograph import Radiograph, read_bytes
from service.dicom import bulk_data, deidentify, dicom_json
from service.dicom.bulk_data import Frames
from service.dicom.deidentify import Deidentified


class Decoding(Protocol):
    """What is read of objects from the network: by a `Decoder`, or `InProcess` in batch commands.

    Each raises `Refusal` where the bytes cannot be read or decoded.
    """

    def read(self, data: bytes) -> Radiograph:
        """The film in a DICOM, PNG or JPEG file."""

    def header(self, data: bytes, only: Collection[int] = ()) -> dicom_json.Json:
        """What a DICOM file says beside its pixels, or `only` these tags of it."""

    def frames(self, data: bytes, numbers: Sequence[int], *, as_stored: bool) -> Frames:
        """Frames of a DICOM file: see `bulk_data.frames`."""

    def picture(self, data: bytes) -> NDArray[np.float32]:
        """The first frame of a DICOM image, to be shown: see `bulk_data.picture`."""

    def value(self, data: bytes, way: str) -> bytes:
        """A binary value of a DICOM file: see `bulk_data.value`."""

    def deidentified(self, data: bytes, patient: str, key: bytes) -> Deidentified:
        """A film that names nobody: see `deidentify.deidentified`."""


class InProcess:
    """Reads here: for the batch commands and for the decoding process itself."""

    def read(self, data: bytes) -> Radiograph:
        """The film in a DICOM, PNG or JPEG file."""
        return read_bytes(data)

    def header(self, data: bytes, only: Collection[int] = ()) -> dicom_json.Json:
        """What a DICOM file says beside its pixels, or `only` these tags of it."""
        return dicom_json.of_header(parse(data), only)

    def frames(self, data: bytes, numbers: Sequence[int], *, as_stored: bool) -> Frames:
        """Frames of a DICOM file."""
        return bulk_data.frames(data, numbers, as_stored=as_stored)

    def picture(self, data: bytes) -> NDArray[np.float32]:
        """The first frame of a DICOM image, to be shown."""
        return bulk_data.picture(data)

    def value(self, data: bytes, way: str) -> bytes:
        """A binary value of a DICOM file."""
        return bulk_data.value(data, way)

    def deidentified(self, data: bytes, patient: str, key: bytes) -> Deidentified:
        """A film that names nobody."""
        return deidentify.deidentified(data, patient, key)
