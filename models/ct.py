"""A labelled chest CT made ready for projection: cleaned, completed and named by structure."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy import ndimage

AIR_HU = -1000.0

PARTS: tuple[str, ...] = (
    "right_lung",
    "left_lung",
    "heart",
    "vessels",
    "aorta",
    "superior_vena_cava",
    "trachea",
    "right_hilum",
    "left_hilum",
    "right_clavicle",
    "left_clavicle",
    "right_scapula",
    "left_scapula",
    "right_ribs",
    "left_ribs",
    "thoracic_spine",
    "sternum",
    "stomach",
    "abdomen",
)
"""What a voxel can belong to; a voxel may belong to several, as one bit each."""

_SOURCES: dict[str, tuple[str, ...]] = {
    "right_lung": ("lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right"),
    "left_lung": ("lung_upper_lobe_left", "lung_lower_lobe_left"),
    "heart": ("heart", "atrial_appendage_left"),
    "vessels": ("pulmonary_vein",),
    "aorta": ("aorta",),
    "superior_vena_cava": ("superior_vena_cava",),
    "trachea": ("trachea",),
    "right_clavicle": ("clavicula_right",),
    "left_clavicle": ("clavicula_left",),
    "right_scapula": ("scapula_right",),
    "left_scapula": ("scapula_left",),
    "right_ribs": tuple(f"rib_right_{k}" for k in range(1, 13)),
    "left_ribs": tuple(f"rib_left_{k}" for k in range(1, 13)),
    "thoracic_spine": tuple(f"vertebrae_T{k}" for k in range(1, 13)),
    "sternum": ("sternum",),
    "stomach": ("stomach",),
    "abdomen": (
        "liver",
        "stomach",
        "spleen",
        "colon",
        "kidney_right",
        "kidney_left",
        "pancreas",
        "small_bowel",
        "duodenum",
    ),
}
"""TotalSegmentator names behind each part; the hila are built from vessels in `_hila`."""

_BONES = ("rib_", "vertebrae_", "scapula_", "clavicula_", "humerus_", "sternum", "costal_")


@dataclass(frozen=True, slots=True)
class Chest:
    """A CT of the chest with its parts.

    Parameters
    ----------
    hu : (Z, Y, X) Hounsfield units; Z towards the head, Y to the front, X to the patient's left.
    members : (Z, Y, X) uint32, bit k set where the voxel belongs to `PARTS[k]`.
    spacing_mm : distance between voxel centres along (Z, Y, X).
    centre : (z, y, x) voxel around which films are centred: the middle of the lungs.
    """

    hu: NDArray[np.float32]
    members: NDArray[np.uint32]
    spacing_mm: tuple[float, float, float]
    centre: tuple[float, float, float]


def read_chest(folder: Path, step: int = 2) -> Chest:
    """Read `cxr.nii.gz`, `mask.nii.gz` and `structures.csv`, clean them and fill what is missing.

    Parameters
    ----------
    step : keep every `step`-th voxel within a slice (0.7 mm each); 2 suffices for films of 256 px.

    Raises
    ------
    FileNotFoundError : one of the three files is not in `folder`.
    """
    for name in ("cxr.nii.gz", "mask.nii.gz", "structures.csv"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"expected {name} in {folder}, found none; give the CT folder")
    image = SimpleITK.ReadImage(str(folder / "cxr.nii.gz"))
    across, along, up = image.GetSpacing()
    hu = SimpleITK.GetArrayFromImage(image)[:, ::step, ::step].astype(np.float32)
    labels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(folder / "mask.nii.gz")))
    labels = np.ascontiguousarray(labels[:, ::step, ::step])
    spacing = (float(up), float(along * step), float(across * step))
    names = _names(folder / "structures.csv")
    members = _members(labels, names)
    _lengthen_trachea(hu, members)
    _hila(hu, members, spacing)
    _below_the_domes(members, spacing)
    hu = _clean(hu, labels, members, names, spacing)
    hu, members = _complete(hu, members, spacing)
    return Chest(hu, members, spacing, _middle(members))


def has(members: NDArray[np.uint32], *parts: str) -> NDArray[np.bool_]:
    """Where a voxel belongs to any of `parts`."""
    bits = np.uint32(sum(1 << PARTS.index(part) for part in parts))
    return np.asarray((members & bits) != 0)


def _names(table: Path) -> dict[str, int]:
    with table.open(newline="") as lines:
        return {row["structure"]: int(float(row["id"])) for row in csv.DictReader(lines)}


def _members(labels: NDArray[np.uint8], names: dict[str, int]) -> NDArray[np.uint32]:
    bits = np.zeros(256, np.uint32)
    for part, sources in _SOURCES.items():
        for source in sources:
            bits[names[source]] |= np.uint32(1 << PARTS.index(part))
    return bits[labels]


def _lengthen_trachea(hu: NDArray[np.float32], members: NDArray[np.uint32]) -> None:
    """Carry the trachea from its last labelled slice up to the top of the scan."""
    bit = np.uint32(1 << PARTS.index("trachea"))
    top = int(np.flatnonzero(has(members, "trachea").any(axis=(1, 2)))[-1]) - 2
    tube = has(members[top], "trachea")
    for z in range(top, len(members)):
        members[z][tube] |= bit
        hu[z][tube] = np.minimum(hu[z][tube], -850.0)


def _hila(
    hu: NDArray[np.float32], members: NDArray[np.uint32], spacing: tuple[float, float, float]
) -> None:
    """Build the hila and the central pulmonary vessels, which the label map lacks.

    A hilum is the largest lump of vessels and bronchial walls, smoothed over 6 mm, among the lung's
    inner 6 cm, from 2 cm above the carina to 3 cm below it.
    """
    trachea = np.argwhere(has(members, "trachea"))
    carina, front, middle = trachea[:, 0].min(), trachea[:, 1].mean(), trachea[:, 2].mean()
    rows = slice(max(0, int(carina - 34 / spacing[0])), int(carina + 18 / spacing[0]))
    beside = np.abs(np.arange(hu.shape[2]) - middle) * spacing[2]
    deep = (np.abs(np.arange(hu.shape[1]) - front) * spacing[1] < 48.0)[:, None]
    tubes = (hu[rows] > -350.0) & ~has(members[rows], "heart", "aorta", "thoracic_spine") & deep
    bone = ndimage.binary_dilation(has(members[rows], "thoracic_spine"), iterations=3)
    opaque = tubes & (hu[rows] > 130.0) & (members[rows] == 0) & (beside < 45.0) & ~bone
    members[rows][opaque] |= np.uint32(1 << PARTS.index("vessels"))
    for side in ("right", "left"):
        lung = has(members[rows], f"{side}_lung").astype(np.float32)
        near = ndimage.gaussian_filter(lung, [9.0 / s for s in spacing]) > 0.38
        dense = (tubes & near).astype(np.float32)
        dense = ndimage.gaussian_filter(dense, [6.0 / s for s in spacing])
        blob = (dense > 0.22) & near & deep & (beside > 12.0) & (beside < 62.0)
        pieces, count = ndimage.label(blob)
        if count:
            largest = 1 + int(np.argmax(ndimage.sum_labels(blob, pieces, range(1, count + 1))))
            members[rows][pieces == largest] |= np.uint32(1 << PARTS.index(f"{side}_hilum"))


def _below_the_domes(members: NDArray[np.uint32], spacing: tuple[float, float, float]) -> None:
    """Count as abdomen what lies under the lungs: fat there has no label of its own.

    The chest wall and the fat around the heart lie under some lung too, and stay chest.
    """
    lungs = has(members, "right_lung", "left_lung")
    under = np.maximum.accumulate(lungs[::-1], axis=0)[::-1] & ~np.maximum.accumulate(lungs, axis=0)
    under[:-1] &= under[1:]  # the diaphragm itself, one slice
    named = ("vessels", "right_hilum", "left_hilum", "aorta", "thoracic_spine", "trachea")
    wall = has(members, "right_ribs", "left_ribs", "sternum", "heart")
    near = ndimage.distance_transform_edt(~wall, sampling=spacing) < 16.0
    members[under & ~near & ~has(members, *named)] |= np.uint32(1 << PARTS.index("abdomen"))


def _clean(
    hu: NDArray[np.float32],
    labels: NDArray[np.uint8],
    members: NDArray[np.uint32],
    names: dict[str, int],
    spacing: tuple[float, float, float],
) -> NDArray[np.float32]:
    """Remove the table, the contrast agent, the metal and the nodule of the left lung."""
    tissue = ndimage.binary_opening(hu > -300.0, iterations=max(1, round(3.0 / spacing[2])))
    pieces, count = ndimage.label(tissue)
    sizes = ndimage.sum_labels(tissue, pieces, range(1, count + 1))
    trunk = pieces == 1 + int(np.argmax(sizes))
    trunk = ndimage.binary_dilation(trunk, iterations=round(6.0 / spacing[2]))
    trunk = np.stack([ndimage.binary_fill_holes(one) for one in trunk])
    cleaned = np.where(trunk, hu, AIR_HU).astype(np.float32)
    bony = np.isin(labels, [i for n, i in names.items() if n.startswith(_BONES)])
    bony = ndimage.binary_dilation(bony, iterations=2)
    cleaned = np.where(~bony & (cleaned > 70.0), 45.0, cleaned)
    cleaned = np.clip(cleaned, AIR_HU, 1300.0)
    return _without_nodule(cleaned.astype(np.float32), members, spacing)


def _without_nodule(
    hu: NDArray[np.float32], members: NDArray[np.uint32], spacing: tuple[float, float, float]
) -> NDArray[np.float32]:
    """Replace solid lumps over 2 cm3 deep in the lungs by lung tissue from below them."""
    lungs = has(members, "right_lung", "left_lung")
    core = ndimage.binary_closing(lungs, iterations=round(12.0 / spacing[2]))
    core = ndimage.binary_erosion(core, iterations=round(3.0 / spacing[2]))
    named = members & ~np.uint32(sum(1 << PARTS.index(f"{s}_lung") for s in ("right", "left")))
    lump = ndimage.binary_opening(core & (hu > -350.0) & (named == 0), iterations=2)
    pieces, count = ndimage.label(lump)
    volume = np.prod(spacing) * ndimage.sum_labels(lump, pieces, range(1, count + 1))
    solid = np.isin(pieces, 1 + np.flatnonzero(volume > 2000.0))
    solid = ndimage.binary_dilation(solid, iterations=3) & core & (named == 0)
    donor = np.roll(np.where(lungs, hu, -860.0), round(40.0 / spacing[0]), axis=0)
    return np.where(solid, np.minimum(donor, -780.0), hu).astype(np.float32)


def _complete(
    hu: NDArray[np.float32], members: NDArray[np.uint32], spacing: tuple[float, float, float]
) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Continue the body beyond the scanner's circle, above the top slice and below the lowest.

    Shoulders widen into the soft tissue that the circle cut off and slope to the neck above it.
    """
    above, beside, below = (
        round(70.0 / spacing[0]),
        round(60.0 / spacing[2]),
        round(70 / spacing[0]),
    )
    margin = ((below, above), (0, 0), (beside, beside))
    members = np.pad(members, ((below, 0), (0, 0), (beside, beside)))
    members = np.pad(members, ((0, above), (0, 0), (0, 0)), mode="edge")
    wide = np.pad(hu, margin, mode="edge")
    depth, height, width = hu.shape[1], *wide.shape[::2]
    rows, columns = np.mgrid[:depth, :width].astype(np.float32)
    across = columns - (width - 1) / 2
    radius = np.hypot(rows - (depth - 1) / 2, across)
    outside = radius >= (depth - 1) / 2 - 4
    nearest = ndimage.distance_transform_edt(outside, return_distances=False, return_indices=True)
    away = np.maximum(0.0, radius - (depth - 1) / 2) * spacing[2]
    for z in range(height):
        level = wide[z]
        spread = np.minimum(level[nearest[0], nearest[1]], 40.0)
        reach = np.clip((z - below) * spacing[0] / 5.0 - 20.0, 6.0, 55.0)
        level = np.where(outside, np.where(away < reach, spread, AIR_HU), level)
        rise = (z - below - hu.shape[0] + 1) * spacing[0]
        if rise > 0:
            slope = np.abs(across) * spacing[2] > np.maximum(62.0, 205.0 - 2.6 * rise)
            level = np.where(slope, AIR_HU, np.minimum(level, 350.0))
        wide[z] = level
    members[below + hu.shape[0] :] &= np.uint32(1 << PARTS.index("trachea"))
    return wide, members


def _middle(members: NDArray[np.uint32]) -> tuple[float, float, float]:
    lungs = has(members, "right_lung", "left_lung")
    spans = [np.flatnonzero(lungs.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    return tuple(float(s[0] + s[-1]) / 2 for s in spans)  # type: ignore[return-value]  # three spans
