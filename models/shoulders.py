"""Clavicles and scapulae of a patient whose arms hang, drawn where the scan has none.

The scanned patient had the arms up and the scanner's circle cut the shoulders off, so that a
projection of the scan shows neither as films do. They are drawn in the film's plane, placed by the
lungs, with thin bright cortex as bone has it; the humerus lies beside them without a label.

Coordinates are millimetres from the middle outwards (u) and from the lung's apex downwards (v).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.film import Points, curve, polygon

CORTEX_MM = 1.8
"""Thickness of the bright rim of a bone."""
FLESH_MM = 20.0
"""Muscle and skin around scapula and humerus."""
FLESH_ATTENUATION = 1.6


@dataclass(frozen=True, slots=True)
class Shoulder:
    """One shoulder as it lies on the film.

    Parameters
    ----------
    clavicle_mm : (medial u, medial v, lateral u, lateral v); lungs half as wide as `HALF_WIDTH_MM`.
    bow_mm : how far the clavicle's middle rises over its chord.
    girth_mm : thickness of the clavicle's shaft.
    blade_mm : outward shift of the scapula's medial border; smaller covers more of the lung.
    drop_mm : how far the glenoid hangs below the lung's apex.
    length_mm : of the scapula from its upper to its lower angle.
    turn_deg : of the scapula, lower angle outwards.
    density : attenuation of 1 mm of cortex.
    """

    clavicle_mm: tuple[float, float, float, float]
    bow_mm: float
    girth_mm: float
    blade_mm: float
    drop_mm: float
    length_mm: float
    turn_deg: float
    density: float


HALF_WIDTH_MM = 132.0
"""From the middle to the outer border of a lung that the measures below are made for."""


def random_shoulders(rng: np.random.Generator, *, anterior: bool) -> tuple[Shoulder, Shoulder]:
    """Draw a right and a left shoulder, alike but not equal.

    Parameters
    ----------
    anterior : the tube is in front (AP): shoulders are not rolled forward, blades cover the lungs.
    """
    medial_v, rise = rng.uniform(2.0, 48.0), rng.uniform(-8.0, 58.0)
    reach, girth = rng.uniform(132.0, 168.0), rng.uniform(10.0, 15.0)
    blade = rng.uniform(58.0, 100.0) if anterior else rng.uniform(74.0, 124.0)
    drop, length = rng.uniform(15.0, 58.0), rng.uniform(132.0, 172.0)
    turn, density = rng.normal(8.0, 8.0), rng.uniform(0.05, 0.17)

    def one() -> Shoulder:
        sway = rng.normal(0.0, 1.0, 6)
        v = medial_v + 4.0 * sway[0]
        return Shoulder(
            clavicle_mm=(
                rng.uniform(12.0, 26.0),
                v,
                reach + 5.0 * sway[1],
                v - rise + 6.0 * sway[2],
            ),
            bow_mm=rng.uniform(-4.0, 16.0),
            girth_mm=girth,
            blade_mm=blade + 6.0 * sway[3],
            drop_mm=drop + 6.0 * sway[4],
            length_mm=length,
            turn_deg=turn + 4.0 * sway[5],
            density=density,
        )

    return one(), one()


def draw_shoulders(
    lungs: NDArray[np.bool_], shoulders: tuple[Shoulder, Shoulder], spacing_mm: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]] | None:
    """Both shoulders beside the `lungs` of a film.

    Parameters
    ----------
    lungs : (2, H, W), right lung then left lung.
    shoulders : right and left.
    spacing_mm : side of a pixel in the patient's middle plane.

    Returns
    -------
    Attenuation of bone to add (H, W), least attenuation of the flesh around it (H, W), and masks
    (4, H, W): right and left clavicle, right and left scapula. None where the film does not show
    both lungs.
    """
    if not lungs.any((1, 2)).all():
        return None
    tops = [int(np.flatnonzero(lung.any(1))[0]) for lung in lungs]
    columns = [np.flatnonzero(lung.any(0)) for lung in lungs]
    outer, inner = (columns[0][0], columns[1][-1]), (columns[0][-1], columns[1][0])
    middle = (inner[0] + inner[1]) / 2
    shape = (lungs.shape[1], lungs.shape[2])
    attenuation = np.zeros(shape, np.float32)
    flesh = np.zeros(shape, bool)
    masks = np.zeros((4, *shape), bool)
    for k, (sign, shoulder) in enumerate(zip((-1.0, 1.0), shoulders, strict=True)):
        half_mm = abs(outer[k] - middle) * spacing_mm
        scale = float(np.clip(half_mm / HALF_WIDTH_MM, 0.6, 1.4))
        place = _Place(middle, tops[k], sign * scale / spacing_mm, scale / spacing_mm)
        masks[k] = polygon(place(_clavicle(shoulder)), shape)
        blade, ridge, arm = (polygon(place(p), shape) for p in _scapula(shoulder))
        masks[2 + k] = blade | ridge
        flesh |= masks[2 + k] | arm
        pitch = spacing_mm / scale
        attenuation += shoulder.density * _bone_mm(masks[k], 7.0, pitch)
        attenuation += shoulder.density * _bone_mm(blade, 1.6, pitch)
        attenuation += shoulder.density * _bone_mm(ridge, 4.0, pitch)
        attenuation += shoulder.density * _bone_mm(arm, 12.0, pitch)
    near = ndimage.distance_transform_edt(~flesh) * spacing_mm < FLESH_MM
    padding = FLESH_ATTENUATION * ndimage.gaussian_filter(near.astype(np.float32), 5.0 / spacing_mm)
    return ndimage.gaussian_filter(attenuation, 0.5 / spacing_mm), padding, masks


@dataclass(frozen=True, slots=True)
class _Place:
    """From (u, v) in mm to (x, y) in pixels."""

    middle: float
    top: float
    across: float
    down: float

    def __call__(self, points: Points) -> Points:
        return [(self.middle + u * self.across, self.top + v * self.down) for u, v in points]


def _clavicle(shoulder: Shoulder) -> Points:
    """Outline of the S-shaped bone: thick at its medial end, flat at its lateral one."""
    u0, v0, u1, v1 = shoulder.clavicle_mm
    along = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    bow = shoulder.bow_mm * np.array([0.0, 0.75, 0.8, 0.1, -0.2])
    spine = np.column_stack([u0 + along * (u1 - u0), v0 + along * (v1 - v0) - bow])
    half = shoulder.girth_mm / 2 * np.array([1.75, 1.15, 0.95, 1.05, 1.35])
    ahead = np.gradient(spine, axis=0)
    normal = np.column_stack([-ahead[:, 1], ahead[:, 0]])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    edges = np.concatenate([spine + half[:, None] * normal, (spine - half[:, None] * normal)[::-1]])
    return curve([(float(u), float(v)) for u, v in edges], closed=True)


def _scapula(shoulder: Shoulder) -> tuple[Points, Points, Points]:
    """Outlines: the blade with glenoid and coracoid, the spine with acromion, the humerus."""
    length, reach = shoulder.length_mm, 66.0
    blade = [
        (0.0, -0.16 * length),  # upper angle
        (-0.05 * reach, 0.10 * length),
        (0.10 * reach, 0.50 * length),
        (0.36 * reach, 0.84 * length),  # lower angle
        (0.56 * reach, 0.80 * length),
        (0.66 * reach, 0.50 * length),
        (0.88 * reach, 0.22 * length),
        (1.02 * reach, 0.14 * length),  # lower rim of the glenoid
        (1.04 * reach, -0.10 * length),
        (0.78 * reach, -0.16 * length),  # coracoid
        (0.62 * reach, -0.26 * length),
        (0.48 * reach, -0.13 * length),
        (0.24 * reach, -0.16 * length),
    ]
    ridge = [
        (-0.02 * reach, 0.08 * length),
        (0.45 * reach, -0.08 * length),
        (0.95 * reach, -0.30 * length),
        (1.22 * reach, -0.34 * length),  # acromion
        (1.32 * reach, -0.24 * length),
        (1.10 * reach, -0.20 * length),
        (0.50 * reach, 0.02 * length),
    ]
    head, radius = (1.42 * reach, 0.02 * length), 24.0
    round_head = [
        (head[0] + radius * np.cos(a), head[1] + radius * np.sin(a))
        for a in np.linspace(np.pi, 2.25 * np.pi, 9)
    ]
    shaft = [(head[0] + 26.0, head[1] + 190.0), (head[0] - 2.0, head[1] + 190.0)]
    outlines = (curve(blade, closed=True), curve(ridge, closed=True), [*round_head, *shaft])
    turn = np.deg2rad(-shoulder.turn_deg)
    cos, sin = np.cos(turn), np.sin(turn)
    u0, v0 = shoulder.blade_mm, shoulder.drop_mm
    blade_at, ridge_at, arm_at = (
        [(float(u0 + cos * u - sin * v), float(v0 + sin * u + cos * v)) for u, v in outline]
        for outline in outlines
    )
    return blade_at, ridge_at, arm_at


def _bone_mm(
    mask: NDArray[np.bool_], thickness_mm: float, spacing_mm: float
) -> NDArray[np.float32]:
    """Bone along the beam, in mm of cortex: a bright rim and a fainter, rounded middle."""
    if not mask.any():
        return np.zeros(mask.shape, np.float32)
    deep = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1] * spacing_mm
    rim = 2.2 * np.exp(-np.square((deep - CORTEX_MM / 2) / CORTEX_MM))
    rounded = 0.5 * thickness_mm * np.sqrt(np.clip(deep / max(thickness_mm, 1.0), 0.0, 1.0))
    return np.where(mask, rim + rounded, 0.0).astype(np.float32)
