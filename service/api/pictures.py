"""Arrays as pictures and parcels: PNG, npz, zip; nothing is written to the disk."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion, distance_transform_edt, label

if TYPE_CHECKING:  # the science is loaded by whoever computes
    from registration.change import ChangeMap

DENSER = np.array([230, 120, 20], np.float32)
CLEARED = np.array([40, 130, 220], np.float32)
OUTLINE = np.array([240, 220, 60], np.float32)
WHITE = np.array([255, 255, 255], np.float32)
FULL_CHANGE = 0.5  # beyond noise by half of the noise is painted in full colour


def grey_png(pixels: NDArray[np.floating[Any]]) -> bytes:
    """(H, W) in [0, 1] as an 8-bit grey PNG; 255 is 1."""
    return _png(Image.fromarray((np.clip(pixels, 0.0, 1.0) * 255).round().astype(np.uint8)))


def mask_png(mask: NDArray[np.bool_]) -> bytes:
    """(H, W) as a PNG with 0 and 255."""
    return _png(Image.fromarray(mask.astype(np.uint8) * 255))


def aligned_png(
    warped_prior: NDArray[np.float32], lungs: NDArray[np.bool_], refused: str = ""
) -> bytes:
    """The prior (H, W) on the current film's grid, the edges of the current film's lungs over it.

    Where the prior's lungs fill the outline, the films lie well on each other.

    Parameters
    ----------
    lungs : (H, W) of the current film.
    refused : why the alignment is not to be trusted; "" where it is.
    """
    shades = _rgb(warped_prior)
    thick = max(1, round(max(lungs.shape) / 500))
    edge = lungs & ~binary_erosion(lungs, iterations=thick)
    shades[edge] = OUTLINE
    said = [(OUTLINE, "outline: lungs of the current film, on the aligned prior")]
    return _png(_captioned(shades, [(WHITE, f"alignment refused: {refused}")] if refused else said))


def change_png(film: NDArray[np.float32], change: ChangeMap | None, refused: str = "") -> bytes:
    """The current film (H, W) with what became denser in orange and what cleared in blue.

    Patches carry a plus or a minus, and the words below say what they mean; without a change
    beyond noise, or with a refused alignment, they say so and the film stays grey.
    """
    shades = _rgb(film)
    if change is None:
        words = [(WHITE, f"alignment refused: {refused}"), (WHITE, "no change map is shown")]
        return _png(_captioned(shades, words))
    noise = (WHITE, f"beyond a noise of {change.threshold:.2f}")
    if change.is_empty:
        return _png(_captioned(shades, [(WHITE, f"no change {noise[1]}")]))
    found = change.map
    opacity = np.where(found != 0, 0.2 + 0.4 * np.clip(np.abs(found) / FULL_CHANGE, 0, 1), 0)
    colour = np.where(found[..., None] > 0, DENSER, CLEARED)
    shades = shades * (1 - opacity[..., None]) + colour * opacity[..., None]
    words = [
        (DENSER, "+  denser than on the prior"),
        (CLEARED, "-  clearer than on the prior"),
        noise,
    ]
    picture = _captioned(shades, words)
    pen, size = ImageDraw.Draw(picture), max(4, max(film.shape) // 90)
    for sign in (1, -1):
        for row, column in _middles(sign * found > 0):
            _mark(pen, row, column, size, sign)
    return _png(picture)


def _rgb(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) in [0, 1] to (H, W, 3) in 0-255."""
    return np.repeat((np.clip(pixels, 0.0, 1.0) * np.float32(255))[..., None], 3, axis=-1)


def _mark(pen: ImageDraw.ImageDraw, row: float, column: float, size: int, sign: int) -> None:
    """A white plus or minus with a dark rim."""
    for colour, extra in (("black", max(1, size // 4)), ("white", 0)):
        thick, far = max(2, size // 3) + 2 * extra, size + extra
        pen.line((column - far, row, column + far, row), fill=colour, width=thick)
        if sign > 0:
            pen.line((column, row - far, column, row + far), fill=colour, width=thick)


def _middles(where: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """A point inside each patch, the one farthest from its edge."""
    step = max(1, max(where.shape) // 256)
    patches, count = label(where[::step, ::step])
    found = []
    for number in range(1, count + 1):
        depth = distance_transform_edt(np.pad(patches == number, 1))[1:-1, 1:-1]
        row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
        found.append((float(row) * step, float(column) * step))
    return found


def _captioned(
    shades: NDArray[np.float32], lines: Sequence[tuple[NDArray[np.float32], str]]
) -> Image.Image:
    """The picture (H, W, 3) with lines of words over its lower edge, each behind its colour."""
    height, width = shades.shape[:2]
    size = max(11, width // 40)
    wrapped = [
        (colour if first else WHITE, part)
        for colour, text in lines
        for first, part in zip(
            (True, *(False for _ in text)),
            wrap(text, max(16, 3 * width // (2 * size))),
            strict=False,
        )
    ]
    step = round(1.5 * size)
    first_row = max(0, height - step * len(wrapped) - size // 2)
    shades = shades.copy()
    shades[first_row:] *= np.float32(0.25)  # words stay legible on white as on black
    page = Image.fromarray(np.clip(shades, 0, 255).round().astype(np.uint8))
    pen = ImageDraw.Draw(page)
    for number, (colour, text) in enumerate(wrapped):
        top = first_row + size // 4 + number * step
        left = size
        if colour is not WHITE:
            pen.rectangle((size, top + 1, 2 * size, top + size), fill=_ink(colour))
            left = 3 * size
        pen.text((left, top), text, fill="white", font_size=size)
    return page


def _ink(colour: NDArray[np.float32]) -> tuple[int, int, int]:
    red, green, blue = (int(one) for one in colour)
    return red, green, blue


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
