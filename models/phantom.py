"""A chest film drawn from shapes alone: labelled, of known extent, needing no data.

Tests and demonstrations use it wherever a real film would tie them to a data set. It is a sketch
of a thorax in attenuation (lungs, heart, vessels, bones, soft tissue), developed like a film; the
realistic kind is `models.projection.render`, which needs a CT.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models import film
from models.film import Points
from models.frame import resize
from models.opacity import patchy
from models.radiograph import Radiograph
from models.structures.anatomy import STRUCTURES

FIELD_MM = 400.0
"""Side of the square that the phantom film covers at the detector."""


@dataclass(frozen=True, slots=True)
class Phantom:
    """A film whose truth is known.

    Parameters
    ----------
    pixels : (H, W) float32 in [0, 1], dense is white.
    masks : (20, H, W), order of `STRUCTURES`.
    opacity : (H, W) in [0, 1], density of the opacity that was put in.
    extent : geographic extent 0-8 (both lungs); higher is worse.
    zones : six zones 0-3, right upper, middle, lower, then left; higher is worse.
    """

    pixels: NDArray[np.float32]
    masks: NDArray[np.bool_]
    opacity: NDArray[np.float32]
    extent: float
    zones: tuple[float, ...]
    spacing_mm: tuple[float, float]

    def radiograph(self, view: str = "PA") -> Radiograph:
        """The film without its truth."""
        return Radiograph(self.pixels, spacing_mm=self.spacing_mm, view=view, body_part="CHEST")


@dataclass(frozen=True, slots=True)
class Body:
    """One patient's build, factors near 1 unless the unit is named."""

    width: float
    height: float
    heart: float
    ribs_mm: float
    bulk: float
    arch_mm: float


@dataclass(frozen=True, slots=True)
class Pose:
    """How the patient stood before the detector: breath (lung length factor), turn, shift, zoom."""

    breath: float
    turn_deg: float
    shift_mm: tuple[float, float]
    zoom: float


def body(rng: np.random.Generator) -> Body:
    """Draw a build."""
    return Body(
        width=rng.uniform(0.92, 1.05),
        height=rng.uniform(0.92, 1.05),
        heart=rng.uniform(0.85, 1.15),
        ribs_mm=rng.uniform(21.0, 24.0),
        bulk=rng.uniform(0.9, 1.2),
        arch_mm=rng.uniform(24.0, 32.0),
    )


def stance(rng: np.random.Generator) -> Pose:
    """Draw a pose."""
    return Pose(
        breath=rng.uniform(0.90, 1.02),
        turn_deg=rng.uniform(-4.0, 4.0),
        shift_mm=(rng.uniform(-10.0, 10.0), rng.uniform(-10.0, 10.0)),
        zoom=rng.uniform(0.95, 1.04),
    )


def draw(seed: int, extent: float = 0.0, size: int = 512, *, pose: int = 0) -> Phantom:
    """Draw the film of patient `seed`, standing as `pose` says, with opacities of `extent`.

    The same seed with another pose or extent is another film of the same patient; the pattern of
    disease grows in place.

    Parameters
    ----------
    seed : names the patient: build, vessels, where the disease sits.
    extent : geographic extent 0-8 (both lungs).
    size : side of the square film in pixels.
    pose : names the exposure: breath, turn, shift, greys, noise.

    Raises
    ------
    ValueError : `extent` outside 0-8, or `size` under 64.
    """
    if size < 64:
        raise ValueError(f"size must be at least 64 pixels, found {size}")
    patient = np.random.default_rng([seed, 1])
    moment = np.random.default_rng([seed, 2, pose])
    sketch = _Sketch(body(patient), stance(moment), size)
    masks = sketch.masks()
    opacities = patchy(masks[:2], extent, np.random.default_rng([seed, 3]))
    attenuation = sketch.attenuation(masks, patient)
    attenuation += (
        0.42 * ndimage.gaussian_filter(opacities.density, 0.010 * size) * masks[:2].any(0)
    )
    exposure = film.random_exposure(moment, size)
    exposure = replace(exposure, gamma=exposure.gamma**0.5, noise=exposure.noise * 0.7)
    pixels = film.mark(film.develop(attenuation, exposure, moment), moment)
    spacing = FIELD_MM / size
    return Phantom(
        pixels, masks, opacities.density, opacities.extent, opacities.zones, (spacing, spacing)
    )


