"""Chest films of a stated size, drawn from shapes: what the senders of the benchmarks push."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

from models.frame import resize
from models.phantom import draw

LARGE_BYTES, SMALL_BYTES = 10_000_000, 500_000
_GREYS = 4095  # 12 bits
_BYTES_PER_PIXEL = 2


def write(path: Path, size_bytes: int, *, seed: int = 7, extent: float = 3.0) -> Path:
    """Write a square film whose pixel data has about `size_bytes`; another seed, other patient."""
    side = math.isqrt(size_bytes // _BYTES_PER_PIXEL)
    pixels = resize(draw(seed, extent, size=512).pixels, (side, side))
    ds = _described(seed)
    ds.Rows = ds.Columns = side
    ds.ImagerPixelSpacing = [360 / side] * 2
    ds.PixelData = (pixels * _GREYS).round().astype(np.uint16).tobytes()
    ds["PixelData"].VR = "OW"
    ds.save_as(path, enforce_file_format=True)
    return path


def _described(seed: int) -> Dataset:
    ds, now = Dataset(), datetime.now()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = DigitalXRayImageStorageForPresentation
    ds.SOPInstanceUID, ds.StudyInstanceUID = generate_uid(), generate_uid()
    ds.SeriesInstanceUID = generate_uid()
    ds.PatientID, ds.PatientName = f"BENCH-{seed}", f"Bench^{seed}"
    ds.PatientBirthDate, ds.PatientSex = "19500102", "F"
    ds.StudyDate = ds.AcquisitionDate = f"{now:%Y%m%d}"
    ds.StudyTime = ds.AcquisitionTime = f"{now:%H%M%S}"
    ds.AccessionNumber, ds.StudyID, ds.ReferringPhysicianName = "", "1", ""
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "DX", 1, 1
    ds.Manufacturer, ds.ViewPosition, ds.BodyPartExamined = "Phantom", "PA", "CHEST"
    ds.PatientOrientation = ["L", "F"]
    ds.PresentationIntentType, ds.PixelIntensityRelationshipSign = "FOR PRESENTATION", -1
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    return ds
