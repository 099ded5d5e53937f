"""The pictures and arrays kept with a result: what the viewer and the SEG are made from."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.frame import Frame, fit, from_frame, resize
from models.radiograph import Radiograph
from models.severity.zones import ZONES
from models.structures.anatomy import STRUCTURES

if TYPE_CHECKING:  # the science is loaded by whoever runs a study
    from models.severity.predict import Severity
    from models.structures.predict import Structures
    from registration.predict import Alignment

FILM_LONGEST = 2048  # a ward screen shows no more; the original stays in the object store
OVERLAY_LONGEST = 768  # heat, difference and contours carry no finer detail
Polylines = list[list[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Artifact:
    """Bytes to be kept: `name` as in `StudyResult.artifacts`, `suffix` names the format."""

    name: str
    suffix: str
    data: bytes


def within(shape: tuple[int, int], longest: int) -> tuple[int, int]:
    """(H, W) made to fit: the longer side at most `longest` pixels, never enlarged."""
    scale = min(1.0, longest / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def png16(image: NDArray[np.float32], shape: tuple[int, int]) -> bytes:
    """(H, W) in [0, 1] as 16-bit grey PNG of `shape`."""
    grey = np.round(np.clip(resize(image, shape), 0, 1) * 65535).astype(np.uint16)
    return _png(Image.fromarray(grey))


def png8(image: NDArray[np.float32], shape: tuple[int, int]) -> bytes:
    """(H, W) in [0, 1] as 8-bit grey PNG of `shape`."""
    grey = np.round(np.clip(resize(image, shape), 0, 1) * 255).astype(np.uint8)
    return _png(Image.fromarray(grey))


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    # Run lengths after the filter: on films faster than level 1 by a third, and smaller.
    image.save(file, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return file.getvalue()


def film_artifacts(radiograph: Radiograph) -> list[Artifact]:
    """The film for the viewer (16-bit PNG) and its geometry ("viewer", JSON).

    The JSON holds `height`, `width` of the film artifact in pixels, `spacing_mm` (row, column) of
    those pixels or null, `original_height`, `original_width`, and `scale` (row, column): artifact
    pixels per original pixel.
    """
    height, width = radiograph.pixels.shape
    shape = within((height, width), FILM_LONGEST)
    scale = (shape[0] / height, shape[1] / width)
    spacing = radiograph.spacing_mm
    viewer = {
        "height": shape[0],
        "width": shape[1],
        "spacing_mm": spacing and [spacing[0] / scale[0], spacing[1] / scale[1]],
        "original_height": height,
        "original_width": width,
        "scale": list(scale),
    }
    return [
        Artifact("film", ".png", png16(radiograph.pixels, shape)),
        Artifact("viewer", ".json", json.dumps(viewer).encode()),
    ]


def heat_artifact(severity: Severity) -> Artifact:
    """Where the severity was seen, 8-bit grey PNG over the whole film."""
    shape = within(severity.frame.shape, OVERLAY_LONGEST)
    return Artifact("heat", ".png", png8(severity.heat_on_film(shape), shape))


def zones_artifact(
    severity: Severity, contours: Callable[[NDArray[np.bool_]], Polylines]
) -> Artifact:
    """The six zones that were scored, as outlines ("zones", JSON like "contours")."""
    film = within(severity.frame.shape, FILM_LONGEST)
    shape = within(film, OVERLAY_LONGEST)
    scale = np.array(film) / np.array(shape)
    outlines = {
        name: [_scaled(line, scale) for line in contours(mask)]
        for name, mask in zip(ZONES, severity.zone_masks(shape), strict=True)
    }
    return Artifact("zones", ".json", json.dumps(outlines, separators=(",", ":")).encode())


def structures_artifacts(
    structures: Structures, contours: Callable[[NDArray[np.bool_]], Polylines]
) -> list[Artifact]:
    """The structures as arrays ("structures", npz) and as outlines ("contours", JSON).

    The npz holds `probabilities` uint8 (20, S, S) over the network's frame (128 and above is
    inside), `shape`, `size`, `inner`, `corner` of that frame, `visible`, `names`, `model`. The
    JSON is {structure: [[[row, column], ...], ...]} in pixels of the film artifact, for the
    visible structures.
    """
    return [
        Artifact("structures", ".npz", _pack(structures)),
        Artifact("contours", ".json", _outlines(structures, contours)),
    ]


def _pack(structures: Structures) -> bytes:
    frame = structures.frame
    file = io.BytesIO()
    quantised = np.clip(np.floor(structures.probabilities * 256), 0, 255).astype(np.uint8)
    np.savez_compressed(
        file,
        probabilities=quantised,
        shape=np.array(frame.shape),
        size=np.array(frame.size),
        inner=np.array(frame.inner),
        corner=np.array((frame.top, frame.left)),
        visible=np.array(structures.visible),
        names=np.array(STRUCTURES),
        model=np.array(structures.model),
    )
    return file.getvalue()


def _outlines(structures: Structures, contours: Callable[[NDArray[np.bool_]], Polylines]) -> bytes:
    film = within(structures.frame.shape, FILM_LONGEST)
    shape = within(film, OVERLAY_LONGEST)
    scale = np.array(film) / np.array(shape)
    masks = from_frame(structures.probabilities, fit(shape, structures.frame.size)) > 0.5
    outlines: dict[str, list[list[list[float]]]] = {}
    for name, visible, mask in zip(STRUCTURES, structures.visible, masks, strict=True):
        if visible:
            outlines[name] = [_scaled(line, scale) for line in contours(mask)]
    return json.dumps(outlines, separators=(",", ":")).encode()


def _scaled(line: list[tuple[float, float]], scale: NDArray[np.float64]) -> list[list[float]]:
    """Move points between two grids over the same film; both measure from the film's corner."""
    points = np.asarray(line, float).reshape(-1, 2) * scale
    return [[round(float(row), 1), round(float(column), 1)] for row, column in points]


