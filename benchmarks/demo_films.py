"""Render the demo's sample ward from the labelled CT: `python benchmarks/demo_films.py --ct DIR`.

Twelve patients with one to four films each, opacities of known extent, as DICOM files of 12 bits
in JPEG 2000. The truth (extent and zones as rendered) goes to ward.json beside the films; the demo
reads that file for the course of each patient, never for a score.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import JPEG2000 as JPEG2000_LOSSY
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from models.ct import read_chest
from models.film import Exposure
from models.projection import (
    Clutter,
    Projector,
    Stance,
    bedside,
    random_clutter,
    random_stance,
    render,
)

SIZE = 768
PREFIX = "1.2.826.0.1.3680043.10.1654."  # pydicom's free root with a suffix of our own
OUT = Path("service/demo_ward")
_projectors: list[Projector] = []
CLEAN = Clutter(wires=0, effusions=(0.0, 0.0), ground_glass=0.65)


@dataclass(frozen=True, slots=True)
class Film:
    """One planned film: hours before the demo's present, rendered extent 0-8, at the bedside?"""

    hours_ago: float
    extent: float
    supine: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """One planned patient. `course` names the vital-sign course of the demo."""

    patient_id: str
    name: str
    sex: str
    age: int
    ward: str
    bed: str
    course: str
    films: tuple[Film, ...]


WARD: tuple[Plan, ...] = (
    Plan(
        "P-1001",
        "Alder^Ines",
        "F",
        71,
        "Ward 4 North",
        "12",
        "failing",
        (Film(74, 1.5, False), Film(47, 3.0, True), Film(22, 4.8, True), Film(2, 6.4, True)),
    ),
    Plan(
        "P-1002",
        "Birch^Tomas",
        "M",
        58,
        "Ward 4 North",
        "03",
        "worsening",
        (Film(51, 1.0, False), Film(26, 2.4, False), Film(3, 4.2, True)),
    ),
    Plan(
        "P-1003",
        "Cedar^Maja",
        "F",
        64,
        "Ward 4 North",
        "07",
        "improving",
        (Film(96, 5.2, True), Film(50, 3.8, True), Film(5, 2.0, False)),
    ),
    Plan(
        "P-1004",
        "Dogwood^Felix",
        "M",
        45,
        "Ward 4 North",
        "09",
        "steady",
        (Film(30, 1.2, False), Film(6, 1.2, False)),
    ),
    Plan(
        "P-1005",
        "Elm^Rosa",
        "F",
        83,
        "Ward 4 South",
        "21",
        "high_flow",
        (Film(49, 4.0, True), Film(20, 4.4, True), Film(4, 5.0, True)),
    ),
    Plan("P-1006", "Fir^Jonas", "M", 36, "Ward 4 South", "22", "well", (Film(18, 0.0, False),)),
    Plan(
        "P-1007",
        "Ginkgo^Lena",
        "F",
        52,
        "Ward 4 South",
        "24",
        "stale",
        (Film(40, 2.2, False), Film(16, 2.6, False)),
    ),
    Plan(
        "P-1008",
        "Hazel^Viktor",
        "M",
        77,
        "Ward 4 South",
        "25",
        "worsening",
        (Film(60, 2.0, True), Film(12, 3.6, True)),
    ),
    Plan("P-1009", "Ivywood^Clara", "F", 29, "Respiratory", "01", "well", (Film(8, 0.0, False),)),
    Plan(
        "P-1010",
        "Juniper^Emil",
        "M",
        68,
        "Respiratory",
        "02",
        "ventilated",
        (Film(72, 3.5, True), Film(36, 6.0, True), Film(10, 7.0, True)),
    ),
    Plan(
        "P-1011",
        "Katsura^Nora",
        "F",
        60,
        "Respiratory",
        "04",
        "steady",
        (Film(44, 1.8, False), Film(20, 1.6, False)),
    ),
    Plan(
        "P-1012",
        "Larch^Oskar",
        "M",
        74,
        "Respiratory",
        "05",
        "no_saturation",
        (Film(14, 3.0, True),),
    ),
)


