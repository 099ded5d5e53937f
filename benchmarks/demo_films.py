"""Render the demo's sample ward from the labelled CT: `python benchmarks/demo_films.py --ct DIR`.

Seventeen patients with one to four films each, opacities of known extent, as DICOM files of 12 bits
in JPEG 2000. The truth (extent and zones as rendered) goes to ward.json beside the films; the demo
reads that file for the course of each patient, never for a score.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
    """One planned film: hours before the demo's present, rendered extent 0-8, at the bedside?

    A `late` film is sent after the newer ones were scored; a `lateral` one is refused.
    """

    hours_ago: float
    extent: float
    supine: bool
    late: bool = False
    lateral: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """One planned patient. `course` names the vital-sign course of the demo.

    Without a bed they are not admitted: they came to the clinic.
    """

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
        (Film(44, 1.8, False, late=True), Film(20, 1.6, False)),
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
    Plan(
        "P-1013",
        "Maple^Ada",
        "F",
        66,
        "Ward 4 South",
        "27",
        "steady",
        (Film(29, 1.4, False), Film(1, 1.4, False, lateral=True)),
    ),
    Plan("P-1014", "Nutmeg^Leo", "M", 62, "Respiratory", "06", "new", (Film(0.4, 3.4, True),)),
    Plan("P-2001", "Olive^Greta", "F", 74, "Clinic", "", "clinic_ill", (Film(2, 4.4, False),)),
    Plan("P-2002", "Pine^Anton", "M", 41, "Clinic", "", "clinic_well", (Film(3, 0.0, False),)),
    Plan("P-2003", "Rowan^Judit", "F", 57, "Clinic", "", "clinic_film", (Film(20, 1.5, False),)),
)
TURNED_LATERAL_DEG = 90.0


def main() -> None:
    """Render every film of WARD into OUT."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--ct", type=Path, required=True, help="folder with cxr.nii.gz, mask.nii.gz"
    )
    options.add_argument("-o", "--output", type=Path, default=OUT)
    options.add_argument("--only", nargs="+", help="patients; the films of the others stay")
    chosen = options.parse_args()
    chosen.output.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(2, initializer=_start, initargs=(chosen.ct,)) as pool:
        wanted = [(p, n) for n, p in enumerate(WARD) if p.patient_id in (chosen.only or _ids())]
        plans, numbers = zip(*wanted, strict=True)
        made = list(pool.map(_patient, plans, numbers, [chosen.output] * len(plans)))
    old = json.loads(text) if (text := _read(chosen.output / "ward.json")) else []
    known = {one["patient_id"]: one for one in [*old, *made]}
    ward = [{**known[p.patient_id], **_words(p, known[p.patient_id])} for p in WARD]
    text = json.dumps(ward, indent=1, ensure_ascii=False)
    (chosen.output / "ward.json").write_text(text + "\n", encoding="utf-8")
    total = sum(file.stat().st_size for file in chosen.output.iterdir())
    print(f"{len(WARD)} patients, {sum(len(p.films) for p in WARD)} films, {total / 1e6:.1f} MB")


def _ids() -> frozenset[str]:
    return frozenset(plan.patient_id for plan in WARD)


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _words(plan: Plan, rendered: dict[str, Any]) -> dict[str, Any]:
    """What the plan says beside the pictures; it may have changed since they were made."""
    films = []
    for film, said in zip(plan.films, rendered["films"], strict=True):
        one = {"file": said["file"], "hours_ago": film.hours_ago}
        one["rendered_extent"] = said["rendered_extent"]
        films.append(one | ({"late": True} if film.late else {}))
    return {"ward": plan.ward, "bed": plan.bed, "course": plan.course, "films": films}


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
            stance=_stance(film, stance),
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


def _stance(film: Film, stance: Stance) -> Stance:
    if film.lateral:
        around, *others = stance.turn_deg
        turn = (around + TURNED_LATERAL_DEG, others[0], others[1])
        return replace(stance, anterior=False, turn_deg=turn)
    return bedside(stance) if film.supine else replace(stance, anterior=False)


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
    view = "LL" if film.lateral else "AP" if film.supine else "PA"
    words = {"LL": "CHEST LATERAL", "AP": "CHEST AP PORTABLE", "PA": "CHEST PA"}
    ds.ViewPosition, ds.SeriesDescription = view, words[view]
    ds.PatientOrientation = ["A", "F"] if film.lateral else ["L", "F"]
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
