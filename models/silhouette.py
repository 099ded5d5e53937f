"""From path lengths through the parts of a patient to the twenty outlines a radiologist draws."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.ct import PARTS
from models.structures.anatomy import STRUCTURES

_LEAST_MM: dict[str, float] = {
    "right_lung": 14.0,
    "left_lung": 14.0,
    "heart": 10.0,
    "aorta": 5.0,
    "superior_vena_cava": 5.0,
    "trachea": 4.0,
    "right_hilum": 6.0,
    "left_hilum": 6.0,
    "right_clavicle": 2.0,
    "left_clavicle": 2.0,
    "right_scapula": 2.0,
    "left_scapula": 2.0,
    "right_ribs": 2.0,
    "left_ribs": 2.0,
    "thoracic_spine": 6.0,
    "sternum": 3.0,
    "stomach": 12.0,
    "vessels": 5.0,
    "abdomen": 20.0,
}
"""Path length from which a part counts as seen, compared with radiologists' outlines."""

DIAPHRAGM_MM = 10.0
"""Height of the band that stands for a hemidiaphragm."""

BELOW_DOME_MM = 10.0
"""The lowest part of the heart, seen through the dome: radiologists end their outline above it."""


def silhouettes(paths_mm: NDArray[np.float32], spacing_mm: float) -> NDArray[np.bool_]:
    """Path lengths (P, H, W), order of `PARTS`, to masks (20, H, W), order of `STRUCTURES`."""
    sigma = 1.0 / spacing_mm
    smooth = {
        part: ndimage.gaussian_filter(path, sigma)
        for part, path in zip(PARTS, paths_mm, strict=True)
    }
    column = ndimage.gaussian_filter(smooth["thoracic_spine"], (20.0 / spacing_mm, sigma))
    seen = {part: smooth[part] > _LEAST_MM[part] for part in PARTS}
    for side in ("right", "left"):  # the recess behind the dome is not outlined on films
        lung = smooth[f"{side}_lung"]
        behind_spine = (column > 20.0) & (lung < 55.0)
        seen[f"{side}_lung"] &= ~seen["abdomen"] & ~behind_spine
    for part in ("right_lung", "left_lung", "heart"):
        seen[part] = _tidy(seen[part], 5.0 / spacing_mm)
    seen["mediastinum"] = mediastinum(seen, spacing_mm)
    for side in ("right", "left"):
        seen[f"{side}_hemidiaphragm"] = hemidiaphragm(seen[f"{side}_lung"], spacing_mm)
    return np.stack([seen[name] for name in STRUCTURES])


def _tidy(mask: NDArray[np.bool_], radius_px: float) -> NDArray[np.bool_]:
    """Close gaps up to twice `radius_px`, fill holes, keep the largest piece."""
    margin = int(np.ceil(radius_px)) + 1
    padded = np.pad(mask, margin, mode="edge")
    near = ndimage.distance_transform_edt(~padded) <= radius_px
    closed = ndimage.distance_transform_edt(near) > radius_px
    filled = ndimage.binary_fill_holes(closed[margin:-margin, margin:-margin] | mask)
    pieces, count = ndimage.label(filled)
    if count < 2:
        return np.asarray(filled)
    return np.asarray(pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]))


def mediastinum(seen: dict[str, NDArray[np.bool_]], spacing_mm: float) -> NDArray[np.bool_]:
    """Heart and great vessels, from the top of the aortic arch to the bottom of the heart.

    This is what the radiologists who drew the masks call cardiomediastinum: one closed shape,
    filled from edge to edge in every row. It leaves out the hilar vessels, and ends
    `BELOW_DOME_MM` above the heart's lowest point.
    """
    heart = seen["heart"]
    rows = np.flatnonzero(heart.any(axis=1))
    if not rows.size:
        return np.zeros_like(heart)
    union = heart | seen["aorta"] | seen["superior_vena_cava"]
    top = np.flatnonzero(seen["aorta"].any(axis=1))
    union[rows[-1] + 1 - round(BELOW_DOME_MM / spacing_mm) :] = False
    union[: (top[0] if top.size else rows[0])] = False
    whole = _tidy(union, 8.0 / spacing_mm)
    first = np.maximum.accumulate(whole, axis=1)
    last = np.maximum.accumulate(whole[:, ::-1], axis=1)[:, ::-1]
    return first & last


def hemidiaphragm(lung: NDArray[np.bool_], spacing_mm: float) -> NDArray[np.bool_]:
    """A band along the lower border of a lung, `DIAPHRAGM_MM` high."""
    rows = np.flatnonzero(lung.any(axis=1))
    half = max(1, round(DIAPHRAGM_MM / 2 / spacing_mm))
    band = np.zeros_like(lung)
    if not rows.size:
        return band
    band[half:-half] = lung[: -2 * half] & ~lung[2 * half :]
    band[: rows[0] + int(0.55 * (rows[-1] - rows[0]))] = False
    return band
