"""Labelled radiographs rendered from a CT: a cone beam through a deformed patient.

One pass does all: a coarse lattice of points along the rays is bent by the patient's deformation
and then refined, so that a film of 256 px takes about half a second on one core. Needs torch (the
extra `[train]`); nothing that serves imports this module.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from models import film
from models.ct import PARTS, Chest, has
from models.opacity import Opacities, patchy
from models.phantom import Phantom
from models.shoulders import draw_shoulders, random_shoulders
from models.silhouette import silhouettes
from models.structures.anatomy import STRUCTURES

STEPS = 96
"""Samples along a ray; path lengths are packed in 7 bits each, so fewer than 128."""
DEPTH_MM = 270.0
LATTICE = (17, 25, 25)
"""Coarse points (depth, row, column) at which rays are bent."""
PER_WORD = 8
"""Path lengths packed into one 64-bit word."""
SHOULDERS = ("right_clavicle", "left_clavicle", "right_scapula", "left_scapula")
_BONES = ("right_ribs", "left_ribs", "thoracic_spine", "sternum", *SHOULDERS)
_SOFT_HU = 40.0
ARMS_DOWN = 0.75
"""Share of patients whose shoulders are drawn with hanging arms instead of scanned with raised."""


@dataclass(frozen=True, slots=True)
class Anatomy:
    """How one patient differs from the scanned one.

    Parameters
    ----------
    stretch : (z, y, x) size factors.
    heart : growth of the heart, about -0.25 to 0.35.
    kyphosis_mm, scoliosis_mm : bend of the spine.
    shoulders_mm : outward shift of the scapulae.
    girdle_mm : how far the shoulders hang down; the scanned patient had the arms up.
    bulk : extra soft tissue, 0 thin to 0.4 obese.
    seed : of the random smooth field.
    field_mm : standard deviation of that field.
    """

    stretch: tuple[float, float, float]
    heart: float
    kyphosis_mm: float
    scoliosis_mm: float
    shoulders_mm: float
    bulk: float
    seed: int
    field_mm: float
    girdle_mm: float = 0.0


@dataclass(frozen=True, slots=True)
class Stance:
    """How the film was taken.

    Parameters
    ----------
    breath : length factor of the lungs; below 1 is a shallow breath.
    domes_mm : rise of the right and left hemidiaphragm.
    turn_deg : about the body's (long axis, left-right axis, beam).
    source_mm : distance of the X-ray source from the patient's middle.
    anterior : the source is in front (AP).
    field_mm : side of the square field in the patient's middle plane.
    shift_mm : (up, left) of the field's centre from the middle of the lungs.
    """

    breath: float
    domes_mm: tuple[float, float]
    turn_deg: tuple[float, float, float]
    source_mm: float
    anterior: bool
    field_mm: float
    shift_mm: tuple[float, float]


def random_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw a patient."""
    size = rng.normal(1.0, 0.05)
    return Anatomy(
        stretch=(
            size * rng.uniform(0.90, 1.12),
            size * rng.uniform(0.88, 1.12),
            size * rng.uniform(0.90, 1.14),
        ),
        heart=rng.uniform(-0.25, 0.35),
        kyphosis_mm=rng.normal(0.0, 8.0),
        scoliosis_mm=rng.normal(0.0, 6.0),
        shoulders_mm=rng.uniform(0.0, 26.0),
        bulk=rng.uniform(0.0, 0.4),
        seed=int(rng.integers(2**31)),
        field_mm=rng.uniform(1.5, 5.0),
        girdle_mm=rng.uniform(-5.0, 38.0),
    )


def random_stance(rng: np.random.Generator) -> Stance:
    """Draw a way to take the film."""
    anterior = bool(rng.uniform() < 0.5)
    return Stance(
        breath=rng.uniform(0.82, 1.35),
        domes_mm=(rng.normal(0.0, 9.0), rng.normal(0.0, 9.0)),
        turn_deg=(rng.normal(0.0, 4.5), rng.normal(0.0, 5.0), rng.normal(0.0, 2.5)),
        source_mm=rng.uniform(900.0, 1300.0) if anterior else rng.uniform(1500.0, 1900.0),
        anterior=anterior,
        field_mm=rng.uniform(300.0, 410.0),
        shift_mm=(rng.normal(8.0, 12.0), rng.normal(0.0, 9.0)),
    )


