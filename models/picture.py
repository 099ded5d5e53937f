"""Radiographs that arrive as PNG or JPEG: no header, so nothing but brightness is known."""

from __future__ import annotations

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from models.greyscale import stretch
from models.pixel_data import check_size
from models.refusal import Refusal

_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


def is_picture(data: bytes) -> bool:
    """Whether the content begins as a PNG or a JPEG does."""
    return data.startswith(_STARTS)


def decode(data: bytes) -> NDArray[np.float32]:
    """Brightness (H, W) in [0, 1], turned upright by EXIF; colour as luminance.

    Raises
    ------
    Refusal : `too_small`, `truncated` or `undecodable`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of bombs; `check_size` refuses them
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as picture:
                check_size(picture.height, picture.width)
                picture.load()
                return _brightness(ImageOps.exif_transpose(picture))
    except (SyntaxError, ValueError, OSError, Image.DecompressionBombError) as error:
        if "truncated" in str(error) or "broken data stream" in str(error):
            raise Refusal(
                "truncated", "expected a whole picture, found its end missing; send it again"
            ) from error
        raise Refusal(
            "undecodable", f"expected a PNG or JPEG, found data that Pillow refuses: {error}"
        ) from error


def _brightness(picture: Image.Image) -> NDArray[np.float32]:
    if picture.mode.startswith("I"):  # 16 bits of grey
        values, bits = np.asarray(picture).astype(np.int64), 16
    else:
        if "A" in picture.mode or "transparency" in picture.info:
            picture = Image.alpha_composite(
                Image.new("RGBA", picture.size, "black"), picture.convert("RGBA")
            )
        values, bits = np.asarray(picture.convert("L")).astype(np.int64), 8
    levels = np.arange(1 << bits, dtype=np.float64)
    values = np.clip(values, 0, levels.size - 1)
    counts = np.bincount(values.ravel(), minlength=levels.size)
    return stretch(levels, counts, 0.0, levels[-1]).astype(np.float32)[values]
