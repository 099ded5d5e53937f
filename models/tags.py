"""Elements of a data set as plain Python values, however a sender spelled them.

pydicom converts an element when it is first read, so that a bad value in one optional element
would otherwise fail a film that can be shown without it.
"""

from __future__ import annotations

import math

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence


def texts(ds: Dataset, keyword: str) -> list[str]:
    """Every value of an element as stripped text; empty when absent or not readable."""
    value = _value(ds, keyword)
    if value is None:
        return []
    parts = value if isinstance(value, MultiValue | list | tuple) else [value]
    return [str(part).strip(" \0") for part in parts]


def text(ds: Dataset, keyword: str) -> str:
    """First value of an element as text, "" when there is none."""
    return next(iter(texts(ds, keyword)), "")


def numbers(ds: Dataset, keyword: str) -> list[float]:
    """Every value of an element as a finite float; empty when one of them is not a number."""
    found = []
    for part in texts(ds, keyword):
        try:
            number = float(part)
        except ValueError:
            return []
        if not math.isfinite(number):
            return []
        found.append(number)
    return found


def number(ds: Dataset, keyword: str) -> float | None:
    """First value of an element as a finite float, None when there is none."""
    return next(iter(numbers(ds, keyword)), None)


def whole(ds: Dataset, keyword: str, default: int = 0) -> int:
    """First value of an element as an integer, `default` when there is none."""
    found = number(ds, keyword)
    return default if found is None else int(found)


def items(ds: Dataset, keyword: str) -> list[Dataset]:
    """Items of a sequence; empty when absent or not a sequence."""
    value = _value(ds, keyword)
    return list(value) if isinstance(value, Sequence) else []


def _value(ds: Dataset, keyword: str) -> object:
    try:
        return ds.get(keyword)
    except Exception:  # noqa: BLE001 - pydicom raises a dozen unrelated types on a bad value
        return None