def unpack_structures(data: bytes) -> Structures:
    """Read the "structures" artifact back; the spacing of the film is not kept in it."""
    from models.structures.predict import Structures  # noqa: PLC0415

    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return Structures(
            probabilities=(arrays["probabilities"].astype(np.float32) + 0.5) / 256,
            frame=Frame(
                shape=_pair(arrays["shape"]),
                size=int(arrays["size"]),
                inner=_pair(arrays["inner"]),
                top=int(arrays["corner"][0]),
                left=int(arrays["corner"][1]),
            ),
            visible=tuple(bool(one) for one in arrays["visible"]),
            spacing_mm=None,
            model=str(arrays["model"]),
        )


def _pair(values: NDArray[Any]) -> tuple[int, int]:
    return int(values[0]), int(values[1])


def alignment_artifacts(alignment: Alignment) -> list[Artifact]:
    """The prior on this film's grid (16-bit PNG), the difference and the change map (8-bit PNG).

    In the last two 128 is none and brighter is denser than before; the change map holds only what
    exceeds the noise of unchanged lungs. Nothing is given where the alignment was refused.
    """
    if alignment.status != "ok" or alignment.change is None:
        return []
    height, width = alignment.warped_prior.shape
    film = within((height, width), FILM_LONGEST)
    overlay = within((height, width), OVERLAY_LONGEST)
    return [
        Artifact("aligned_prior", ".png", png16(alignment.warped_prior, film)),
        Artifact("difference", ".png", _signed(alignment.difference, overlay)),
        Artifact("change_map", ".png", _signed(alignment.change.map, overlay)),
    ]


def _signed(values: NDArray[np.float32], shape: tuple[int, int]) -> bytes:
    """(H, W) in [-1, 1] as 8-bit PNG of another shape, 128 is zero."""
    centred = (128 + 127 * np.clip(resize(np.asarray(values, np.float32), shape), -1, 1)) / 255
    return png8(np.asarray(centred, np.float32), shape)
