"""Films that the tests write themselves."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

FilmMaker = Callable[..., Dataset]


def make_film(values: NDArray[np.integer], bits: int = 12, **tags: object) -> Dataset:
    """A DX film of stored values (H, W) or (H, W, 3); `tags` are set last, None deletes."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    ds.SOPClassUID = DigitalXRayImageStorageForPresentation
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.PatientID, ds.Modality = "P1", "DX"
    ds.BodyPartExamined, ds.ViewPosition = "CHEST", "PA"
    ds.Rows, ds.Columns = values.shape[:2]
    ds.SamplesPerPixel = 1 if values.ndim == 2 else 3
    ds.PhotometricInterpretation = "MONOCHROME2" if values.ndim == 2 else "RGB"
    if values.ndim == 3:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = 8 if bits <= 8 else 16
    ds.BitsStored, ds.HighBit = bits, bits - 1
    ds.PixelRepresentation = 1 if values.min() < 0 else 0
    raw = values.astype("u1" if bits <= 8 else "<u2").tobytes()
    ds.PixelData = raw + b"\0" * (len(raw) % 2)
    ds["PixelData"].VR = "OB" if bits <= 8 else "OW"
    for keyword, value in tags.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def file_bytes(ds: Dataset) -> bytes:
    """The data set as a DICOM file."""
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def film() -> FilmMaker:
    return make_film


@pytest.fixture(scope="session")
def to_bytes() -> Callable[[Dataset], bytes]:
    return file_bytes


@pytest.fixture(scope="session")
def picture() -> NDArray[np.float64]:
    """A smooth picture (260, 256) that fills [0, 1], with an edge and no symmetry."""
    rows, columns = np.mgrid[0:260, 0:256].astype(float)
    waves = np.sin(rows / 37.0) + np.cos(columns / 23.0) + rows / 260.0 + (columns > 200)
    return (waves - waves.min()) / np.ptp(waves)
