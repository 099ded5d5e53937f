"""Arrays as pictures and parcels: PNG, npz, zip; nothing is written to the disk."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DENSER = np.array([230, 120, 20], np.float32)
CLEARED = np.array([40, 130, 220], np.float32)
FULL_CHANGE = 0.35  # a difference of this much is painted in full colour


def grey_png(pixels: NDArray[np.floating[Any]]) -> bytes:
    """(H, W) in [0, 1] as an 8-bit grey PNG; 255 is 1."""
    return _png(Image.fromarray((np.clip(pixels, 0.0, 1.0) * 255).round().astype(np.uint8)))


def mask_png(mask: NDArray[np.bool_]) -> bytes:
    """(H, W) as a PNG with 0 and 255."""
    return _png(Image.fromarray(mask.astype(np.uint8) * 255))


def difference_png(difference: NDArray[np.float32], film: NDArray[np.float32]) -> bytes:
    """The film (H, W) with what became denser in orange and what cleared in blue."""
    strength = np.clip(np.abs(difference) / FULL_CHANGE, 0.0, 1.0)[..., None]
    colour = np.where(difference[..., None] > 0, DENSER, CLEARED)
    grey = np.repeat((np.clip(film, 0.0, 1.0) * 255)[..., None], 3, axis=-1)
    return _png(Image.fromarray((grey * (1 - strength) + colour * strength).astype(np.uint8)))


def npz(**arrays: NDArray[Any]) -> bytes:
    """Arrays by name, compressed, as `numpy.load` reads them without pickle."""
    out = io.BytesIO()
    np.savez_compressed(out, allow_pickle=False, **arrays)
    return out.getvalue()


def names(words: Sequence[str]) -> NDArray[Any]:
    """Names as an array of text."""
    return np.array(words)


def base64_text(data: bytes) -> str:
    """Bytes as base64 text."""
    return base64.b64encode(data).decode("ascii")


def json_bytes(body: Mapping[str, Any]) -> bytes:
    """A JSON document, indented for people."""
    return json.dumps(body, indent=2, ensure_ascii=False, allow_nan=False).encode()


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Files by name in one zip; pictures and npz are compressed already."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as parcel:
        for name, data in files.items():
            parcel.writestr(name, data)
    return out.getvalue()


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)  # films hardly shrink further, and time counts
    return out.getvalue()