def main() -> None:
    """Render every film of WARD into OUT."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--ct", type=Path, required=True, help="folder with cxr.nii.gz, mask.nii.gz"
    )
    options.add_argument("-o", "--output", type=Path, default=OUT)
    chosen = options.parse_args()
    chosen.output.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(2, initializer=_start, initargs=(chosen.ct,)) as pool:
        ward = list(pool.map(_patient, WARD, range(len(WARD)), [chosen.output] * len(WARD)))
    text = json.dumps(ward, indent=1, ensure_ascii=False)
    (chosen.output / "ward.json").write_text(text + "\n", encoding="utf-8")
    total = sum(file.stat().st_size for file in chosen.output.iterdir())
    print(f"{len(WARD)} patients, {sum(len(p.films) for p in WARD)} films, {total / 1e6:.1f} MB")


def careful(stance: Stance) -> Stance:
    """The patient placed as a radiographer would: hardly turned, lungs filling the field."""
    turned = tuple(0.4 * angle for angle in stance.turn_deg)
    return replace(
        stance,
        turn_deg=(turned[0], turned[1], turned[2]),
        field_mm=350.0 + 0.3 * (stance.field_mm - 350.0),
        breath=min(max(stance.breath, 0.95), 1.2),
    )


def _start(ct: Path) -> None:
    """Each process reads the CT once."""
    torch.set_num_threads(1)
    _projectors.append(Projector(read_chest(ct)))


def _patient(plan: Plan, number: int, out: Path) -> dict[str, object]:
    projector, films = _projectors[0], []
    for index, film in enumerate(plan.films):
        seed = 7000 + 10 * number + index
        rng = np.random.default_rng([seed, 3])
        stance = careful(random_stance(rng))
        phantom = render(
            projector,
            seed,
            patient=7000 + 10 * number,
            extent=film.extent,
            size=SIZE,
            clutter=replace(CLEAN, wires=random_clutter(rng).wires) if film.supine else CLEAN,
            exposure=Exposure(),
            stance=bedside(stance) if film.supine else replace(stance, anterior=False),
        )
        file = f"{plan.patient_id}-{index + 1}.dcm"
        _dicom(plan, film, index, phantom.pixels, phantom.spacing_mm).save_as(
            out / file, enforce_file_format=True
        )
        films.append(
            {
                "file": file,
                "hours_ago": film.hours_ago,
                "rendered_extent": round(float(phantom.extent), 2),
            }
        )
    return {
        "patient_id": plan.patient_id,
        "name": plan.name,
        "sex": plan.sex,
        "age": plan.age,
        "ward": plan.ward,
        "bed": plan.bed,
        "course": plan.course,
        "films": films,
    }


def _dicom(
    plan: Plan, film: Film, index: int, pixels: NDArray[np.float32], spacing: tuple[float, float]
) -> FileDataset:
    """A DX image for presentation; dates are set when the demo sends it."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    names = [f"{plan.patient_id}/{index}/{what}" for what in ("study", "series", "instance")]
    study, series, instance = (generate_uid(PREFIX, [name]) for name in names)
    meta.MediaStorageSOPInstanceUID = instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, instance
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientID, ds.PatientName, ds.PatientSex = plan.patient_id, plan.name, plan.sex
    ds.PatientBirthDate = f"{2026 - plan.age}0115"
    ds.PatientAge = f"{plan.age:03d}Y"
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = str(index + 1), 1, 1
    ds.AccessionNumber = f"DEMO{plan.patient_id[2:]}{index + 1}"
    ds.ReferringPhysicianName = ""
    ds.Modality, ds.BodyPartExamined = "DX", "CHEST"
    ds.StudyDescription = "Chest, one view"
    ds.SeriesDescription = "CHEST AP PORTABLE" if film.supine else "CHEST PA"
    ds.ViewPosition = "AP" if film.supine else "PA"
    ds.PatientOrientation = ["L", "F"]
    ds.Manufacturer, ds.ManufacturerModelName = "Carina", "phantom rendered from a CT"
    ds.ImageType = ["DERIVED", "PRIMARY", ""]
    ds.DerivationDescription = "Simulated film, no patient; opacities of known extent"
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.PixelSpacing = list(spacing)
    ds.ImagerPixelSpacing = list(spacing)
    ds.WindowCenter, ds.WindowWidth = 2048, 4096
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.PresentationLUTShape, ds.BurnedInAnnotation = "IDENTITY", "NO"
    ds.PhotometricInterpretation, ds.SamplesPerPixel = "MONOCHROME2", 1
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = (np.clip(pixels, 0, 1) * 4095).round().astype("<u2").tobytes()
    ds.compress(JPEG2000_LOSSY, j2k_psnr=[47], generate_instance_uid=False)
    return ds


if __name__ == "__main__":
    main()
