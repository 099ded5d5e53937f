"""What a result takes over from the film that it speaks of, and the identifiers that it gets."""

from __future__ import annotations

import re
import uuid
from datetime import datetime

from pydicom.dataset import Dataset
from pydicom.uid import UID

from models.tags import text, texts, whole

_NAMESPACE = uuid.UUID("90afb389-7ee7-54a3-9af5-9b09fbda5bcb")
_TEXTS = (  # keyword, longest value (PS3.5 6.2)
    ("PatientID", 64),
    ("AccessionNumber", 16),
    ("StudyID", 16),
    ("StudyDescription", 64),
)
_NAMES = ("PatientName", "ReferringPhysicianName")
_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_MODALITY = re.compile(r"[A-Z0-9 _]{1,16}")
_ORIENTATION = re.compile(r"[APRLHF]{1,3}")
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d)?)?")


KEYWORDS = (
    *(keyword for keyword, _ in _TEXTS),
    *_NAMES,
    *_UIDS,
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "Modality",
    "Rows",
    "Columns",
    "InstanceNumber",
    "PatientOrientation",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "EstimatedRadiographicMagnificationFactor",
    "NominalScannedPixelSpacing",
)
"""What of a film's header its results are made from."""


def derived_uid(*parts: str) -> UID:
    """A UID that follows from its parts (PS3.5 B.2): sent twice, a result is one object."""
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, '/'.join(parts)).int}")


def reference(source: Dataset) -> Dataset:
    """The part of a film that its results refer to and repeat, complete and conformant.

    A result must go out however odd the film's own header is: what is absent becomes empty, and a
    value that the standard does not allow is left out rather than repeated.

    Parameters
    ----------
    source : header of a CR, DX or SC; the pixel data is not needed.
    """
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"  # UTF-8: holds every name
    for keyword in _UIDS:
        setattr(ds, keyword, UID(text(source, keyword)))  # as sent: it must refer to the film
    for keyword, longest in _TEXTS:
        setattr(ds, keyword, _clean(text(source, keyword))[:longest])
    for keyword in _NAMES:
        setattr(ds, keyword, "")  # highdicom quotes names in warnings: see `names`
    ds.PatientBirthDate = _date(text(source, "PatientBirthDate"))
    sex = text(source, "PatientSex").upper()
    ds.PatientSex = sex if sex in ("M", "F", "O") else ""
    ds.StudyDate = _date(text(source, "StudyDate"))
    ds.StudyTime = _time(text(source, "StudyTime"))
    modality = text(source, "Modality").upper()
    ds.Modality = modality if _MODALITY.fullmatch(modality) else "OT"
    ds.Rows, ds.Columns = whole(source, "Rows"), whole(source, "Columns")
    ds.InstanceNumber = max(whole(source, "InstanceNumber", 1), 1)
    orientation = [part.upper() for part in texts(source, "PatientOrientation")]
    if len(orientation) == 2 and all(_ORIENTATION.fullmatch(part) for part in orientation):
        ds.PatientOrientation = orientation
    return ds


def names(source: Dataset) -> dict[str, str]:
    """Names of people in a film, to be put into its results last."""
    return {keyword: _clean(text(source, keyword))[:64] for keyword in _NAMES}


def _clean(value: str) -> str:
    """Text of one value without control characters."""
    return "".join(x if x.isprintable() and x != "\\" else " " for x in value).strip()


def _date(value: str) -> str:
    digits = value.replace(".", "").replace("-", "")
    try:
        datetime.strptime(digits, "%Y%m%d")
    except ValueError:
        return ""
    return digits


def _time(value: str) -> str:
    clock = value.replace(":", "").partition(".")[0]
    return clock if _TIME.fullmatch(clock) else ""
