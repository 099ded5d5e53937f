"""How far a score moves when the same film arrives in another form.

Every film of a sample is written as DICOM in other forms, read as the service reads it, and scored
by the shipped weights. The weights may know the films; what is measured is not how right a score
is but how still it stands.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from models import quality
from models.frame import resize
from models.pixel_data import SHORTEST_SIDE
from models.radiograph import Radiograph, read
from models.refusal import Refusal
from models.severity.figures import bootstrap
from models.severity.predict import Severity, change, score

MOST_MEDIAN, MOST_P95, MOST_CALLED, MOST_REFUSED = 0.4, 0.8, 0.05, 0.01
CALLED_CHANGED = 0.95  # probability_real above which a change is called
Pixels = NDArray[np.float32]


def dicom(pixels: Pixels, bits: int = 12, photometric: str = "MONOCHROME2") -> Dataset:
    """A DX object of these pixels (H, W) in [0, 1]."""
    top = 2**bits - 1
    stored = np.rint(pixels * top).astype(np.uint16)
    if photometric == "MONOCHROME1":
        stored = np.asarray(top - stored, np.uint16)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = DigitalXRayImageStorageForPresentation, generate_uid()
    ds.Modality, ds.BodyPartExamined, ds.ViewPosition = "DX", "CHEST", "AP"
    ds.Rows, ds.Columns = stored.shape
    ds.SamplesPerPixel, ds.PixelRepresentation = 1, 0
    ds.PhotometricInterpretation = photometric
    ds.BitsStored, ds.HighBit = bits, bits - 1
    ds.BitsAllocated = 8 if bits == 8 else 16
    ds.PixelData = stored.astype(np.uint8 if bits == 8 else np.uint16).tobytes()
    if len(ds.PixelData) % 2:
        ds.PixelData += b"\0"
    return ds


def windowed(pixels: Pixels) -> Radiograph:
    """The film squeezed into half of the scale, with the window that shows it as it was."""
    ds = dicom(0.25 + 0.5 * pixels)
    ds.WindowCenter, ds.WindowWidth = 2048.0, 2048.0
    return read(ds)


def looked_up(pixels: Pixels) -> Radiograph:
    """The film darkened by a square, with the VOI LUT that undoes it."""
    ds = dicom(pixels**2)
    table = np.rint(np.sqrt(np.arange(4096) / 4095) * 4095).astype(np.uint16)
    lut = Dataset()
    lut.LUTDescriptor, lut.LUTData = [4096, 0, 12], table.tobytes()
    lut["LUTDescriptor"].VR, lut["LUTData"].VR = "US", "OW"
    ds.VOILUTSequence = [lut]
    return read(ds)


def as_jpeg(pixels: Pixels) -> Radiograph:
    """JPEG at quality 75."""
    packed = io.BytesIO()
    picture_of(pixels).save(packed, format="JPEG", quality=75)
    return Radiograph(pixels_of(Image.open(packed)))


def halved(pixels: Pixels) -> Radiograph:
    """Half the resolution."""
    return Radiograph(resize(pixels, (pixels.shape[0] // 2, pixels.shape[1] // 2)))


def bordered(pixels: Pixels) -> Radiograph:
    """Black borders, a tenth of each side."""
    height, width = pixels.shape
    rims = ((height // 10,) * 2, (width // 10,) * 2)
    return Radiograph(np.pad(pixels, rims))


def turned(pixels: Pixels) -> Radiograph:
    """Five degrees turned."""
    turn = picture_of(pixels).rotate(5, Image.Resampling.BILINEAR)
    return Radiograph(pixels_of(turn))


def cropped(pixels: Pixels) -> Radiograph:
    """A tenth cropped: a twentieth at each edge."""
    height, width = pixels.shape
    edge = (height // 20, width // 20)
    return Radiograph(np.ascontiguousarray(pixels[edge[0] : -edge[0], edge[1] : -edge[1]]))


def lettered(pixels: Pixels) -> Radiograph:
    """A laterality marker and burned-in text at the edges."""
    picture = picture_of(pixels)
    pen, side = ImageDraw.Draw(picture), min(pixels.shape)
    pen.text((0.04 * side, 0.05 * side), "R", fill=255, font_size=0.07 * side)
    pen.text((0.5 * side, 0.02 * side), "AP SUPINE 12:40", fill=255, font_size=0.03 * side)
    return Radiograph(pixels_of(picture))


def picture_of(pixels: Pixels) -> Image.Image:
    """[0, 1] to a picture of 8 bits."""
    return Image.fromarray(np.rint(pixels * 255).astype(np.uint8))


def pixels_of(picture: Image.Image) -> Pixels:
    """A picture of 8 bits to [0, 1]."""
    return np.asarray(picture.convert("L"), np.float32) / np.float32(255)


FORMS: dict[str, Callable[[Pixels], Radiograph]] = {
    "MONOCHROME1, 12 bits": lambda pixels: read(dicom(pixels, 12, "MONOCHROME1")),
    "8 bits": lambda pixels: read(dicom(pixels, 8)),
    "10 bits": lambda pixels: read(dicom(pixels, 10)),
    "16 bits": lambda pixels: read(dicom(pixels, 16)),
    "window": windowed,
    "VOI LUT": looked_up,
    "JPEG at quality 75": as_jpeg,
    "half resolution": halved,
    "black borders": bordered,
    "5 degrees turned": turned,
    "10 % cropped": cropped,
    "marker and text": lettered,
}


def sample(data: Path, count: int) -> pd.DataFrame:
    """So many frontal films, scored and normal, in an order that does not change.

    Films whose halves would be too small to be scored are left out.
    """
    table = pd.read_csv(data / "radiographs.csv")
    sides = [min(Image.open(data / name).size) for name in table.file]
    table = table[np.asarray(sides) >= 2 * SHORTEST_SIDE]
    scored = table.geographic_0_8.notna() | table.brixia_S_Global.notna()
    ill = table[scored].sample(count * 3 // 4, random_state=0)
    normal = table[(table.source == "nih") & (table.finding == "No Finding")]
    return pd.concat([ill, normal.sample(count - len(ill), random_state=0)])


def main() -> int:
    """Print the table; 1 where a bar of the issue is missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=Path("../shared/data"))
    options.add_argument("--films", type=int, default=200)
    chosen = options.parse_args()
    wanted = sample(chosen.data, chosen.films)
    plain, moved, kept = measured(chosen.data, wanted)
    patient = pd.factorize(kept.patient)[0].astype(np.int64)
    found = {name: figures(plain, scores, patient) for name, scores in moved.items()}
    every = [score for scores in moved.values() for score in scores]
    found["all"] = figures(plain * len(moved), every, np.tile(patient, len(moved)))
    print(
        json.dumps(
            {"films": len(wanted), "refused as they are": len(wanted) - len(kept), **found},
            indent=2,
        )
    )
    return 0 if all(is_kept(figure) for figure in found.values()) else 1


