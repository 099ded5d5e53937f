"""Label twenty structures on a film. Numpy in, a frozen record out; no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from models import runtime
from models.frame import Frame, fit, percentiles, resize, shrunk, stretch, to_frame
from models.radiograph import Radiograph
from models.structures.anatomy import STRUCTURES

WEIGHTS = Path(__file__).with_name("weights")

_SCATTERED = frozenset(("right_ribs", "left_ribs"))
"""Structures that lie on a film in several pieces; of every other the largest piece is kept."""


@dataclass(frozen=True, slots=True)
class Structures:
    """The labels of one film.

    Parameters
    ----------
    probabilities : (20, S, S) in [0, 1] over the network's frame, order of `STRUCTURES`; above one
        half is inside. S is half the frame's side: enlarge only what is shown.
    frame : where the film lies in the frame.
    visible : (20,) whether a structure is there and large and certain enough to be used.
    spacing_mm : (row, column) distance between the film's pixel centres, or None.
    model : label of the weights.
    """

    probabilities: NDArray[np.float32]
    frame: Frame
    visible: tuple[bool, ...]
    spacing_mm: tuple[float, float] | None
    model: str

    def masks(self) -> NDArray[np.bool_]:
        """(20, H, W) on the film's grid."""
        masks = np.zeros((len(STRUCTURES), *self.frame.shape), bool)
        for mask, probability in zip(masks, self.probabilities, strict=True):
            _enlarge(probability, self.frame, mask)
        return masks

    def mask(self, name: str) -> NDArray[np.bool_]:
        """(H, W) of one structure on the film's grid.

        Raises
        ------
        ValueError : `name` is none of `STRUCTURES`.
        """
        mask = np.zeros(self.frame.shape, bool)
        _enlarge(self.probabilities[STRUCTURES.index(name)], self.frame, mask)
        return mask

    def areas_px(self) -> tuple[float, ...]:
        """Area of each structure in film pixels."""
        rows, columns = self.frame.scale
        size = self.frame.size
        fine = [resize(one, (size, size)) > 0.5 for one in self.probabilities]
        return tuple(float(one.sum()) / (rows * columns) for one in fine)

    def areas_mm2(self) -> tuple[float | None, ...]:
        """Area of each structure in mm2, None where invisible or the spacing is unknown.

        Sizes are those at the plane that the spacing refers to: without correction for the cone
        beam's magnification they are up to a fifth too large.
        """
        if self.spacing_mm is None:
            return (None,) * len(STRUCTURES)
        pixel_mm2 = self.spacing_mm[0] * self.spacing_mm[1]
        return tuple(
            area * pixel_mm2 if seen else None
            for area, seen in zip(self.areas_px(), self.visible, strict=True)
        )


def label(radiograph: Radiograph) -> Structures:
    """Label the twenty structures of a frontal film.

    Raises
    ------
    models.runtime.WeightsError : the shipped weights are missing or damaged.
    """
    model = runtime.load(WEIGHTS)
    return label_with(
        lambda film: model.run({"film": film})["probabilities"], model.card, radiograph
    )


def label_with(
    network: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    card: runtime.ModelCard,
    radiograph: Radiograph,
) -> Structures:
    """Label a film with any network: frames (1, 1, F, F) in, probabilities (1, 20, S, S) out."""
    frame = fit(radiograph.pixels.shape, int(card.parameters["frame_size"]))
    film = _framed(radiograph.pixels, frame)
    raw = network(film[None, None])[0]
    if not film.any():  # a film without contrast shows nothing
        raw = np.zeros_like(raw)
    probabilities = np.stack([_tidy(n, p) for n, p in zip(STRUCTURES, raw, strict=True)])
    return Structures(
        probabilities=_within_film(probabilities, frame),
        frame=frame,
        visible=_visible(probabilities, card),
        spacing_mm=radiograph.spacing_mm,
        model=card.label,
    )


def _framed(pixels: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """The stretched film on its frame; a large film is shrunk before anything is done to it."""
    small = shrunk(pixels, 2 * frame.size)
    film = stretch(small, *percentiles(pixels))
    return to_frame(film, replace(frame, shape=(small.shape[0], small.shape[1])))


def confidence(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """(20, S, S) to (20,): mean probability inside each mask; 0 where the mask is empty."""
    inside = probabilities > 0.5
    count = inside.sum((1, 2))
    return np.where(count, (probabilities * inside).sum((1, 2)) / np.maximum(count, 1), 0.0)


def _visible(probabilities: NDArray[np.float32], card: runtime.ModelCard) -> tuple[bool, ...]:
    least_area = np.asarray(card.parameters["least_area"])
    least_confidence = np.asarray(card.parameters["least_confidence"])
    area = (probabilities > 0.5).mean((1, 2))
    seen = (area >= least_area) & (confidence(probabilities) >= least_confidence) & (area > 0)
    return tuple(bool(one) for one in seen)


def _tidy(name: str, probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keep the largest piece of a structure that is one piece on a film."""
    if name in _SCATTERED:
        return probability
    pieces, count = ndimage.label(probability > 0.5)
    if count < 2:
        return probability
    largest = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    others = (pieces > 0) & ~largest
    near = ndimage.binary_dilation(others, iterations=2) & ~ndimage.binary_dilation(largest)
    return np.where(near, np.minimum(probability, np.float32(0.49)), probability)


def _within_film(probabilities: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """Zero in the letterbox's bars, one cell away from the film."""
    share = probabilities.shape[-1] / frame.size
    top, left = int(frame.top * share) - 1, int(frame.left * share) - 1
    bottom = int(np.ceil((frame.top + frame.inner[0]) * share)) + 1
    right = int(np.ceil((frame.left + frame.inner[1]) * share)) + 1
    kept = np.zeros_like(probabilities)
    film = (slice(None), slice(max(0, top), bottom), slice(max(0, left), right))
    kept[film] = probabilities[film]
    return kept


def _enlarge(probability: NDArray[np.float32], frame: Frame, mask: NDArray[np.bool_]) -> None:
    """Write where `probability` exceeds one half on the film's grid, looking only where it may."""
    inside = probability > 0.5
    if not inside.any():
        return
    share = probability.shape[-1] / frame.size
    spans, boxes = [], []
    for axis, offset in ((1, frame.top), (0, frame.left)):
        cells = np.flatnonzero(inside.any(axis=axis))
        along = 1 - axis
        scale = frame.inner[along] * share / frame.shape[along]  # cells per film pixel
        first = int(np.floor((cells[0] - 1 - offset * share) / scale))
        last = int(np.ceil((cells[-1] + 2 - offset * share) / scale))
        first, last = max(0, first), min(frame.shape[along], last)
        spans.append(slice(first, last))
        boxes.append((first * scale + offset * share, last * scale + offset * share))
    (top, bottom), (left, right) = boxes
    size = (spans[1].stop - spans[1].start, spans[0].stop - spans[0].start)
    if min(size) <= 0:
        return
    picture = Image.fromarray(np.ascontiguousarray(probability))
    edge = probability.shape[-1]
    box = (left, top, min(right, edge), min(bottom, edge))
    large = picture.resize(size, Image.Resampling.BILINEAR, box=box)
    np.greater(np.asarray(large), 0.5, out=mask[spans[0], spans[1]])
