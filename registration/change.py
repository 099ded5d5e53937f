"""Where the lungs changed between two aligned films, beyond the noise of unchanged lungs.

Two looks are added. The shades: every film is told in ranks of its own shades, which no window,
gamma or curve of a console changes (their logarithm, for bright places are noisier), and then
against its surroundings, which takes away what varies smoothly over the chest. The opacity: what
the severity network would draw as opaque on either film, which tells disease from ribs, wires and
posture. Their sum is averaged over the scale of an opacity and divided by what the two films differ
by in general, so that films of another breath or posture must differ by more. Only what exceeds the
noise of unchanged lungs is kept. How much that is was measured
(`python -m benchmarks.change --calibrate`) and lies beside the weights.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.frame import from_frame, resize
from models.opacity import thirds
from models.refusal import Refusal
from models.severity.lungs import lung_field
from models.severity.predict import Severity
from models.severity.zones import ZONES
from models.structures.predict import Structures
from registration.warp import identity_grid, sample

NOISE = Path(__file__).parent / "weights" / "change.json"
SIDE = 256  # pixels along the longer side of the grid on which change is sought
SCALE = 0.03  # of the lungs' width: standard deviation of the average, a small opacity's radius
RIM = 0.02  # of the lungs' width: along their edges a small error of alignment looks like disease
FEWEST = 100  # pixels that both films show, below which nothing is compared
LEAST_AREA = 0.01  # of both lungs: a smaller patch beyond noise is taken for noise
SURROUNDINGS = 0.3  # of the lungs' width: a lobe against its neighbours, and no wider
COARSER = 4  # the grid on which surroundings are averaged
FLAT = 0.01  # variance of ranks below which surroundings have no contrast to compare with
LIFT = 0.1  # added to a rank before its logarithm: the noise of ranks grows with rank + LIFT
WIDE = 0.12  # of the lungs' width: what is even over a lobe counts less, ...
WIDE_SHARE = 0.5  # ... by this share: small opacities stand out from it, large ones remain
LEAST_NOISE = 0.2  # what the best aligned films are taken to differ by, in `_evidence`'s unit


@dataclass(frozen=True, slots=True)
class ZoneShare:
    """How much of one lung zone changed beyond noise, as shares of its area in [0, 1]."""

    zone: str
    denser: float
    clearer: float


@dataclass(frozen=True, slots=True)
class ChangeMap:
    """What changed in the lungs beyond noise.

    Parameters
    ----------
    map : (H, W) on the current film: by how much the difference exceeds the noise, 1 is by as much
        again; positive is denser now, negative clearer now, zero where nothing exceeds it and
        outside the lungs.
    zones : the share of each zone that changed, order `ZONES`.
    threshold : the noise, in multiples of what the two films differ by in general.
    """

    map: NDArray[np.float32]
    zones: tuple[ZoneShare, ...]
    threshold: float

    @property
    def is_empty(self) -> bool:
        """Whether nothing changed beyond noise."""
        return not self.map.any()


def change_map(
    current: NDArray[np.float32],
    warped_prior: NDArray[np.float32],
    structures: Structures,
    opacity: NDArray[np.float32] | None = None,
    threshold: float | None = None,
) -> ChangeMap:
    """Compare two aligned films of one shape (H, W) in the lungs of the current one.

    Parameters
    ----------
    warped_prior : the prior on the current film's grid, zero where it does not reach.
    structures : of the current film.
    opacity : (h, w) of `small_shape`, see `opacity_change`; without it shades alone are compared.
    threshold : noise to take off; that of the shipped file where it is None.
    """
    limit = noise() if threshold is None else threshold
    shape = small_shape(current.shape)
    zones = zones_of(structures, shape)
    apart = strength(resize(current, shape), resize(warped_prior, shape), zones, opacity)
    found = beyond(apart, zones, limit)
    excess = np.asarray(found / np.float32(max(limit, 1e-6)), np.float32)
    return ChangeMap(
        resize(excess, (current.shape[0], current.shape[1])), shares(found, zones), limit
    )


@lru_cache(maxsize=1)
def noise() -> float:
    """The shipped noise threshold, measured by `python -m benchmarks.change --calibrate`."""
    return float(json.loads(NOISE.read_text(encoding="utf-8"))["threshold"])


def zones_of(structures: Structures, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(6, h, w) the zones that severity scores, on a copy of the film of another size."""
    try:
        return lung_field(structures).on(shape).zones_on_film()
    except Refusal:  # no score either; what was labelled as lung is still compared
        place = replace(structures.frame, shape=shape)
        lungs = from_frame(structures.probabilities[:2], place) > 0.5
        return np.concatenate([thirds(lung) for lung in lungs])


