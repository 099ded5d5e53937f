"""Where the lungs lie: the square that the severity network looks at, and its six zones.

The score, the zones' scores and the boundaries that are drawn all come from the same two lung
masks, so that they cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.frame import Frame, from_frame, percentiles, shrunk, stretch, to_frame, window
from models.opacity import thirds
from models.refusal import Refusal
from models.structures.anatomy import STRUCTURES
from models.structures.predict import Structures

VIEW_SIDE = 1.18
"""Side of the network's near view over the longer side of the box around both lungs."""

INSIDE = 0.5  # probability above which a cell belongs to a lung
LEAST_SHARE = 0.45  # of the other lung's area: below it a lung is taken to be hidden by disease
LEAST_LUNGS = 0.05  # of the film's area: below it both lungs are taken to be missed
_SPINE = STRUCTURES.index("thoracic_spine")
_LUNGS = (STRUCTURES.index("right_lung"), STRUCTURES.index("left_lung"))


@dataclass(frozen=True, slots=True)
class LungField:
    """The lungs of one film on the grid of the labels that found them.

    Parameters
    ----------
    lungs : (2, S, S) in [0, 1], right then left, over `frame`, above one half is inside; a lung
        that disease hides is completed by the mirror image of the other.
    frame : where the film lies in that grid (scaled to `frame.size`).
    found : (right, left), whether the lung was seen and not completed.
    """

    lungs: NDArray[np.float32]
    frame: Frame
    found: tuple[bool, bool]

    @property
    def note(self) -> str:
        """What to know of a score for which one lung could not be seen; "" where both were."""
        if all(self.found):
            return ""
        return (
            f"The {'left' if self.found[0] else 'right'} lung does not stand out from what "
            "surrounds it: its zones lie at the mirror image of the other lung."
        )

    def box(self) -> tuple[tuple[float, float], float]:
        """Centre (row, column) in film pixels, and the longer side, of the box around both."""
        cells = (self.lungs > INSIDE).any(axis=0)
        share = self.frame.size / cells.shape[0]
        spans = [_span(cells.sum(axis=1 - axis)) for axis in (0, 1)]
        offsets = (self.frame.top, self.frame.left)
        low, high = (
            [
                (span[k] * share - offset) / scale
                for span, offset, scale in zip(spans, offsets, self.frame.scale, strict=True)
            ]
            for k in (0, 1)
        )
        centre = ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2)
        return centre, max(high[0] - low[0], high[1] - low[1], 1.0)

    def on(self, shape: tuple[int, int]) -> LungField:
        """The same lungs on a smaller copy of the film."""
        return replace(self, frame=replace(self.frame, shape=shape))

    def window(self, size: int, side: float) -> Frame:
        """A square of `size` pixels, `side` times as wide as the box around both lungs."""
        centre, longest = self.box()
        return window(self.frame.shape, centre, longest * side, size)

    def zones(self) -> NDArray[np.bool_]:
        """(6, S, S) upper, middle and lower third of the right lung, then of the left."""
        return np.concatenate([thirds(lung) for lung in self.lungs > INSIDE])

    def zones_on_film(self) -> NDArray[np.bool_]:
        """(6, H, W) the same thirds of the lungs on the film, their edges as fine as it is."""
        lungs = from_frame(self.lungs, self.frame) > INSIDE
        return np.concatenate([thirds(lung) for lung in lungs])

    def zones_in(self, target: Frame, cells: int) -> NDArray[np.float32]:
        """(6, cells, cells) in [0, 1]: how much of each cell of another frame each zone fills."""
        fine = regrid(self.zones().astype(np.float32), self.frame, target, cells * 2)
        return np.asarray(fine.reshape(6, cells, 2, cells, 2).mean(axis=(2, 4)), np.float32)


