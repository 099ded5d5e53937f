"""One radiograph as every model sees it, and the ways to read one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)

from models import acquisition
from models.greyscale import present
from models.part10 import MAX_FILE_BYTES, parse, with_transfer_syntax
from models.picture import decode as decode_picture
from models.picture import is_picture
from models.pixel_data import decode
from models.refusal import Refusal
from models.tags import text

FILM_CLASSES = frozenset(
    {
        ComputedRadiographyImageStorage,
        DigitalXRayImageStorageForPresentation,
        DigitalXRayImageStorageForProcessing,
        SecondaryCaptureImageStorage,
        MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        MultiFrameTrueColorSecondaryCaptureImageStorage,
    }
)
_FILM_MODALITIES = frozenset({"CR", "DX", "RG", "RF", "XA", "OT", "SC", "HC", "PX"})


@dataclass(frozen=True, slots=True)
class Radiograph:
    """A decoded film, ready for a model.

    Parameters
    ----------
    pixels : (H, W) float32 in [0, 1]; 1 is white (dense), whatever the file's polarity was.
    spacing_mm : (row, column) distance between pixel centres at the patient or detector, or None.
    view : "AP", "PA", "LATERAL", "OTHER" or "" where the file does not say.
    acquired_at : time of acquisition as the file states it (local, naive), or None.
    """

    pixels: NDArray[np.float32]
    spacing_mm: tuple[float, float] | None = None
    view: str = ""
    body_part: str = ""
    sop_instance_uid: str = ""
    series_instance_uid: str = ""
    study_instance_uid: str = ""
    patient_id: str = ""
    acquired_at: datetime | None = None


def read_file(path: str | Path) -> Radiograph:
    """Read a film from a DICOM, PNG or JPEG file; the content decides, not the name.

    Raises
    ------
    Refusal : the file is no film that can be decoded.
    """
    try:
        size = Path(path).stat().st_size
        if size > MAX_FILE_BYTES:
            raise _too_large(size)
        data = Path(path).read_bytes()
    except OSError as error:
        raise Refusal(
            "undecodable", f"expected a readable file, found: {error.strerror or error}"
        ) from error
    return read_bytes(data)


def read_bytes(data: bytes, name: str = "") -> Radiograph:
    """Read a film from the bytes of a DICOM, PNG or JPEG file.

    Parameters
    ----------
    name : what to call the file in a refusal; empty to leave it out.

    Raises
    ------
    Refusal : the bytes are no film that can be decoded.
    """
    try:
        if len(data) > MAX_FILE_BYTES:
            raise _too_large(len(data))
        if is_picture(data):
            return Radiograph(decode_picture(data))
        return read(parse(data))
    except Refusal as refusal:
        if not name:
            raise
        raise Refusal(refusal.code, f"{name}: {refusal.message}") from refusal


def read(dataset: Dataset) -> Radiograph:
    """Read a film from a data set: CR, DX and secondary captures, grey or colour.

    Raises
    ------
    Refusal : `undecodable`, `truncated`, `too_small`, or `unlike_training` for another modality.
    """
    with _refusing():
        return _read(with_transfer_syntax(dataset))


def show(dataset: Dataset) -> NDArray[np.float32]:
    """Brightness of an image of one frame as a viewer shows it at first, of any size and modality.

    Returns
    -------
    (H, W) in [0, 1], 1 white; colour as its luminance.

    Raises
    ------
    Refusal : `undecodable` or `truncated`.
    """
    with _refusing():
        named = with_transfer_syntax(dataset)
        return present(decode(named, shortest_side=1), named)


@contextmanager
def _refusing() -> Iterator[None]:
    """The edge to five decoders and hostile bytes: whatever they raise, there is no film."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values of the patient
            yield
    except Refusal:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
            raise
        # Rust panics are no Exception.
        raise Refusal(
            "undecodable",
            f"expected pixel data that can be decoded, found {type(error).__name__} in the "
            "decoder; send the film uncompressed or as JPEG 2000",
        ) from error


def _read(ds: Dataset) -> Radiograph:
    _check_modality(ds)
    return Radiograph(
        pixels=present(decode(ds), ds),
        spacing_mm=acquisition.spacing_mm(ds),
        view=acquisition.view(ds),
        body_part=acquisition.body_part(ds),
        sop_instance_uid=text(ds, "SOPInstanceUID"),
        series_instance_uid=text(ds, "SeriesInstanceUID"),
        study_instance_uid=text(ds, "StudyInstanceUID"),
        patient_id=text(ds, "PatientID"),
        acquired_at=acquisition.acquired_at(ds),
    )


def _check_modality(ds: Dataset) -> None:
    """Slices, ultrasound and photographs with a chest in their tags are no radiographs."""
    sop_class, modality = text(ds, "SOPClassUID"), text(ds, "Modality")
    if sop_class and sop_class not in FILM_CLASSES:
        raise Refusal(
            "unlike_training",
            f"expected a CR, DX or secondary capture, found {UID(sop_class).name}",
        )
    if modality and modality not in _FILM_MODALITIES:
        raise Refusal(
            "unlike_training", f"expected the modality CR, DX, RG, OT or SC, found {modality}"
        )


def _too_large(size: int) -> Refusal:
    return Refusal(
        "undecodable",
        f"expected at most {MAX_FILE_BYTES >> 20} MiB, found {size >> 20} MiB; send one film",
    )
