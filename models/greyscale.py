"""The DICOM grey-scale chain: from stored values to brightness, white being dense.

Every step is a function of the stored value alone, so the chain is worked out once for each of
the at most 65,536 values and looked up for the pixels (PS3.3 C.7.6.3, C.11.1, C.11.2, C.8.11.3).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from models.pixel_data import Stored
from models.tags import items, number, numbers, text

_ROBUST = (0.005, 0.995)  # quantiles: a marker or a pacemaker does not set the window
_NARROW = 0.25  # values filling less than this of their range were meant to be stretched
_FLAT = 0.005  # and filling less than this there is nothing to stretch
_Table = NDArray[np.float64]


def present(stored: Stored, ds: Dataset) -> NDArray[np.float32]:
    """Brightness of each pixel as a workstation would show it, (H, W) in [0, 1], 1 white.

    Modality LUT or rescale, then VOI LUT or window, then polarity. Where the sender gives
    neither LUT nor window, a film for presentation spans its whole range (stretched when it
    fills only a corner of it) and a film for processing is shown by its logarithm. Padding is
    black. Overlays are not burned in.
    """
    values = stored.lowest + np.arange(1 << stored.bits, dtype=np.float64)
    padded = _padding(values, ds)
    counts = np.bincount((stored.values - stored.lowest).ravel(), minlength=values.size)
    counts = np.where(padded, 0, counts)
    if not counts.any():
        return np.zeros(stored.values.shape, np.float32)
    modality = _modality(values, ds)
    shown = _voi(modality, counts, ds, stored)
    if shown is None:
        shown = _shown_unasked(modality, counts, ds)
    elif _is_inverse(ds):
        shown = 1.0 - shown
    table = np.where(padded, 0.0, shown).astype(np.float32)
    return table[stored.values - stored.lowest]


def stretch(values: _Table, counts: NDArray[np.int64], low: float, high: float) -> _Table:
    """Map [low, high] to [0, 1], or the values present where they fill only a corner of it."""
    bottom, top = _quantiles(values, counts, _ROBUST)
    filled = (top - bottom) / (high - low) if high > low else 0.0
    if _FLAT < filled < _NARROW:
        low, high = bottom, top
    return np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0)


def _padding(values: _Table, ds: Dataset) -> NDArray[np.bool_]:
    """Which stored values are padding (PS3.3 C.7.5.1.1.2); a range when its limit is given."""
    value = number(ds, "PixelPaddingValue")
    if value is None:
        return np.zeros(values.shape, np.bool_)
    limit = number(ds, "PixelPaddingRangeLimit")
    ends = (_same_sign(value, values), _same_sign(value if limit is None else limit, values))
    return (values >= min(ends)) & (values <= max(ends))


def _same_sign(value: float, values: _Table) -> float:
    """Padding written as unsigned for signed pixels, or the other way round, is still padding."""
    span = values.size
    if value > values[-1] and values[0] < 0:
        return value - 65536 if value >= 32768 else value - span
    return value + 65536 if value < 0 <= values[0] else value


def _modality(values: _Table, ds: Dataset) -> _Table:
    sequence = items(ds, "ModalityLUTSequence")
    if sequence:
        table, first, _ = _lut(sequence[0], signed=values[0] < 0)
        return _look_up(values, table, first)
    slope, intercept = number(ds, "RescaleSlope"), number(ds, "RescaleIntercept")
    return values * (slope if slope else 1.0) + (intercept or 0.0)


def _voi(values: _Table, counts: NDArray[np.int64], ds: Dataset, stored: Stored) -> _Table | None:
    """The sender's own VOI LUT, else its first window, in [0, 1]; None where it gave neither."""
    sequence = items(ds, "VOILUTSequence")
    if sequence:
        table, first, white = _lut(sequence[0], signed=bool(values.min() < 0))
        return _look_up(np.rint(values), table, first) / white
    centres, widths = numbers(ds, "WindowCenter"), numbers(ds, "WindowWidth")
    if not centres or not widths or widths[0] <= 0:
        return None
    shown = window(values, centres[0], widths[0], text(ds, "VOILUTFunction"))
    there = shown[counts > 0]
    hides_all = there.max() - there.min() < 1e-6 and np.ptp(values[counts > 0]) > 0
    return None if hides_all else shown