@dataclass(frozen=True, slots=True)
class _Sketch:
    """Shapes in millimetres (x to the patient's left, y down, origin mid-chest) on a film."""

    body: Body
    pose: Pose
    size: int

    def place(self, points: Points) -> Points:
        """Millimetres of the standard thorax to pixels of this patient's film."""
        angle = np.deg2rad(self.pose.turn_deg)
        cos, sin = np.cos(angle) * self.pose.zoom, np.sin(angle) * self.pose.zoom
        placed = []
        for x, y in points:
            wide = x * self.body.width
            tall = (y + 140.0) * self.body.height
            tall = (tall * self.pose.breath if tall > 0 else tall) - 140.0
            column = (cos * wide - sin * tall + self.pose.shift_mm[0]) / FIELD_MM + 0.5
            row = (sin * wide + cos * tall + self.pose.shift_mm[1]) / FIELD_MM + 0.5
            placed.append((column * self.size, row * self.size))
        return placed

    def area(self, points: Points) -> NDArray[np.bool_]:
        return film.polygon(self.place(film.curve(points, closed=True)), (self.size, self.size))

    def band(self, points: Points, width_mm: float) -> NDArray[np.bool_]:
        width = width_mm * self.size / FIELD_MM
        return film.polyline(self.place(film.curve(points)), width, (self.size, self.size))

    def masks(self) -> NDArray[np.bool_]:
        """(20, H, W) in the order of `STRUCTURES`."""
        parts = self._organs() | self._bones()
        lungs = parts["right_lung"] | parts["left_lung"]
        parts["stomach"] &= ~lungs
        return np.stack([parts[name] for name in STRUCTURES])

    def _organs(self) -> dict[str, NDArray[np.bool_]]:
        h, arch = self.body.heart, self.body.arch_mm
        heart: Points = [(-18, 0), (-42 * h, 40), (-36 * h, 85), (10, 104), (62 * h, 98)]
        heart += [(90 * h, 82), (72 * h, 44), (38 * h, 8)]
        pedicle: Points = [(-26, -70), (-30, -20), (-38, 30), (40, 30), (34, -15), (arch + 6, -50)]
        pedicle += [(arch, -72), (0, -80)]
        stomach: Points = [(38, 112), (62, 98), (98, 104), (105, 130), (75, 150), (45, 140)]
        parts = {name: self.area(points) for name, points in _LUNGS.items()}
        parts["heart"] = self.area(heart)
        parts["mediastinum"] = parts["heart"] | self.area(pedicle)
        parts["aorta"] = self.band([(-8, 5), (-16, -35), (0, -64), (arch - 8, -60)], 18.0)
        parts["aorta"] |= self.band([(arch - 8, -60), (24, -10), (16, 60), (8, 110)], 20.0)
        parts["superior_vena_cava"] = self.band([(-22, -75), (-27, -40), (-28, 5)], 16.0)
        parts["trachea"] = self.band([(2, -178), (1, -110), (-3, -50)], 16.0)
        parts["right_hilum"] = self.area([(-30, -38), (-52, -28), (-62, 5), (-46, 22), (-32, 8)])
        parts["left_hilum"] = self.area([(34, -44), (54, -36), (62, -4), (48, 12), (36, 0)])
        parts["stomach"] = self.area(stomach)
        for side in ("right", "left"):
            parts[f"{side}_hemidiaphragm"] = self.band(_DIAPHRAGMS[side], 6.0)
        return parts

    def _bones(self) -> dict[str, NDArray[np.bool_]]:
        parts = {
            "thoracic_spine": self.band([(0, -172), (0, 0), (0, 150)], 34.0),
            "sternum": self.band([(0, -85), (1, 0), (0, 75)], 30.0),
        }
        for side, sign in (("right", -1.0), ("left", 1.0)):
            ribs = [self.band(points, 8.0) for points in self._ribs(sign)]
            parts[f"{side}_ribs"] = np.any(ribs, axis=0)
            clavicle: Points = [(18, -112), (55, -122), (100, -132), (150, -150)]
            scapula: Points = [(118, -150), (160, -140), (150, -90), (132, -35), (122, -60)]
            parts[f"{side}_clavicle"] = self.band([(sign * x, y) for x, y in clavicle], 12.0)
            parts[f"{side}_scapula"] = self.area([(sign * x, y) for x, y in scapula])
        return parts

    def _ribs(self, sign: float) -> list[Points]:
        """Posterior then anterior course of ten ribs."""
        courses: list[Points] = []
        for k in range(10):
            top = -165.0 + k * self.body.ribs_mm
            wall = 140.0 * np.sqrt(max(0.15, 1.0 - ((top + 45.0 - 70.0) / 235.0) ** 2))
            wall = min(wall, 62.0 + 22.0 * k)
            end = top + 28.0 + 4.0 * k
            behind: Points = [
                (18, top),
                (0.45 * wall, top - 6),
                (0.82 * wall, top + 8),
                (wall, end),
            ]
            ahead: Points = [(wall, end), (0.8 * wall, end + 26), (0.5 * wall, end + 40)]
            courses += [[(sign * x, y) for x, y in course] for course in (behind, ahead)]
        return courses

    def attenuation(
        self, masks: NDArray[np.bool_], patient: np.random.Generator
    ) -> NDArray[np.float32]:
        """Line integrals as a film would see them, in arbitrary units of about 0 to 2.5."""
        part = dict(zip(STRUCTURES, masks, strict=True))
        trunk = ndimage.gaussian_filter(self.area(_TRUNK).astype(np.float32), 0.012 * self.size)
        total = self.body.bulk * trunk * (0.85 + 0.15 * _cloud(patient, self.size))
        below = np.linspace(-0.15, 0.28, self.size, dtype=np.float32)[:, None]
        total = total + trunk * below
        lungs = [self._thick(part[f"{side}_lung"], 26.0) for side in ("right", "left")]
        total -= 0.74 * np.add(*lungs) * self.body.bulk**0.5
        weights = {"heart": 0.16, "mediastinum": 0.34, "aorta": 0.08, "thoracic_spine": 0.14}
        weights |= {"superior_vena_cava": 0.06, "sternum": 0.03, "trachea": -0.16}
        for name, weight in weights.items():
            total += weight * self._thick(part[name], 14.0)
        for side in ("right", "left"):
            for name, weight in _SIDED:
                total += weight * self._soft(part[f"{side}_{name}"], 1.6)
            total += self._vessels(part[f"{side}_lung"], side, patient)
        total -= 0.22 * self._soft(part["stomach"], 4.0)
        return np.asarray(total, dtype=np.float32)

    def _soft(self, mask: NDArray[np.bool_], sigma_mm: float) -> NDArray[np.float32]:
        return ndimage.gaussian_filter(mask.astype(np.float32), sigma_mm * self.size / FIELD_MM)

    def _thick(self, mask: NDArray[np.bool_], depth_mm: float) -> NDArray[np.float32]:
        """A rounded body: 0 at the rim, 1 once `depth_mm` inside."""
        inside = ndimage.distance_transform_edt(mask) * (FIELD_MM / self.size) / depth_mm
        profile = np.sqrt(np.clip(inside, 0.0, 1.0)).astype(np.float32)
        return ndimage.gaussian_filter(profile, 1.5 * self.size / FIELD_MM)

    def _vessels(
        self, lung: NDArray[np.bool_], side: str, patient: np.random.Generator
    ) -> NDArray[np.float32]:
        """Branching vessels from the hilum outwards, thinner as they go."""
        sign = -1.0 if side == "right" else 1.0
        tree = np.zeros((self.size, self.size), np.float32)
        for angle in patient.uniform(-1.5, 1.4, 16):
            x, y, heading, width = 44.0, -8.0, angle, patient.uniform(4.0, 7.0)
            path: Points = [(sign * x, y)]
            for _ in range(4):
                heading += patient.normal(0.0, 0.25)
                x, y = x + 22.0 * np.cos(heading), y + 26.0 * np.sin(heading)
                path.append((sign * x, y))
            for start, stop in pairwise(path):
                tree = np.maximum(tree, 0.045 * width / 2 * self.band([start, stop], width))
                width *= 0.68
        return ndimage.gaussian_filter(tree, 1.2 * self.size / FIELD_MM) * lung


