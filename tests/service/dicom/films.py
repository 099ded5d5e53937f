"""Small films for the tests of the DICOM side: made here, of no patient."""

from __future__ import annotations

import io

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)


def film(
    *,
    sop_class: str = ComputedRadiographyImageStorage,
    study_uid: str = "",
    patient_id: str = "P1",
    syntax: UID = ExplicitVRLittleEndian,
    shape: tuple[int, int] = (64, 48),
    seed: int = 0,
) -> Dataset:
    """A complete grey film whose pixels follow from `seed`."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = generate_uid()
    ds.StudyInstanceUID = study_uid or generate_uid()
    ds.SeriesInstanceUID = generate_uid()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientID, ds.PatientName = patient_id, "Müller^Anna"
    ds.PatientBirthDate, ds.PatientSex = "19500102", "F"
    ds.StudyDate, ds.StudyTime, ds.StudyID = "20260301", "101500", "1"
    ds.TimezoneOffsetFromUTC = "+0100"
    ds.AccessionNumber, ds.ReferringPhysicianName = "A17", ""
    ds.StudyDescription = "Chest"
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "CR", 1, 1
    ds.Manufacturer, ds.ViewPosition, ds.BodyPartExamined = "Phantom", "PA", "CHEST"
    ds.PatientOrientation = ["L", "F"]
    ds.Rows, ds.Columns = shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.ImagerPixelSpacing = [0.2, 0.2]
    pixels = np.random.default_rng(seed).integers(0, 4096, shape, dtype=np.uint16)
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW"
    return ds


def as_file(ds: Dataset) -> bytes:
    """The bytes of a DICOM file."""
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
