"""A store of projected films on disk: rendered once, read at random while training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.ct import read_chest
from models.structures.anatomy import STRUCTURES

HELD_OUT_SEED = 1_000_000
"""Seeds from here on are deformations that no training sees."""

_BITS = (np.uint32(1) << np.arange(len(STRUCTURES), dtype=np.uint32)).astype(np.uint32)


def pack(masks: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """(20, H, W) masks to (H, W) words, bit k for structure k."""
    return np.tensordot(_BITS, masks.astype(np.uint32), axes=1).astype(np.uint32)


def unpack(words: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """(H, W) words back to (20, H, W) masks."""
    return np.asarray((words[None] & _BITS[:, None, None]) != 0)


def extent_of(seed: int) -> float:
    """Extent of the film `seed`: a third clear, the rest uniform up to 8."""
    rng = np.random.default_rng([seed, 21])
    return 0.0 if rng.uniform() < 0.33 else float(rng.uniform(0.3, 7.8))


class ProjectionStore:
    """Films and masks in two memory-mapped arrays; `done` counts those written.

    Parameters
    ----------
    folder : where the arrays lie; made when missing.
    count, size : how many films of which side in pixels.
    first_seed : seed of film 0; film k has `first_seed + k`.
    """

    def __init__(self, folder: Path, count: int, size: int, first_seed: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.count, self.size, self.first_seed = count, size, first_seed
        self._done = folder / "done.txt"
        films, masks = folder / "films.npy", folder / "masks.npy"
        shape, fresh = (count, size, size), not masks.exists()
        self.films = _mapped(films, np.uint8, shape, fresh)
        self.masks = _mapped(masks, np.uint32, shape, fresh)

    @property
    def done(self) -> int:
        """Films written so far."""
        return int(self._done.read_text()) if self._done.exists() else 0

    def fill(self, ct: Path) -> None:
        """Render what is missing; safe to stop and start again."""
        from models.projection import Projector, render  # noqa: PLC0415  # torch only when rendering

        if self.done >= self.count:
            return
        projector = Projector(read_chest(ct))
        for k in range(self.done, self.count):
            seed = self.first_seed + k
            phantom = render(projector, seed, extent=extent_of(seed), size=self.size)
            self.films[k] = np.round(phantom.pixels * 255).astype(np.uint8)
            self.masks[k] = pack(phantom.masks)
            self._done.write_text(str(k + 1))


def _mapped(
    path: Path, kind: type[np.generic], shape: tuple[int, ...], fresh: bool
) -> NDArray[np.generic]:
    mode = "w+" if fresh else "r+"
    return np.lib.format.open_memmap(path, mode=mode, dtype=kind, shape=shape if fresh else None)
