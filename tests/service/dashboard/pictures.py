"""The pictures of a drawn film, kept as a result keeps them."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models import phantom
from models.opacity import thirds
from models.severity.zones import ZONES
from models.structures.anatomy import STRUCTURES
from service.store.objects import FileObjects


def png(pixels: NDArray[np.generic]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def outline(mask: NDArray[np.bool_]) -> list[list[tuple[float, float]]]:
    """Left edge down, right edge up: enough for a shape without holes."""
    rows = np.flatnonzero(mask.any(1))[::3]
    if rows.size < 2:
        return []
    left = [(float(r), float(np.argmax(mask[r]))) for r in rows]
    right = [(float(r), float(mask.shape[1] - 1 - np.argmax(mask[r][::-1]))) for r in rows]
    return [left + right[::-1]]


@dataclass(frozen=True)
class Pictures:
    """Artifacts of a film, drawn once and shared by all patients of the ward."""

    current: dict[str, str]
    prior: dict[str, str]
    visible: tuple[bool, ...]


def pictures(objects: FileObjects, size: int) -> Pictures:
    now, then = phantom.draw(5, extent=4.5, size=size), phantom.draw(5, extent=1.0, size=size)

    def film(one: phantom.Phantom) -> dict[str, str]:
        deep = np.round(one.pixels * 65535).astype(np.uint16)
        height, width = one.pixels.shape
        note = {"width": width, "height": height, "spacing_mm": list(one.spacing_mm)}
        return {
            "film": objects.put(png(deep), ".png"),
            "viewer": objects.put(json.dumps(note).encode(), ".json"),
        }

    visible = tuple(
        bool(mask.any()) and name != "stomach"
        for name, mask in zip(STRUCTURES, now.masks, strict=True)
    )
    contours = {
        n: outline(m) for n, m, seen in zip(STRUCTURES, now.masks, visible, strict=True) if seen
    }
    thirds_of_lungs = np.concatenate([thirds(lung) for lung in now.masks[:2]])
    zones = {name: outline(mask) for name, mask in zip(ZONES, thirds_of_lungs, strict=True)}
    heat = np.round(255 * np.clip(now.opacity, 0, 1)).astype(np.uint8)[::2, ::2]
    lungs = now.masks[0] | now.masks[1]
    signed = np.clip(now.pixels - then.pixels, -1, 1) * lungs
    prior = film(then)
    arrays = io.BytesIO()
    certain = np.where(now.masks, 230, 20).astype(np.uint8)
    np.savez_compressed(arrays, probabilities=certain, size=np.array(size))
    return Pictures(
        {
            **film(now),
            "heat": objects.put(png(heat), ".png"),
            "structures": objects.put(arrays.getvalue(), ".npz"),
            "contours": objects.put(json.dumps(contours).encode(), ".json"),
            "zones": objects.put(json.dumps(zones).encode(), ".json"),
            "aligned_prior": prior["film"],
            "difference": objects.put(png((128 + 127 * signed).astype(np.uint8)), ".png"),
        },
        prior,
        visible,
    )
