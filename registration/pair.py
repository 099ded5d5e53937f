"""What the registration network sees of one film: texture and maps of guiding structures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from models import frame
from models.radiograph import Radiograph
from models.structures.anatomy import STRUCTURES
from models.structures.predict import Structures

SIZE = 128  # the labels' own grid; a pixel is 0.8 % of the width
AFFINE_SIZE = 64
GUIDES: tuple[str, ...] = (
    "right_lung",
    "left_lung",
    "heart",
    "mediastinum",
    "trachea",
    "right_clavicle",
    "left_clavicle",
    "right_ribs",
    "left_ribs",
    "thoracic_spine",
    "right_hemidiaphragm",
    "left_hemidiaphragm",
)
AFFINE_GUIDES: tuple[str, ...] = (  # no heart: its size changes with breath and disease
    "right_lung",
    "left_lung",
    "mediastinum",
    "trachea",
    "right_clavicle",
    "left_clavicle",
)
_AFFINE = tuple(GUIDES.index(name) for name in AFFINE_GUIDES)
_ROWS = tuple(STRUCTURES.index(name) for name in GUIDES)


@dataclass(frozen=True, slots=True)
class Side:
    """One film of a pair on the registration frame.

    Parameters
    ----------
    film : (SIZE, SIZE) float32 in [0, 1], local contrast; 0.5 is the local mean.
    guides : (len(GUIDES), SIZE, SIZE) float32 probabilities.
    frame : where the film lies in the frame.
    """

    film: NDArray[np.float32]
    guides: NDArray[np.float32]
    frame: frame.Frame

    def channels(self) -> NDArray[np.float32]:
        """(1 + len(GUIDES), SIZE, SIZE): the network's input for this side."""
        return np.concatenate([self.film[None], self.guides])

    def affine_maps(self) -> NDArray[np.float32]:
        """(K, AFFINE_SIZE, AFFINE_SIZE): guides whose place opacities do not change."""
        shape = (AFFINE_SIZE, AFFINE_SIZE)
        return np.stack([frame.resize(self.guides[i], shape) for i in _AFFINE])


def local_contrast(film: NDArray[np.float32], sigma: float = SIZE / 16) -> NDArray[np.float32]:
    """Exposure taken out: deviation from the local mean over the local spread, 0.5 in the middle.

    Opacities fade by it as well, edges of ribs and organs stay.
    """
    mean = gaussian_filter(film, sigma)
    spread = np.sqrt(np.maximum(gaussian_filter(np.square(film - mean), sigma), 0)) + 0.03
    return np.clip(0.5 + (film - mean) / (6 * spread), 0, 1).astype(np.float32)


def side(radiograph: Radiograph, structures: Structures) -> Side:
    """Bring a film and its structures onto the registration frame."""
    place = frame.fit(radiograph.pixels.shape, SIZE)
    shades = frame.percentiles(radiograph.pixels)
    film = frame.stretch(frame.to_frame(radiograph.pixels, place), *shades)
    guides = [frame.resize(structures.probabilities[row], (SIZE, SIZE)) for row in _ROWS]
    return Side(local_contrast(film), np.stack(guides), place)