def _cloud(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """Slow variation of soft tissue over the film, about -1 to 1."""
    grid = np.clip(rng.normal(size=(5, 5)), -1.5, 1.5).astype(np.float32)
    return resize(grid, (size, size))


_SIDED = (("hilum", 0.13), ("ribs", 0.14), ("clavicle", 0.16), ("scapula", 0.10))

_RIGHT_LUNG: Points = [(-44, -146), (-74, -132), (-104, -90), (-126, -25), (-134, 45), (-136, 104)]
_RIGHT_LUNG += [(-131, 113), (-112, 90), (-80, 73), (-48, 76), (-26, 88), (-23, 40), (-22, -30)]
_RIGHT_LUNG += [(-20, -90), (-27, -130)]
_LEFT_LUNG: Points = [(44, -146), (74, -132), (104, -90), (126, -25), (134, 45), (137, 112)]
_LEFT_LUNG += [(132, 121), (112, 100), (80, 84), (48, 86), (26, 96), (23, 40), (22, -30)]
_LEFT_LUNG += [(20, -90), (27, -130)]
_LUNGS = {"right_lung": _RIGHT_LUNG, "left_lung": _LEFT_LUNG}

_DIAPHRAGMS: dict[str, Points] = {
    "right": [(-131, 113), (-112, 90), (-80, 73), (-48, 76), (-26, 88)],
    "left": [(132, 121), (112, 100), (80, 84), (48, 86), (26, 96)],
}

_TRUNK: Points = [(-38, -230), (-44, -175), (-110, -158), (-190, -130), (-215, -60), (-168, 0)]
_TRUNK += [(-160, 80), (-158, 260), (158, 260), (160, 80), (168, 0), (215, -60), (190, -130)]
_TRUNK += [(110, -158), (44, -175), (38, -230)]
