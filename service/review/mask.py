"""Masks of structures as a page sends them, as they are kept, and the model's field below them.

All lie on one grid over the whole film: the film of the viewer, its longer side at most
`OVERLAY_LONGEST` pixels.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.frame import fit, from_frame, resize
from models.structures.anatomy import STRUCTURES
from service.errors import NotFoundError, UsageError
from service.jobs.artifacts import OVERLAY_LONGEST, within
from service.records import StudyResult
from service.store.objects import ObjectStore

INSIDE = 128  # of 255: the field's value from which a pixel is inside, as in "structures"
Shape = tuple[int, int]


def can_draw(result: StudyResult) -> bool:
    """Tell whether the model's structures can be redrawn: they were found and are kept."""
    return result.status == "ok" and {"viewer", "structures"} <= set(result.artifacts)


def grid(objects: ObjectStore, result: StudyResult) -> Shape:
    """(H, W) of the masks of a film.

    Raises
    ------
    NotFoundError : no structures are kept with this result.
    """
    if not can_draw(result):
        raise NotFoundError("expected a result with structures to redraw, found none")
    note = json.loads(objects.get(result.artifacts["viewer"]))
    return within((int(note["height"]), int(note["width"])), OVERLAY_LONGEST)


def field(objects: ObjectStore, result: StudyResult, name: str) -> NDArray[np.uint8]:
    """The model's probability of one structure, (H, W) on the grid, 0-255, inside from `INSIDE`.

    Raises
    ------
    NotFoundError : no such structure, or none are kept with this result.
    """
    if name not in STRUCTURES:
        raise NotFoundError(f"expected one of the structures {', '.join(STRUCTURES)}, found none")
    shape = grid(objects, result)
    with np.load(io.BytesIO(objects.get(result.artifacts["structures"]))) as arrays:
        one = arrays["probabilities"][STRUCTURES.index(name)]
        size = int(arrays["size"])
    seen = from_frame(one[None].astype(np.float32), fit(shape, size))[0]
    return np.asarray(np.clip(np.rint(seen), 0, 255), np.uint8)


def unpacked(runs: Sequence[int], shape: Shape, wanted: Shape) -> NDArray[np.bool_]:
    """A mask from its run lengths, row by row, beginning with those outside.

    Raises
    ------
    UsageError : `shape` is not the grid of the film, or the runs do not fill it.
    """
    if shape != wanted:
        raise UsageError(
            f"expected a mask of {wanted[0]} x {wanted[1]} (rows x columns), "
            f"found {shape[0]} x {shape[1]}; load the page again"
        )
    if sum(runs) != shape[0] * shape[1]:
        raise UsageError(
            f"expected runs that add up to {shape[0] * shape[1]} pixels, found {sum(runs)}"
        )
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, np.asarray(runs, np.int64)).reshape(shape)


def packed(mask: NDArray[np.bool_]) -> list[int]:
    """Run lengths of a mask, row by row, beginning with those outside."""
    flat = mask.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *runs] if flat[0] else runs


def png(pixels: NDArray[np.uint8]) -> bytes:
    """(H, W) as 8-bit grey PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def mask_png(mask: NDArray[np.bool_]) -> bytes:
    """A mask as PNG: 0 outside, 255 inside."""
    return png(np.where(mask, 255, 0).astype(np.uint8))


def enlarged(data: bytes, shape: Shape) -> NDArray[np.bool_]:
    """A kept mask on another grid over the same film, its edge halfway between the pixels."""
    with Image.open(io.BytesIO(data)) as picture:
        pixels = np.asarray(picture.convert("L"), np.float32)
    return resize(pixels, shape) >= INSIDE


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Overlap of two masks, 0-1; two empty ones agree."""
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0