def lung_field(structures: Structures) -> LungField:
    """The lungs as labelled; one that disease hides is completed from the other.

    Raises
    ------
    Refusal : `unlike_training`, where no lung was found; `not_chest`, where the place of one lies
        outside the film.
    """
    frame, soft = structures.frame, structures.probabilities[list(_LUNGS)]
    lungs, film = soft > INSIDE, _film_cells(frame, soft.shape[-1])
    areas = lungs.sum(axis=(1, 2))
    if areas.sum() < LEAST_LUNGS * film.sum():
        raise Refusal(
            "unlike_training",
            "expected two lungs, found none that differ from what surrounds them; check that the "
            "film shows a chest, and read it without a score",
        )
    found = (bool(areas[0] >= LEAST_SHARE * areas[1]), bool(areas[1] >= LEAST_SHARE * areas[0]))
    if not all(found):
        seen = int(np.argmax(areas))
        midline = _midline(structures.probabilities[_SPINE], lungs)
        added = _mirrored(lungs[seen], midline) & ~lungs[seen] & film
        if (added | lungs[1 - seen]).sum() < LEAST_SHARE * areas[seen]:
            raise Refusal(
                "not_chest",
                "expected both lungs on the film, found that it ends within one of them; send the "
                "whole film",
            )
        soft = soft.copy()
        soft[1 - seen] = np.maximum(soft[1 - seen], added)
    return LungField(soft, frame, found)


def shades(pixels: NDArray[np.float32], field: LungField) -> tuple[float, float]:
    """1st and 99th percentile of the film (H, W) in the box around both lungs.

    Borders, letters and shields outside that box do not move a score.
    """
    (row, column), side = field.box()
    height, width = pixels.shape
    top, bottom = (int(np.clip(v, 0, height - 1)) for v in (row - side / 2, row + side / 2))
    left, right = (int(np.clip(v, 0, width - 1)) for v in (column - side / 2, column + side / 2))
    return percentiles(pixels[top : bottom + 1, left : right + 1])


def regrid(
    maps: NDArray[np.float32], source: Frame, target: Frame, cells: int
) -> NDArray[np.float32]:
    """Maps (C, s, s) over one frame of a film to (C, cells, cells) over another; zero outside."""
    at = []
    for axis, (offset, to) in enumerate(
        zip((source.top, source.left), (target.top, target.left), strict=True)
    ):
        in_target = (np.arange(cells) + 0.5) * target.size / cells
        in_film = (in_target - to) / target.scale[axis]
        in_source = in_film * source.scale[axis] + offset
        at.append(in_source * maps.shape[-1] / source.size - 0.5)
    grid = np.stack(np.meshgrid(*at, indexing="ij"))
    taken = [ndimage.map_coordinates(one, grid, order=1, cval=0.0) for one in maps]
    return np.asarray(np.stack(taken), np.float32)


def lung_view(
    pixels: NDArray[np.float32], field: LungField, size: int, side: float
) -> tuple[Frame, NDArray[np.float32]]:
    """The square around the lungs (size, size) in [0, 1], and where it lies on the film.

    Parameters
    ----------
    pixels : (H, W) in [0, 1]. side : of the square, over the longer side of the lungs' box.
    """
    frame = field.window(size, side)
    small = shrunk(pixels, 2 * size)
    near = replace(frame, shape=small.shape)
    return frame, stretch(to_frame(small, near), *shades(small, field.on(small.shape)))


def _span(mass: NDArray[np.int64]) -> tuple[float, float]:
    """First and last edge of the cells that hold all but one per cent of the mass."""
    share = np.cumsum(mass) / max(int(mass.sum()), 1)
    first = int(np.searchsorted(share, 0.005))
    last = int(np.searchsorted(share, 0.995))
    return float(first), float(min(last, len(mass) - 1) + 1)


def _midline(spine: NDArray[np.float32], lungs: NDArray[np.bool_]) -> float:
    """Column of the spine, or of the middle between the lungs, in cells."""
    columns = (spine > 0.5).sum(axis=0)
    if columns.sum() > 0:
        return float((np.arange(len(columns)) * columns).sum() / columns.sum())
    found = np.flatnonzero(lungs.any(axis=(0, 1)))
    return float(found[0] + found[-1]) / 2


def _mirrored(lung: NDArray[np.bool_], midline: float) -> NDArray[np.bool_]:
    """A lung (S, S) mirrored about a column."""
    columns = np.rint(2 * midline - np.arange(lung.shape[1])).astype(int)
    inside = (columns >= 0) & (columns < lung.shape[1])
    mirrored = lung[:, np.clip(columns, 0, lung.shape[1] - 1)]
    return np.asarray(mirrored & inside[None], np.bool_)


def _film_cells(frame: Frame, grid: int) -> NDArray[np.bool_]:
    """(S, S) the cells that the film covers."""
    cells = np.zeros((grid, grid), bool)
    share = grid / frame.size
    rows, columns = (
        slice(round(start * share), round((start + length) * share))
        for start, length in zip((frame.top, frame.left), frame.inner, strict=True)
    )
    cells[rows, columns] = True
    return cells
