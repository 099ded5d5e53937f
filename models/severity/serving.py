"""The labelled films as serving hands them to the network, and re-processed copies of them."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.frame import Frame
from models.radiograph import Radiograph
from models.refusal import Refusal
from models.severity.data import Films, stamp, to_bytes
from models.severity.view import INPUT_CELLS, INPUT_SIDE, INPUT_SIZE, View, view_of
from models.structures.predict import label

LONGEST = 1024  # pixels of a re-processed copy: the labels and the view see no finer


@dataclass(frozen=True, slots=True)
class Served:
    """Views of N films, as `models.severity.view.view_of` gives them, in bytes.

    Parameters
    ----------
    films : (N, 320, 320) uint8. zones : (N, 6, 40, 40) uint8.
    frames : (N, 6) H, W, inner height and width, top and left of each film's frame.
    """

    films: NDArray[np.uint8]
    zones: NDArray[np.uint8]
    frames: NDArray[np.int64]

    def digest(self, chosen: NDArray[np.int64]) -> str:
        """Hexadecimal sha256 of the chosen views."""
        told = hashlib.sha256(self.films[chosen].tobytes())
        told.update(self.zones[chosen].tobytes())
        return told.hexdigest()

    def frame(self, at: int) -> Frame:
        """Where film `at` lies in its view."""
        height, width, *inner, top, left = (int(one) for one in self.frames[at])
        return Frame((height, width), self.films.shape[-1], (inner[0], inner[1]), top, left)


def read_served(data: Path, films: Films, cache: Path) -> tuple[Served, Served]:
    """Views of all films and of one re-processed copy of each; made once, kept in `cache`."""
    path = cache / f"served_{stamp(films.table, INPUT_SIZE, INPUT_SIDE, INPUT_CELLS)}.npz"
    if not path.is_file():
        rng = np.random.default_rng(0)
        both: tuple[list[View], list[View]] = ([], [])
        for name in films.table.file:
            image = Image.open(data / str(name)).convert("L")
            both[0].append(view(image))
            image.thumbnail((LONGEST, LONGEST), Image.Resampling.BILINEAR)
            both[1].append(view_of_copy(image, rng))
        cache.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        savez: Any = np.savez  # its stub takes no mapping of arrays
        savez(part, **packed("film", both[0]), **packed("copy", both[1]))
        part.replace(path)
    with np.load(path, allow_pickle=False) as kept:
        one, other = (
            Served(*(kept[f"{kind}_{name}"] for name in Served.__slots__))
            for kind in ("film", "copy")
        )
    return one, other


def packed(kind: str, views: list[View]) -> dict[str, NDArray[np.generic]]:
    """The fields of `Served`, each named after its kind."""
    frames = [(*one.frame.shape, *one.frame.inner, one.frame.top, one.frame.left) for one in views]
    return {
        f"{kind}_films": np.stack([to_bytes(one.film) for one in views]),
        f"{kind}_zones": np.stack([to_bytes(one.zones) for one in views]),
        f"{kind}_frames": np.asarray(frames, np.int64),
    }


def view(image: Image.Image) -> View:
    """The view of a picture of 8 bits."""
    pixels = np.asarray(image, np.float32) / np.float32(255)
    return view_of(pixels, label(Radiograph(pixels)))


def view_of_copy(image: Image.Image, rng: np.random.Generator) -> View:
    """The view of a re-processed copy; a copy that is refused is no false alarm: then another."""
    for _ in range(20):
        try:
            return view(reprocess(image, rng))
        except Refusal as refusal:
            last = refusal
    raise last


def reprocess(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The same film as another console would send it: one change of several, at random.

    JPEG at quality 75, half resolution, five degrees turned, 10 % cropped, black borders, another
    gamma.
    """
    kind, (width, height) = int(rng.integers(6)), image.size
    if kind == 0:
        file = io.BytesIO()
        image.save(file, format="JPEG", quality=75)
        return Image.open(file)
    if kind == 1:
        return image.resize((width // 2, height // 2), Image.Resampling.BILINEAR)
    if kind == 2:
        return image.rotate(float(rng.choice([-5.0, 5.0])), Image.Resampling.BILINEAR)
    if kind == 3:
        return image.crop((width // 20, height // 20, width - width // 20, height - height // 20))
    if kind == 4:
        page = Image.new("L", (width * 6 // 5, height * 6 // 5))
        page.paste(image, (width // 10, height // 10))
        return page
    bent = (np.asarray(image, np.float32) / 255) ** np.float32(rng.choice([0.8, 1.25]))
    return Image.fromarray(np.rint(bent * 255).astype(np.uint8))
