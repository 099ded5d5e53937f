"""Pictures, arrays and outlines of a stored result, as they are kept or converted."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
from fastapi import Response
from PIL import Image

from service.api import pictures
from service.errors import UsageError

Form = Literal["", "png", "npz", "json"]
TYPES: dict[Form, str] = {
    "png": "image/png",
    "npz": "application/x-npz",
    "json": "application/json",
    "": "application/octet-stream",
}


def form_of(data: bytes) -> Form:
    """What the bytes are, by their beginning."""
    if data.startswith(b"\x89PNG"):
        return "png"
    if data.startswith(b"PK"):
        return "npz"
    return "json" if data[:1] in (b"{", b"[") else ""


def answer(data: bytes, form: Form) -> Response:
    """Bytes of the object store as an answer in the form that was asked for.

    Raises
    ------
    UsageError : this artifact cannot be had in that form.
    """
    kept = form_of(data)
    if form in ("", kept):
        return Response(data, media_type=TYPES[kept])
    if (kept, form) == ("png", "npz"):
        pixels = np.asarray(Image.open(io.BytesIO(data)))
        return Response(pictures.npz(pixels=pixels), media_type=TYPES["npz"])
    raise UsageError(
        f"expected `format` {kept or 'left out'} for this artifact, found {form}; "
        "ask without `format` for the form in which it is kept"
    )
