"""One radiograph as every model sees it, and the ways to read one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Radiograph:
    """A decoded film, ready for a model.

    Parameters
    ----------
    pixels : (H, W) float32 in [0, 1]; 1 is white (dense), whatever the file's polarity was.
    spacing_mm : (row, column) distance between pixel centres at the patient or detector, or None.
    view : "AP", "PA", "LATERAL", "OTHER" or "" where the file does not say.
    acquired_at : time of acquisition as the file states it (local, naive), or None.
    """

    pixels: NDArray[np.float32]
    spacing_mm: tuple[float, float] | None = None
    view: str = ""
    body_part: str = ""
    sop_instance_uid: str = ""
    series_instance_uid: str = ""
    study_instance_uid: str = ""
    patient_id: str = ""
    acquired_at: datetime | None = None