def window(values: _Table, centre: float, width: float, function: str = "LINEAR") -> _Table:
    """Window values to [0, 1] by the VOI LUT Function (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    if function == "SIGMOID":
        steep = np.clip(-4.0 * (values - centre) / width, -700.0, 700.0)
        return np.asarray(1.0 / (1.0 + np.exp(steep)), np.float64)
    if function != "LINEAR_EXACT":
        centre, width = centre - 0.5, width - 1.0
    if width <= 0:
        return (values > centre).astype(np.float64)
    return np.clip((values - centre) / width + 0.5, 0.0, 1.0)


def _shown_unasked(values: _Table, counts: NDArray[np.int64], ds: Dataset) -> _Table:
    if text(ds, "PresentationIntentType") != "FOR PROCESSING":
        shown = stretch(values, counts, float(values.min()), float(values.max()))
        return 1.0 - shown if _is_inverse(ds) else shown
    sign = number(ds, "PixelIntensityRelationshipSign")
    inverse = sign > 0 if sign else _is_inverse(ds)
    rising = _intensity(values, ds, inverse)
    low, high = _quantiles(rising, counts, _ROBUST)
    shown = np.clip((rising - low) / max(high - low, 1e-12), 0.0, 1.0)
    return 1.0 - shown if inverse else shown


def _intensity(values: _Table, ds: Dataset, inverse: bool) -> _Table:
    """A value that falls with the logarithm of the dose, whatever the detector recorded.

    PS3.3 C.8.11.3.1.2: LIN is proportional to the beam (`inverse`: more beam, higher value) and
    is made logarithmic; LOG already is.
    """
    if text(ds, "PixelIntensityRelationship") != "LIN":
        return values
    beam = values - values.min() if inverse else values.max() - values
    logarithm: _Table = np.log(beam + 1.0)
    return logarithm if inverse else -logarithm


def _is_inverse(ds: Dataset) -> bool:
    """Low values white. MONOCHROME1 and the shape INVERSE state the same thing, once."""
    return (
        text(ds, "PhotometricInterpretation") == "MONOCHROME1"
        or text(ds, "PresentationLUTShape") == "INVERSE"
    )


def _lut(item: Dataset, signed: bool) -> tuple[_Table, int, float]:
    """Table, first value mapped, and the output that is white (PS3.3 C.11.1.1, C.11.2.1.1)."""
    length, first, bits = (_descriptor(item, position) for position in range(3))
    length = length or 65536
    first = first - 65536 if signed and first >= 32768 else first
    data = item["LUTData"].value
    if isinstance(data, bytes | bytearray):
        packed = bits <= 8 and len(data) in (length, length + 1)
        data = np.frombuffer(data, np.uint8 if packed else "<u2")
    table = np.asarray(data, np.int64).astype(np.float64) % 65536  # read as signed: undone
    table = table[:length]
    white = float((1 << bits) - 1)
    highest = float(table.max())
    # Some senders state 16 bits for a table of 10 or 12, or 8 for one of 12.
    if highest > white or highest < white / 4:
        white = float((1 << int(highest).bit_length()) - 1)
    return table, first, max(white, 1.0)


def _descriptor(item: Dataset, position: int) -> int:
    """One number of the LUT Descriptor; its second may have been read with the wrong sign."""
    descriptor = numbers(item, "LUTDescriptor")
    if len(descriptor) != 3:
        raise ValueError("expected three numbers in the LUT Descriptor")
    value = int(descriptor[position])
    return value if position == 1 else value % 65536


def _look_up(values: _Table, table: _Table, first: int) -> _Table:
    places: NDArray[np.int64] = np.clip(values - first, 0, table.size - 1).astype(np.int64)
    return np.take(table, places)


def _quantiles(
    values: _Table, counts: NDArray[np.int64], wanted: tuple[float, float]
) -> tuple[float, float]:
    """Quantiles of the pixels from a histogram over `values`, which need not be sorted."""
    order = np.argsort(values, kind="stable")
    share = np.cumsum(counts[order]) / counts.sum()
    low, high = np.searchsorted(share, wanted)
    return float(values[order][low]), float(values[order][min(high, values.size - 1)])
