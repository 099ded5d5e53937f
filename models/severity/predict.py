"""Severity of one film, and of the change between two; numpy in, frozen records out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models import runtime
from models.frame import Frame, from_frame
from models.radiograph import Radiograph
from models.refusal import Refusal
from models.severity.interval import Calibration, calibration_from_parameters
from models.severity.lungs import LungField
from models.severity.view import view_of
from models.severity.zones import EXTENT_MAX, ZONE_MAX, ZONES
from models.structures.predict import Structures, label

WEIGHTS = Path(__file__).with_name("weights")
ANCHORS_NAME = "anchors.npz"


@dataclass(frozen=True, slots=True)
class Severity:
    """How much of the lungs is opaque on one frontal film.

    Parameters
    ----------
    pxs : median Euclidean distance to normal films' embeddings; unsigned, >= 0, higher is worse,
        not zero on normals (Li et al., Radiology: Artificial Intelligence 2(4), 2020).
    extent : 0-8, geographic extent of opacity as three readers would score it, higher is worse.
    extent_low, extent_high : 90 % interval of the readers' score, from held-out films.
    brixia : 0-18, sum of `zones`.
    zones : 0-3 each, order `ZONES`.
    heat : (S, S) in [0, 1] over `frame`, from the same pass: the share of each cell that readers
        would draw as opaque.
    frame : where the film lies in the square that the network saw.
    field : the lungs and the zones that were scored; all that is drawn of them comes from here.
    embedding : (E,), distances are in units of extent.
    model : name, version and checksum of the weights.
    """

    pxs: float
    extent: float
    extent_low: float
    extent_high: float
    brixia: float
    zones: tuple[float, ...]
    heat: NDArray[np.float32]
    frame: Frame
    field: LungField
    embedding: NDArray[np.float32]
    model: str

    def heat_on_film(self, shape: tuple[int, int] | None = None) -> NDArray[np.float32]:
        """The heat map on the film, (H, W) in [0, 1].

        Parameters
        ----------
        shape : (H, W) of a smaller copy of the film; the film's own where it is None.
        """
        frame = replace(self.frame, shape=shape or self.frame.shape)
        return np.clip(from_frame(self.heat, frame), 0.0, 1.0)

    def zone_masks(self, shape: tuple[int, int] | None = None) -> NDArray[np.bool_]:
        """(6, H, W) the zones that were scored, on the film or a smaller copy of it."""
        return self.field.on(shape or self.field.frame.shape).zones_on_film()


@dataclass(frozen=True, slots=True)
class ZoneChange:
    """The change of one zone's score between two films of one patient.

    Parameters
    ----------
    zone : its name, of `ZONES`.
    change : current minus prior, -3 to 3; positive is worse.
    low, high : 90 % interval of the readers' change, from held-out pairs.
    probability_real : 1 minus the chance that a zone of an unchanged lung differs by as much.
    """

    zone: str
    change: float
    low: float
    high: float
    probability_real: float


@dataclass(frozen=True, slots=True)
class SeverityChange:
    """The change between two films of one patient.

    Parameters
    ----------
    extent_change : current minus prior, -8 to 8; positive is worse.
    low, high : 90 % interval of the readers' change, from held-out pairs.
    probability_real : 1 minus the chance that films of an unchanged lung differ by as much.
    zones : the change of each of the six zones, order `ZONES`.
    """

    extent_change: float
    low: float
    high: float
    probability_real: float
    model: str
    zones: tuple[ZoneChange, ...] = ()


def score(radiograph: Radiograph, structures: Structures | None = None) -> Severity:
    """Score one frontal film.

    Parameters
    ----------
    structures : of the same film, where it was labelled already.

    Raises
    ------
    Refusal : `blank`, where the film has no contrast; `unlike_training`, where it is mirrored or
        no lung was found; `not_chest`, where one lung lies outside the film.
    ValueError : pixels that are not a finite (H, W) array, or the structures of another film.
    """
    model, anchors, calibration = _network(WEIGHTS)
    _check_pixels(radiograph.pixels)
    seen = view_of(radiograph.pixels, structures or label(radiograph))
    out = model.run({"film": seen.film[None, None], "zone_masks": seen.zones[None]})
    if float(out["mirrored"][0]) > float(model.card.parameters["mirrored_above"]):
        raise Refusal(
            "unlike_training",
            "expected the heart on the patient's left, found the film mirrored; check its "
            "orientation, and read it without a score where the heart does lie on the right",
        )
    extent = float(np.clip(out["extent"][0], 0.0, 1.0) * EXTENT_MAX)
    zones = tuple(float(one) for one in np.clip(out["zones"][0], 0.0, 1.0) * ZONE_MAX)
    embedding = out["embedding"][0]
    low, high = calibration.interval(extent)
    return Severity(
        pxs=float(np.median(np.linalg.norm(anchors - embedding, axis=1))),
        extent=extent,
        extent_low=low,
        extent_high=high,
        brixia=float(sum(zones)),
        zones=zones,
        heat=out["heat"][0],
        frame=seen.frame,
        field=seen.field,
        embedding=embedding,
        model=model.card.label,
    )


def score_many(radiographs: Sequence[Radiograph]) -> list[Severity]:
    """Score films in order; each exactly as `score` does.

    One by one: on a processor a batch is no faster, and a film's score must not depend on the
    films beside it.
    """
    return [score(radiograph) for radiograph in radiographs]


def change(prior: Severity, current: Severity) -> SeverityChange:
    """Signed change from `prior` to `current`, two films of one patient.

    Raises
    ------
    ValueError : the two were scored by different weights.
    """
    if prior.model != current.model:
        raise ValueError(
            f"expected two scores of one model, found {prior.model} and {current.model}: "
            "score both films again"
        )
    _, _, calibration = _network(WEIGHTS)
    difference = current.extent - prior.extent
    half = calibration.change_half_width
    return SeverityChange(
        extent_change=difference,
        low=max(-EXTENT_MAX, difference - half),
        high=min(EXTENT_MAX, difference + half),
        probability_real=calibration.probability_real(difference),
        model=current.model,
        zones=tuple(
            _zone_change(name, then, now, calibration)
            for name, then, now in zip(ZONES, prior.zones, current.zones, strict=True)
        ),
    )


def _zone_change(name: str, then: float, now: float, calibration: Calibration) -> ZoneChange:
    difference, half = now - then, calibration.zone_half_width
    return ZoneChange(
        zone=name,
        change=difference,
        low=max(-ZONE_MAX, difference - half),
        high=min(ZONE_MAX, difference + half),
        probability_real=calibration.zone_probability_real(difference),
    )


def _check_pixels(pixels: NDArray[np.float32]) -> None:
    if pixels.ndim != 2 or not np.isfinite(pixels).all():
        raise ValueError(
            f"expected finite pixels of shape (H, W), found shape {pixels.shape}: "
            "read the film with models.radiograph"
        )


_READING = threading.Lock()


def _network(folder: Path) -> tuple[runtime.Model, NDArray[np.float32], Calibration]:
    with _READING:
        return _read_network(folder)


@lru_cache(maxsize=4)
def _read_network(folder: Path) -> tuple[runtime.Model, NDArray[np.float32], Calibration]:
    model = runtime.load(folder)
    path = folder / ANCHORS_NAME
    parameters = model.card.parameters
    found = runtime.file_sha256(path) if path.is_file() else "no file"
    if found != parameters["anchors_sha256"]:
        raise runtime.WeightsError(
            f"expected sha256 {parameters['anchors_sha256']} for {path}, found {found}: "
            "restore the anchors that belong to the card"
        )
    with np.load(path, allow_pickle=False) as stored:
        anchors = np.asarray(stored["embeddings"], np.float32)
    if len(parameters["zones"]) != len(ZONES):
        raise runtime.WeightsError(
            f"expected the zones {ZONES}, found {parameters['zones']}: install matching weights"
        )
    return model, anchors, calibration_from_parameters(parameters)
