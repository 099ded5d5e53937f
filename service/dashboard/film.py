"""Films and overlays for the viewer, out of the artifacts that a result keeps."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.errors import InvalidObjectError

FULL_SCALE = 65535
LARGEST_PIXELS = 100_000_000
PREVIEW_SIDE = 1200
LIGHT = 1  # gzip level: a film of ten million pixels must not take seconds


@dataclass(frozen=True, slots=True)
class RawFilm:
    """A film as rows of little-endian uint16, gzipped: browsers read a PNG at 8 bits only."""

    width: int
    height: int
    gzipped: bytes


@dataclass(frozen=True, slots=True)
class FilmSize:
    """Size in pixels and what one pixel measures at the detector, (row, column) in mm."""

    width: int
    height: int
    spacing_mm: tuple[float, float] | None


def raw(png: bytes) -> RawFilm:
    """Full-depth pixels of a film; an 8-bit picture is stretched to the same scale.

    Raises
    ------
    InvalidObjectError : not a grey picture, or one beyond `LARGEST_PIXELS`.
    """
    pixels = _grey(png)
    packed = gzip.compress(pixels.astype("<u2").tobytes(), LIGHT, mtime=0)
    return RawFilm(pixels.shape[1], pixels.shape[0], packed)


class Films:
    """Films packed for the viewer; the newest few stay in memory (about 5 MB each).

    Keys of the object store are made once and never hold other bytes.
    """

    KEPT = 8

    def __init__(self, get: Callable[[str], bytes]) -> None:
        self.packed = lru_cache(self.KEPT)(lambda key: raw(get(key)))


def preview(png: bytes) -> bytes:
    """An 8-bit PNG of at most `PREVIEW_SIDE`, windowed: what is seen before any script runs."""
    pixels = _grey(png)
    step = max(1, -(-max(pixels.shape) // PREVIEW_SIDE))
    small = pixels[::step, ::step].astype(np.float32)
    seen = small[small > 0]
    low, high = np.percentile(seen, (1, 99)) if seen.size else (0.0, FULL_SCALE)
    grey = np.clip((small - low) / max(float(high - low), 1.0), 0, 1) * 255
    out = io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)).save(out, "PNG", compress_level=1)
    return out.getvalue()


def size(viewer: bytes | None, png: Callable[[], bytes]) -> FilmSize:
    """Size and spacing of a film from the viewer's note.

    Parameters
    ----------
    viewer : the note (JSON with `width`, `height`, `spacing_mm`), None where none was kept.
    png : gets the film itself, which is looked at only where the note does not tell.
    """
    note: dict[str, Any] = json.loads(viewer) if viewer else {}
    if "width" in note and "height" in note:
        width, height = int(note["width"]), int(note["height"])
    else:
        with _opened(png()) as picture:
            width, height = picture.size
    spacing = note.get("spacing_mm")
    if not (isinstance(spacing, list) and len(spacing) == 2 and min(spacing) > 0):
        return FilmSize(width, height, None)
    return FilmSize(width, height, (float(spacing[0]), float(spacing[1])))


def _opened(png: bytes) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(png))
    except OSError as error:
        raise InvalidObjectError(
            "expected a film as PNG among the artifacts, found something else; "
            "score the study again"
        ) from error
    if picture.width * picture.height > LARGEST_PIXELS:
        raise InvalidObjectError(
            f"expected a film of at most {LARGEST_PIXELS} pixels, "
            f"found {picture.width} x {picture.height}"
        )
    return picture


def _grey(png: bytes) -> NDArray[np.uint16]:
    """(H, W) uint16 of a grey PNG of 8 or 16 bits."""
    with _opened(png) as picture:
        eight = picture.mode in {"1", "L", "P", "RGB", "RGBA"}
        pixels = np.asarray(picture.convert("L") if eight else picture)
    if pixels.ndim != 2:
        raise InvalidObjectError(f"expected a grey picture, found {pixels.shape}")
    if eight:
        return pixels.astype(np.uint16) * np.uint16(257)
    full: NDArray[np.uint16] = np.clip(pixels, 0, FULL_SCALE).astype(np.uint16)
    return full
