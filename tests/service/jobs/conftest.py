"""Films for cohorts: drawn phantoms as DICOM and PNG files, of no patient."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

from models.phantom import draw


def write_dicom(path: Path, seed: int, **tags: object) -> Path:
    """A drawn chest film of patient `seed` as a DX file."""
    values = np.rint(draw(seed, extent=seed % 5, size=384).pixels * 4095).astype("<u2")
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = DigitalXRayImageStorageForPresentation
    ds.SOPInstanceUID, ds.StudyInstanceUID = generate_uid(), generate_uid()
    ds.Modality, ds.PatientID, ds.ViewPosition = "DX", f"P{seed}", "PA"
    ds.AcquisitionDate, ds.AcquisitionTime = "20200401", "101500"
    ds.Rows, ds.Columns = values.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = values.tobytes()
    ds["PixelData"].VR = "OW"
    for keyword, value in tags.items():
        setattr(ds, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="session")
def dicom_film() -> Callable[..., Path]:
    return write_dicom


@pytest.fixture(scope="session")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as researchers have them: films in two formats, bad files, companions."""
    folder = tmp_path_factory.mktemp("ward")
    for seed in range(3):
        write_dicom(folder / "films" / f"IM{seed:04d}", seed)
    eight = np.rint(draw(7, size=320).pixels * 255).astype(np.uint8)
    Image.fromarray(eight).save(folder / "film.png")
    write_dicom(folder / "lateral.dcm", 4, ViewPosition="LL")
    whole = (folder / "films" / "IM0000").read_bytes()
    (folder / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    (folder / "none.dcm").write_bytes(b"")
    (folder / "labels.csv").write_text("path\n")
    (folder / "notes.txt").write_text("no film")
    return folder
