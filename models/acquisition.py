"""How a film was taken, read from its data set: view, spacing, body part, time."""

from __future__ import annotations

import re
from datetime import datetime

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.valuerep import DA, DT, TM

from models.tags import items, number, numbers, text, texts

_VIEW_POSITIONS = {  # PS3.3 C.8.1.1, and what senders write beside its defined terms
    "AP": "AP",
    "PA": "PA",
    **dict.fromkeys(("LL", "RL", "LAT"), "LATERAL"),
    **dict.fromkeys(("RLD", "LLD", "RLO", "LLO", "RAO", "LAO", "RPO", "LPO"), "OTHER"),
}
_VIEW_CODES = {  # PS3.16 CID 4010, and the SNOMED RT codes that older detectors still send
    (codes.cid4010.AnteroPosterior.value, "SCT"): "AP",
    (codes.cid4010.PosteroAnterior.value, "SCT"): "PA",
    (codes.cid4010.LeftLateral.value, "SCT"): "LATERAL",
    (codes.cid4010.RightLateral.value, "SCT"): "LATERAL",
    (codes.cid4010.LateralProjection.value, "SCT"): "LATERAL",
    (codes.cid4010.Sagittal.value, "SCT"): "LATERAL",
    ("R-10206", "SRT"): "AP",
    ("R-10214", "SRT"): "PA",
    ("R-10236", "SRT"): "LATERAL",
    ("R-10232", "SRT"): "LATERAL",
    ("R-10228", "SRT"): "LATERAL",
}
_VIEW_WORDS = {
    "OTHER": re.compile(r"\b(decub\w*|obli\w*|lordotic)\b"),
    "LATERAL": re.compile(r"\b(lateral\w*|lat)\b"),
    "PA": re.compile(r"\b(pa|postero-?anterior)\b"),
    "AP": re.compile(r"\b(ap|antero-?posterior)\b"),
}
_DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")
_SPACING_MM = (0.01, 10.0)  # a value outside is a slip of units, not a detector


def view(ds: Dataset) -> str:
    """ "AP", "PA", "LATERAL", "OTHER", or "" where nothing in the data set says."""
    position = text(ds, "ViewPosition")
    return (
        _VIEW_POSITIONS.get(position.upper(), "")
        or _view_in_words(position)
        or _view_of_code(ds)
        or _view_of_orientation(ds)
        or next(filter(None, (_view_in_words(text(ds, name)) for name in _DESCRIPTIONS)), "")
    )


def _view_of_code(ds: Dataset) -> str:
    for item in items(ds, "ViewCodeSequence"):
        code = (text(item, "CodeValue"), text(item, "CodingSchemeDesignator"))
        known = _VIEW_CODES.get(code) or _view_in_words(text(item, "CodeMeaning"))
        if known:
            return known
    return ""


def _view_of_orientation(ds: Dataset) -> str:
    """A row that runs along the body's front-back axis makes a lateral film (PS3.3 C.7.6.1.1.1)."""
    rows = (texts(ds, "PatientOrientation") or [""])[0].upper()
    return "LATERAL" if rows[:1] in ("A", "P") else ""


def _view_in_words(words: str) -> str:
    """The one view that is named; "" for none, and for "PA and lateral", which names the order."""
    spelled = re.sub(r"[_/,;:()\[\]]", " ", words.lower().replace(".", ""))
    named = [name for name, pattern in _VIEW_WORDS.items() if pattern.search(spelled)]
    if "OTHER" in named:
        return "OTHER"
    return named[0] if len(named) == 1 else ""


def body_part(ds: Dataset) -> str:
    """Body part in capitals, from its own element or the anatomic region; "" if unsaid."""
    said = text(ds, "BodyPartExamined").upper()
    regions = items(ds, "AnatomicRegionSequence")
    return said or (text(regions[0], "CodeMeaning").upper() if regions else "")


def spacing_mm(ds: Dataset) -> tuple[float, float] | None:
    """(row, column) spacing at the patient where that is known, else at the detector.

    Pixel Spacing is calibrated; Imager Pixel Spacing is measured at the detector and divided by
    the estimated magnification; Nominal Scanned Pixel Spacing belongs to digitised film
    (PS3.3 10.7.1.3). Zero and absurd values count as absent.
    """
    calibrated = _pair(ds, "PixelSpacing")
    if calibrated is not None:
        return calibrated
    detector = _pair(ds, "ImagerPixelSpacing")
    if detector is not None:
        magnification = number(ds, "EstimatedRadiographicMagnificationFactor") or 1.0
        factor = magnification if 1.0 <= magnification <= 3.0 else 1.0
        return detector[0] / factor, detector[1] / factor
    return _pair(ds, "NominalScannedPixelSpacing")


def _pair(ds: Dataset, keyword: str) -> tuple[float, float] | None:
    values = numbers(ds, keyword)
    low, high = _SPACING_MM
    if len(values) != 2 or not all(low <= value <= high for value in values):
        return None
    return values[0], values[1]


def acquired_at(ds: Dataset) -> datetime | None:
    """When the film was taken: the first moment stated, from acquisition down to study."""
    for keyword in ("AcquisitionDateTime", "FrameAcquisitionDateTime"):
        moment = _date_time(text(ds, keyword))
        if moment is not None:
            return moment
    for level in ("Acquisition", "Content", "Series", "Study"):
        moment = _day_and_time(text(ds, f"{level}Date"), text(ds, f"{level}Time"))
        if moment is not None:
            return moment
    return None


def _date_time(value: str) -> datetime | None:
    try:
        return DT(value).replace(tzinfo=None) if value else None
    except (ValueError, OverflowError):
        return None


def _day_and_time(day: str, time: str) -> datetime | None:
    try:
        date = DA(day)
    except (ValueError, OverflowError):
        return None
    if date is None:
        return None
    try:
        clock = TM(time) if time else None
    except (ValueError, OverflowError):
        clock = None
    midnight = datetime(date.year, date.month, date.day)
    if clock is None:
        return midnight
    return midnight.replace(
        hour=clock.hour, minute=clock.minute, second=clock.second, microsecond=clock.microsecond
    )
