"""What the severity network is handed of a film: the square around the lungs, and their zones.

Serving, calibration and evaluation call the same function, so that no figure is of another input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.frame import Frame, percentiles
from models.refusal import Refusal
from models.severity.lungs import VIEW_SIDE, LungField, lung_field, lung_view
from models.structures.predict import Structures

VIEW_SIZE = 256  # pixels along each side of what the backbone sees
CELLS = 32  # of the opacity map along each side of a view: eight pixels each
INPUT_SIZE = 320  # pixels along each side of what is handed over: the near view is its middle
INPUT_CELLS = 40
LEAST_CONTRAST = 1e-6  # 1st to 99th percentile
INPUT_SIDE = VIEW_SIDE * INPUT_SIZE / VIEW_SIZE  # over the longer side of the lungs' box


@dataclass(frozen=True, slots=True)
class View:
    """One film as the network meets it.

    Parameters
    ----------
    film : (320, 320) in [0, 1], 1 is dense. zones : (6, 40, 40) in [0, 1], order `ZONES`: how
        much of a cell each zone fills.
    frame : where the film lies in that square. field : the lungs that the square was laid around.
    """

    film: NDArray[np.float32]
    zones: NDArray[np.float32]
    frame: Frame
    field: LungField


def view_of(pixels: NDArray[np.float32], structures: Structures) -> View:
    """The view of a film (H, W) in [0, 1] whose structures were labelled.

    Raises
    ------
    Refusal : `blank`, where the film has no contrast; those of `lung_field`.
    ValueError : the structures of another film.
    """
    if structures.frame.shape != pixels.shape:
        raise ValueError(
            f"expected structures of a film of shape {pixels.shape}, found those of "
            f"{structures.frame.shape}: label this film"
        )
    low, high = percentiles(pixels)
    if high - low < LEAST_CONTRAST:
        raise Refusal("blank", "expected a film with contrast, found one shade: send it again")
    field = lung_field(structures)
    frame, film = lung_view(pixels, field, INPUT_SIZE, INPUT_SIDE)
    return View(film, field.zones_in(frame, INPUT_CELLS), frame, field)
