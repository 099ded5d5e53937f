"""DICOM JSON (PS3.18 F) from our own values and from the headers of stored objects."""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset

import service.dicom.character_sets  # noqa: F401  # how pydicom reads text from now on

MEDIA_TYPE = "application/dicom+json"
PIXEL_DATA = MappingProxyType({0x7FE00008: "OF", 0x7FE00009: "OD", 0x7FE00010: "OW"})
"""The elements that hold an image, each with the VR that it has where none is told."""

_MAX_INLINE_BYTES = 4096  # of base64; larger binary values are bulk data (PS3.18 F.2.6)
_UNADDRESSED = "?"
_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")

Json = dict[str, dict[str, Any]]


def tag_of(name: str) -> str | None:
    """Eight hexadecimal digits of a keyword or of a tag; None for what is neither."""
    number = tag_for_keyword(name)
    if number is None:
        try:
            number = int(name, 16) if len(name) == 8 else None
        except ValueError:
            number = None
    return f"{number:08X}" if number is not None else None


def keyword_of(name: str) -> str:
    """Keyword of a keyword or a tag; "" for what the dictionary does not know."""
    tag = tag_of(name)
    return keyword_for_tag(int(tag, 16)) if tag else ""


def of_values(values: Mapping[str, object]) -> Json:
    """A data set from values by keyword; None and "" become empty elements."""
    return dict(sorted(_element(keyword, value) for keyword, value in values.items()))


def of_header(ds: Dataset, only: Collection[int] = ()) -> Json:
    """A data set as stored; of pixel data and large binary values the place alone.

    An element that cannot be converted is left out: it must not hide the rest of the film.

    Parameters
    ----------
    only : tags to convert; empty for all.
    """
    found: Json = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote values of the patient
        for tag in [int(tag) for tag in ds.keys()]:  # noqa: SIM118 - a Dataset iterates over values
            described = _described(ds, tag) if not only or tag in only else None
            if described is not None:
                found[f"{tag:08X}"] = described
    return addressed(found, "")


def data_set(found: Json) -> Dataset:
    """The data set that DICOM JSON tells of; an element whose value cannot be is left out."""
    ds = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote values of the patient
        for tag, element in found.items():
            try:
                ds.update(Dataset.from_json({tag: element}))
            except Exception:  # noqa: BLE001, S112
                # The edge to a converter and hostile values: the rest of the film is still told.
                continue
    return ds


def addressed(found: Json, base: str) -> Json:
    """The data set with the address of each bulk value: `base`, then the way to its element.

    The way is made of the tag, and of sequence and item (counted from 0) before it.
    """
    for tag, element in found.items():
        if "BulkDataURI" in element:
            element["BulkDataURI"] = f"{base}{tag}"
        elif element.get("vr") == "SQ":
            for number, item in enumerate(element.get("Value", ())):
                addressed(item, f"{base}{tag}/{number}/")
    return found


def bulk_value(vr: str) -> dict[str, str]:
    """An element whose value is somewhere else."""
    return {"vr": vr, "BulkDataURI": _UNADDRESSED}


def text(found: Json, keyword: str) -> str:
    """First value of an element as stripped text, "" when there is none."""
    element = found.get(tag_of(keyword) or "", {})
    value = next(iter(element.get("Value", ())), None)
    if isinstance(value, dict):
        value = "=".join(str(value.get(group, "")) for group in _NAME_GROUPS).rstrip("=")
    return "" if value is None else str(value).strip(" \0")


def _described(ds: Dataset, tag: int) -> dict[str, Any] | None:
    try:
        if tag in PIXEL_DATA:
            vr = str(getattr(ds.get_item(tag), "VR", None) or PIXEL_DATA[tag])
            return bulk_value(vr if len(vr) == 2 else PIXEL_DATA[tag])
        described: dict[str, Any] = ds[tag].to_json_dict(
            lambda _element: _UNADDRESSED, _MAX_INLINE_BYTES
        )
        json.dumps(described, allow_nan=False)
    except Exception:  # noqa: BLE001
        # The edge to a converter and hostile bytes: whatever it raises, this one is not described.
        return None
    return described


def _element(keyword: str, value: object) -> tuple[str, dict[str, Any]]:
    number = tag_for_keyword(keyword)
    if number is None:
        raise KeyError(keyword)
    vr = dictionary_VR(number)
    listed = list(value) if isinstance(value, list | tuple) else [value]
    listed = [entry for entry in listed if entry not in (None, "")]
    if vr == "PN":
        listed = [_person_name(str(entry)) for entry in listed]
    described: dict[str, Any] = {"vr": vr}
    if listed:
        described["Value"] = listed
    return f"{number:08X}", described


def _person_name(name: str) -> dict[str, str]:
    """Alphabetic, ideographic and phonetic groups (PS3.5 6.2.1.1)."""
    return {group: part for group, part in zip(_NAME_GROUPS, name.split("="), strict=False) if part}
