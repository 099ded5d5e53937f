"""DICOM JSON (PS3.18 F) from our own values and from the headers of stored objects."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset

from service.errors import InvalidObjectError

MEDIA_TYPE = "application/dicom+json"
_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_PIXEL_DATA = 0x7FE00010
_MAX_INLINE_BYTES = 4096  # larger binary values are left out: they are bulk data

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


def of_header(ds: Dataset) -> Json:
    """A data set as stored, without pixel data and large binary values.

    An element that cannot be converted is left out: it must not hide the rest of the film.

    Raises
    ------
    InvalidObjectError : the data set cannot be described, such as one nested without end.
    """
    kept = Dataset()
    for tag in list(ds.keys()):
        raw = ds.get_item(tag, keep_deferred=True)
        value = getattr(raw, "value", None)
        if tag == _PIXEL_DATA or (
            isinstance(value, bytes) and raw.VR in _BINARY and len(value) > _MAX_INLINE_BYTES
        ):
            continue
        kept[tag] = raw
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values of the patient
            found: Json = kept.to_json_dict(suppress_invalid_tags=True)
            json.dumps(found, allow_nan=False)
    except Exception as error:
        # The edge to a converter and hostile bytes: whatever it raises, there is no description.
        raise InvalidObjectError(
            f"expected a header that can be described, found {type(error).__name__} in it"
        ) from error
    return found


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
    groups = ("Alphabetic", "Ideographic", "Phonetic")
    return {group: part for group, part in zip(groups, name.split("="), strict=False) if part}