class Projector:
    """Casts films of one CT.

    Parameters
    ----------
    chest : the CT; held as tensors, so that many films share it.
    """

    def __init__(self, chest: Chest) -> None:
        self.chest = chest
        self.density = _density(chest.hu)
        shoulders = has(chest.members, *SHOULDERS) & (chest.hu > _SOFT_HU)
        shoulders = ndimage.binary_dilation(shoulders) & (chest.hu > _SOFT_HU)
        self.without_shoulders = _density(np.where(shoulders, np.float32(_SOFT_HU), chest.hu))
        codes, which = np.unique(chest.members, return_inverse=True)
        self.which = torch.from_numpy(which.reshape(chest.hu.shape).astype(np.float32))[None, None]
        bits = (codes[:, None] >> np.arange(len(PARTS))) & 1
        words = -(-len(PARTS) // PER_WORD)
        table = np.zeros((words, len(codes)), np.int64)
        for part in range(len(PARTS)):
            table[part // PER_WORD] |= bits[:, part].astype(np.int64) << (7 * (part % PER_WORD))
        self.table = torch.from_numpy(table)

    def cast(
        self, anatomy: Anatomy, stance: Stance, size: int, *, shoulders: bool = True
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Attenuation (H, W) and path length in mm of each part (P, H, W) on a square film.

        Without `shoulders` the scanned clavicles and scapulae are soft tissue in the attenuation.
        """
        lattice = self._bend(anatomy, stance)
        density = self.density if shoulders else self.without_shoulders
        chunk = max(1, 65_536 // size)
        edges = range(0, size, chunk)
        strips = [self._strip(lattice, density, top, min(top + chunk, size), size) for top in edges]
        attenuation = torch.cat([one for one, _ in strips], 0).numpy()
        paths = torch.cat([two for _, two in strips], 1).numpy()
        return attenuation, paths

    def _strip(
        self, lattice: Tensor, volume: Tensor, top: int, bottom: int, size: int
    ) -> tuple[Tensor, Tensor]:
        """Rows `top` to `bottom` of the film: refine the lattice, sample, sum along the rays."""
        rows = (torch.arange(top, bottom) + 0.5) / size * 2 - 1
        columns = (torch.arange(size) + 0.5) / size * 2 - 1
        depths = (torch.arange(STEPS) + 0.5) / STEPS * 2 - 1
        grid = torch.stack(torch.meshgrid(depths, rows, columns, indexing="ij")[::-1], -1)
        points = functional.grid_sample(lattice, grid[None], align_corners=True)
        points = points.permute(0, 2, 3, 4, 1)  # (1, D, H, W, 3), x y z of the volume in [-1, 1]
        density = functional.grid_sample(volume, points, align_corners=True)[0, 0]
        which = functional.grid_sample(self.which, points, mode="nearest", align_corners=True)
        flat = which[0, 0].to(torch.int64)
        step_mm = DEPTH_MM / STEPS
        packed = [word[flat].sum(0) for word in self.table]
        paths = [(packed[k // PER_WORD] >> (7 * (k % PER_WORD))) & 127 for k in range(len(PARTS))]
        return density.sum(0) * step_mm, torch.stack(paths).float() * step_mm

    def _bend(self, anatomy: Anatomy, stance: Stance) -> Tensor:
        """Lattice of ray points as volume coordinates (1, 3, D, H, W): x, y, z in [-1, 1]."""
        x, y, z = _rays(stance)
        x, y, z = _turned(x, y, z, stance.turn_deg)
        place = torch.stack([z, y, x])
        place = place / torch.tensor(anatomy.stretch).reshape(3, 1, 1, 1)
        place = _posed(place, anatomy, stance)
        place = place + _smooth_field(anatomy, place)
        spacing, shape = self.chest.spacing_mm, self.chest.hu.shape
        voxels = [place[a] / spacing[a] + self.chest.centre[a] for a in range(3)]
        unit = [2 * voxels[a] / (shape[a] - 1) - 1 for a in (2, 1, 0)]
        return torch.stack(unit)[None].float()


def _density(hu: NDArray[np.float32]) -> Tensor:
    """Attenuation per mm (1, 1, Z, Y, X) at chest energies.

    Water attenuates about 0.02 per mm; bone counts more than its HU.
    """
    volume = torch.from_numpy(hu)
    dense = (1.0 + volume / 1000.0).clamp_min(0.0) + 0.5 * (volume / 1000.0 - 0.1).clamp_min(0.0)
    return (0.02 * dense)[None, None]


def _rays(stance: Stance) -> tuple[Tensor, Tensor, Tensor]:
    """Patient coordinates (left, front, up) in mm of the lattice points on the cone's rays."""
    depth, row, column = (torch.linspace(-1.0, 1.0, n, dtype=torch.float64) for n in LATTICE)
    half = stance.field_mm / 2
    y = (depth * DEPTH_MM / 2)[:, None, None].expand(LATTICE)
    middle = stance.shift_mm[0] + 120.0 * (1.0 - stance.breath)  # the lungs grow downwards
    up = (middle - row * half)[None, :, None]
    left = (stance.shift_mm[1] + column * half)[None, None, :]
    source = stance.source_mm if stance.anterior else -stance.source_mm
    spread = 1.0 - y / source  # the cone is as wide as the field in the patient's middle plane
    return left * spread, y, up * spread


def _turned(
    x: Tensor, y: Tensor, z: Tensor, turn_deg: tuple[float, float, float]
) -> tuple[Tensor, Tensor, Tensor]:
    long, cross, beam = (float(np.deg2rad(a)) for a in turn_deg)
    x, y = np.cos(long) * x - np.sin(long) * y, np.sin(long) * x + np.cos(long) * y
    y, z = np.cos(cross) * y - np.sin(cross) * z, np.sin(cross) * y + np.cos(cross) * z
    x, z = np.cos(beam) * x - np.sin(beam) * z, np.sin(beam) * x + np.cos(beam) * z
    return x, y, z


def _bump(place: Tensor, centre: tuple[float, float, float], width_mm: float) -> Tensor:
    distance = sum((place[a] - centre[a]) ** 2 for a in range(3))
    return torch.exp(-torch.as_tensor(distance) / (2 * width_mm**2))


def _posed(place: Tensor, anatomy: Anatomy, stance: Stance) -> Tensor:
    """Where in the scan (z, y, x in mm from the lungs' middle) a point of this patient is found."""
    z, y, x = place
    # Breath: the lungs shorten towards the apex, 120 mm above their middle.
    z = 120.0 - (120.0 - z) / stance.breath
    y = y + anatomy.kyphosis_mm * ((z / 120.0) ** 2 - 0.5)
    x = x + anatomy.scoliosis_mm * torch.sin(z / 60.0)
    bent = torch.stack([z, y, x])
    for dome, centre in zip(
        stance.domes_mm, ((-75.0, 15.0, -65.0), (-80.0, 10.0, 70.0)), strict=True
    ):
        z = z - dome * _bump(bent, centre, 48.0)
    heart = (-40.0, 35.0, 22.0)
    pull = anatomy.heart * _bump(bent, heart, 52.0)
    z, y, x = (v - pull * (v - c) for v, c in zip((z, y, x), heart, strict=True))
    for side in (-1.0, 1.0):
        x = x - side * anatomy.shoulders_mm * _bump(bent, (75.0, -75.0, side * 100.0), 40.0)
    lateral = torch.sigmoid((x.abs() - 88.0) / 10.0) * torch.sigmoid((z - 62.0) / 9.0)
    return torch.stack([z + anatomy.girdle_mm * lateral, y, x])


def _smooth_field(anatomy: Anatomy, place: Tensor) -> Tensor:
    """Random smooth displacement (3, ...) in mm, the same for a patient in every pose."""
    rng = np.random.default_rng(anatomy.seed)
    where = (place / 200.0).permute(1, 2, 3, 0).flip(-1)[None].float()
    total = torch.zeros_like(place)
    for nodes, share in ((5, 1.0), (9, 0.5)):
        grid = rng.normal(0.0, anatomy.field_mm * share, size=(1, 3, nodes, nodes, nodes))
        nodes_mm = torch.from_numpy(grid.astype(np.float32))
        total += functional.grid_sample(nodes_mm, where, align_corners=True, padding_mode="border")[
            0
        ].double()
    return total


@dataclass(frozen=True, slots=True)
class Clutter:
    """What else lies on the film: counts and shares drawn for one exposure.

    Parameters
    ----------
    bone : attenuation per mm that bones get beside their own; the scan's voxels are too coarse for
        their cortex, which films show.
    """

    wires: int
    effusions: tuple[float, float]
    ground_glass: float
    bone: float = 0.0


def random_clutter(rng: np.random.Generator) -> Clutter:
    """Draw tubes, effusions and the density of opacities."""
    wires = int(rng.integers(0, 7)) if rng.uniform() < 0.6 else 0
    right, left = (rng.uniform(0.05, 0.4) if rng.uniform() < 0.08 else 0.0 for _ in range(2))
    return Clutter(wires, (right, left), rng.uniform(0.15, 0.75), rng.uniform(0.0, 0.035))


def render(
    projector: Projector,
    seed: int,
    *,
    patient: int | None = None,
    extent: float = 0.0,
    size: int = 256,
    clutter: Clutter | None = None,
    exposure: film.Exposure | None = None,
    stance: Stance | None = None,
) -> Phantom:
    """Render one film with its truth.

    Parameters
    ----------
    seed : names the film: pose, exposure, noise, clutter.
    patient : names the anatomy and the pattern of disease; `seed` when not given. The same patient
        with another seed and extent is a follow-up film.
    extent : geographic extent of opacities, 0-8.
    clutter, exposure, stance : given instead of drawn, for a clean film.
    """
    who = seed if patient is None else patient
    rng = np.random.default_rng([seed, 11])
    drawn = random_stance(rng), film.random_exposure(rng, size), random_clutter(rng)
    stance, exposure, clutter = stance or drawn[0], exposure or drawn[1], clutter or drawn[2]
    anatomy = random_anatomy(np.random.default_rng([who, 12]))
    hanging = np.random.default_rng([who, 14]).uniform() < ARMS_DOWN
    attenuation, paths = projector.cast(anatomy, stance, size, shoulders=not hanging)
    spacing = stance.field_mm / size
    masks = silhouettes(paths, spacing)
    attenuation += _cortex(paths, clutter.bone, spacing, shoulders=not hanging)
    if hanging:
        _hang_arms(attenuation, masks, np.random.default_rng([seed, 15]), stance, spacing)
    opacities = patchy(masks[:2], extent, np.random.default_rng([who, 13]))
    attenuation = _add(attenuation, paths, opacities, clutter, anatomy.bulk)
    attenuation += _effusions(masks[:2], clutter.effusions)
    attenuation += 0.35 * film.wires(rng, attenuation.shape, clutter.wires)
    pixels = film.develop(attenuation, exposure, rng)
    if rng.uniform() < 0.7:
        pixels = film.mark(pixels, rng)
    if rng.uniform() < 0.4:
        pixels = film.collimate(pixels, rng)
    return Phantom(
        pixels, masks, opacities.density, opacities.extent, opacities.zones, (spacing, spacing)
    )


def _cortex(
    paths: NDArray[np.float32], bone: float, spacing: float, *, shoulders: bool
) -> NDArray[np.float32]:
    """Extra attenuation (H, W) of bones, most along their rims."""
    names = [name for name in _BONES if shoulders or name not in SHOULDERS]
    path = sum(paths[PARTS.index(name)] for name in names)
    smooth = film.soften(np.asarray(path, np.float32), 0.8 / spacing)
    rim = smooth - film.soften(smooth, 3.0 / spacing)
    return np.asarray(bone * (0.5 * np.minimum(smooth, 12.0) + 1.2 * rim), np.float32)


def _hang_arms(
    attenuation: NDArray[np.float32],
    masks: NDArray[np.bool_],
    rng: np.random.Generator,
    stance: Stance,
    spacing: float,
) -> None:
    """Draw shoulders with hanging arms into `attenuation` and `masks`, in place of the scanned."""
    shoulders = random_shoulders(rng, anterior=stance.anterior)
    drawn = draw_shoulders(masks[:2], shoulders, spacing)
    rows = [STRUCTURES.index(name) for name in SHOULDERS]
    masks[rows] = False
    if drawn is not None:
        bone, flesh, masks[rows] = drawn
        np.maximum(attenuation, flesh, where=~masks[:2].any(0), out=attenuation)
        attenuation += bone


def bedside(stance: Stance) -> Stance:
    """The same patient lying: AP, near source, shallower breath."""
    return replace(stance, anterior=True, source_mm=1000.0, breath=stance.breath * 0.92)


def _add(
    attenuation: NDArray[np.float32],
    paths: NDArray[np.float32],
    opacities: Opacities,
    clutter: Clutter,
    bulk: float,
) -> NDArray[np.float32]:
    """Add opacities (in proportion to the lung they fill) and the patient's fat."""
    size = attenuation.shape[0]
    lung_mm = paths[:2].sum(0)
    soft = film.soften(opacities.density, 0.012 * size)
    filled = 0.020 * clutter.ground_glass * soft * lung_mm  # water is 0.02 per mm
    trunk = film.soften((attenuation > 0.3).astype(np.float32), 0.03 * size)
    return np.asarray(attenuation + filled + bulk * 2.0 * trunk, dtype=np.float32)


def _effusions(lungs: NDArray[np.bool_], shares: tuple[float, float]) -> NDArray[np.float32]:
    """Fluid at the lung bases with a raised outer rim, as extra attenuation (H, W)."""
    height, width = lungs.shape[1:]
    extra = np.zeros((height, width), np.float32)
    for lung, share, outer in zip(lungs, shares, (0.0, 1.0), strict=True):
        rows, columns = np.flatnonzero(lung.any(1)), np.flatnonzero(lung.any(0))
        if share <= 0.0 or not rows.size:
            continue
        along = (np.arange(width) - columns[0]) / max(1, columns[-1] - columns[0])
        rise = share * (0.7 + 0.5 * np.abs(1.0 - outer - along))
        level = rows[-1] - rise * (rows[-1] - rows[0])
        depth = np.clip((np.arange(height)[:, None] - level[None]) / (0.1 * height), 0.0, 1.0)
        extra += np.where(lung, 1.6 * depth, 0.0).astype(np.float32)
    return film.soften(extra, 0.01 * width)