def measured(
    data: Path, table: pd.DataFrame
) -> tuple[list[Severity], dict[str, list[Severity | None]], pd.DataFrame]:
    """Scores of the films as they are, of each form (None where it is refused), and their rows.

    A film that is refused as it is has no score that could move.
    """
    plain: list[Severity] = []
    moved: dict[str, list[Severity | None]] = {name: [] for name in FORMS}
    kept: list[bool] = []
    for name in table.file:
        pixels = pixels_of(Image.open(data / name))
        itself = accepted(lambda pixels: read(dicom(pixels)), pixels)
        kept.append(itself is not None)
        if itself is not None:
            plain.append(itself)
            for form, make in FORMS.items():
                moved[form].append(accepted(make, pixels))
    return plain, moved, table[kept]


def accepted(make: Callable[[Pixels], Radiograph], pixels: Pixels) -> Severity | None:
    """The score of a form of a film, None where it is refused."""
    try:
        radiograph = make(pixels)
        quality.check(radiograph)
        return score(radiograph)
    except Refusal:
        return None


def figures(
    plain: list[Severity], scores: list[Severity | None], patient: NDArray[np.int64]
) -> dict[str, Any]:
    """Median and 95th percentile of |difference in extent|, and the share called changed."""
    rows = np.array([at for at, one in enumerate(scores) if one is not None], np.int64)
    apart, called = np.full(len(scores), np.nan), np.full(len(scores), np.nan)
    for at in rows:
        other = scores[at]
        assert other is not None
        difference = change(plain[at], other)
        apart[at] = abs(difference.extent_change)
        called[at] = float(difference.probability_real > CALLED_CHANGED)
    return {
        "median": bootstrap(lambda at: float(np.median(apart[at])), rows, patient),
        "p95": bootstrap(lambda at: float(np.percentile(apart[at], 95)), rows, patient),
        "called_changed": bootstrap(lambda at: float(called[at].mean()), rows, patient),
        "refused": len(scores) - len(rows),
        "of": len(scores),
    }


def is_kept(figure: dict[str, Any]) -> bool:
    """Whether a row of the table meets the bars; a row of too few films does not."""
    if figure["refused"] > MOST_REFUSED * figure["of"]:
        return False
    most = {"median": MOST_MEDIAN, "p95": MOST_P95, "called_changed": MOST_CALLED}
    found = {name: figure[name]["value"] for name in most}
    return all(found[name] is not None and found[name] <= bar for name, bar in most.items())


if __name__ == "__main__":
    raise SystemExit(main())