def opacity_change(
    prior: Severity, current: Severity, field_px: NDArray[np.float32], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """(h, w) in [-1, 1]: how much more of each place readers would draw as opaque now.

    Parameters
    ----------
    prior, current : scores of both films. field_px : (2, H, W), current film -> prior film, pixels.
    shape : (h, w) of a smaller copy of the current film.
    """
    share = [full / small for full, small in zip(field_px.shape[1:], shape, strict=True)]
    points = (identity_grid(shape) + np.float32(0.5)) * np.array(share, np.float32).reshape(2, 1, 1)
    rows, columns = (
        np.minimum(along.astype(np.int64), length - 1)
        for along, length in zip((points[0, :, 0], points[1, 0]), field_px.shape[1:], strict=True)
    )
    there = points + field_px[:, rows[:, None], columns]
    place, cells = prior.frame, prior.heat.shape[-1]
    corner = np.array((place.top, place.left), np.float32).reshape(2, 1, 1)
    on_frame = there * np.array(place.scale, np.float32).reshape(2, 1, 1) + corner
    on_cells = on_frame * np.float32(cells / place.size) - np.float32(0.5)
    before = sample(prior.heat, np.asarray(on_cells, np.float32), edge=True)
    return np.asarray(current.heat_on_film(shape) - np.clip(before, 0, 1), np.float32)


def strength(
    current: NDArray[np.float32],
    warped_prior: NDArray[np.float32],
    zones: NDArray[np.bool_],
    opacity: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """(h, w) how much denser each place in the lungs is now, noise and all.

    In multiples of what the two films differ by in general, averaged over the scale of an opacity;
    zero along the edges of the lungs and outside them.

    Parameters
    ----------
    opacity : (h, w), see `opacity_change`; none is as if it changed nowhere.
    """
    still = np.zeros(current.shape, np.float32)
    lungs = np.asarray(zones.any(axis=0), np.bool_)
    if not lungs.any():
        return still
    box, width = _chest(lungs)
    both = np.zeros(lungs.shape, bool)
    both[box] = True
    reached = ndimage.binary_fill_holes(warped_prior > 0)  # black lungs are holes, not its end
    both &= ndimage.binary_erosion(reached, iterations=2)
    inner = ndimage.distance_transform_edt(np.pad(lungs, 1))[1:-1, 1:-1] > RIM * width
    where = both & inner
    if both.sum() < FEWEST or not where.any():
        return still
    shades = _told(current, both, width) - _told(warped_prior, both, width)
    found = _evidence(shades, still if opacity is None else opacity, where, width)
    general = np.float32(LEAST_NOISE + np.median(np.abs(found[where])))
    return np.asarray(found / general, np.float32)


def _told(film: NDArray[np.float32], where: NDArray[np.bool_], width: float) -> NDArray[np.float32]:
    """(h, w) a film as no console can change it: ranks against their surroundings."""
    told = np.log(ranks(film, where) + np.float32(LIFT))
    return against_surroundings(told, where, SURROUNDINGS * width)


def _evidence(
    shades: NDArray[np.float32],
    opacity: NDArray[np.float32],
    where: NDArray[np.bool_],
    width: float,
) -> NDArray[np.float32]:
    """(h, w) difference of shades and of opacity, averaged over the scale of an opacity.

    In standard deviations of the surroundings; a place that turns wholly opaque adds one.
    """
    near = _averaged(shades + opacity, where, SCALE * width)
    wide = _averaged(shades, where, WIDE * width)
    return np.asarray(near - np.float32(WIDE_SHARE) * wide, np.float32)


def ranks(film: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(h, w) in [0, 1]: the share of the pixels in `where` that are darker."""
    shades = np.sort(film[where])
    first, last = (np.searchsorted(shades, film, side=side) for side in ("left", "right"))
    return np.asarray((first + last) / (2 * len(shades)), np.float32)  # equal shades, one rank


def against_surroundings(
    film: NDArray[np.float32], where: NDArray[np.bool_], sigma: float
) -> NDArray[np.float32]:
    """(h, w) how far a pixel is from the mean around it, in standard deviations around it."""
    middle = _around(film, where, sigma)
    variance = _around(np.square(film - middle), where, sigma)
    found = (film - middle) / np.sqrt(variance + np.float32(FLAT))
    return np.asarray(np.where(where, found, 0), np.float32)


def _around(
    values: NDArray[np.float32], where: NDArray[np.bool_], sigma: float
) -> NDArray[np.float32]:
    """Gaussian mean of what lies in `where`, everywhere; on a coarser grid, for it is wide."""
    full = (values.shape[0], values.shape[1])
    coarse = (max(1, full[0] // COARSER), max(1, full[1] // COARSER))
    mass, total = (
        ndimage.gaussian_filter(resize(one.astype(np.float32), coarse), sigma / COARSER)
        for one in (where, np.where(where, values, 0))
    )
    return resize(np.asarray(total / np.maximum(mass, 1e-3), np.float32), full)


def beyond(
    strength: NDArray[np.float32], zones: NDArray[np.bool_], threshold: float
) -> NDArray[np.float32]:
    """What of a strength (h, w) exceeds the threshold, signed; patches too small are left out."""
    lungs = zones.any(axis=0)
    least = LEAST_AREA * float(lungs.sum())
    kept = np.zeros(strength.shape, np.float32)
    for sign in (1.0, -1.0):
        patches, count = ndimage.label(sign * strength > threshold)
        sizes = ndimage.sum_labels(np.ones(patches.shape), patches, np.arange(count + 1))
        chosen = (sizes >= least) & (np.arange(count + 1) > 0)
        kept += np.where(chosen[patches], strength - np.float32(sign * threshold), 0)
    return np.asarray(kept * lungs, np.float32)


def least_threshold(strength: NDArray[np.float32], zones: NDArray[np.bool_]) -> float:
    """The smallest threshold beyond which nothing of a pair is left, to a thousandth."""
    low, high = 0.0, float(np.abs(strength).max())
    while high - low > 0.001:
        middle = (low + high) / 2
        low, high = (middle, high) if beyond(strength, zones, middle).any() else (low, middle)
    return high


def shares(found: NDArray[np.float32], zones: NDArray[np.bool_]) -> tuple[ZoneShare, ...]:
    """The share of each zone (6, h, w) that became denser and clearer."""
    return tuple(
        ZoneShare(name, _share(found[zone] > 0), _share(found[zone] < 0))
        for name, zone in zip(ZONES, zones, strict=True)
    )


def _share(changed: NDArray[np.bool_]) -> float:
    return float(changed.mean()) if changed.size else 0.0


def _chest(lungs: NDArray[np.bool_]) -> tuple[tuple[slice, slice], float]:
    """The box around both lungs, a tenth wider on each side, and the lungs' width in pixels."""
    rows, columns = (np.flatnonzero(lungs.any(axis=1 - axis)) for axis in (0, 1))
    width = float(columns[-1] - columns[0] + 1)
    margin = round(0.1 * width)
    down, across = (slice(max(0, at[0] - margin), at[-1] + 1 + margin) for at in (rows, columns))
    return (down, across), width


def _averaged(
    values: NDArray[np.float32], where: NDArray[np.bool_], sigma: float
) -> NDArray[np.float32]:
    """Gaussian mean of what lies in `where` alone; zero elsewhere."""
    mass = ndimage.gaussian_filter(where.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(np.where(where, values, 0).astype(np.float32), sigma)
    return np.asarray(np.where(where, total / np.maximum(mass, 1e-3), 0), np.float32)


def small_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """The film's shape at `SIDE` pixels along its longer side; never enlarged."""
    scale = min(1.0, SIDE / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))
