"""Is this a frontal chest film that can be scored? numpy in, a refusal or nothing out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models import runtime
from models.frame import clip_percentiles, fit, to_frame
from models.pixel_data import check_size
from models.quality.kinds import REFUSED, is_elsewhere
from models.radiograph import Radiograph
from models.refusal import Refusal, RefusalCode

WEIGHTS = Path(__file__).with_name("weights")
FRAME_SIZE = 160
LEAST_CONTRAST = 0.03  # 1st to 99th percentile; the palest of 1,476 real films has 0.28
MOST_CLIPPED = 0.35  # of the middle of the film; the harshest of those films has 0.20
_SHADE = 1.5 / 255  # what lies this near the brightest or darkest value is clipped

_EXPECTED = {
    "not_frontal": "a frontal (AP or PA) film, found what looks like another view",
    "not_chest": "a chest film, found what looks like another part of the body or a part of a film",
    "unlike_training": "an upright radiograph of a chest, found a picture unlike those: a "
    "photograph, a drawing, a slice, or a film that is turned or negated",
}


@dataclass(frozen=True, slots=True)
class Look:
    """What the network sees in a picture.

    Parameters
    ----------
    probabilities : of `KINDS`, adding up to 1.
    distance : from the frontal films that it was trained on; 1 is as far as the farthest
        accepted one.
    """

    probabilities: tuple[float, ...]
    distance: float
    model: str


def check(radiograph: Radiograph, weights: Path = WEIGHTS) -> None:
    """Let an upright frontal chest film pass.

    Tags can only refuse (they are often missing and sometimes wrong); the pixels decide.

    Raises
    ------
    Refusal : `too_small`, `not_chest`, `not_frontal`, `blank`, `burned_over`, `unlike_training`.
    """
    height, width = radiograph.pixels.shape
    check_size(height, width)
    _check_tags(radiograph)
    _check_exposure(radiograph.pixels)
    seen = look(radiograph, weights)
    least = float(runtime.load(weights).card.parameters["least_frontal"])
    code = verdict(seen, least)
    if code is not None:
        raise Refusal(code, f"expected {_EXPECTED[code]}; check the film and send it again")


def verdict(seen: Look, least: float) -> RefusalCode | None:
    """The refusal that a look calls for, None where the film can be scored.

    Parameters
    ----------
    least : probability of `frontal` with which a film is accepted, from the model card.
    """
    if seen.probabilities[0] < least:
        return REFUSED[int(np.argmax(seen.probabilities[1:]))]
    return "unlike_training" if seen.distance > 1.0 else None


def look(radiograph: Radiograph, weights: Path = WEIGHTS) -> Look:
    """What the network sees, whatever the tags say."""
    model = runtime.load(weights)
    out = model.run({"film": framed(radiograph.pixels)[None, None]})
    probabilities = tuple(float(one) for one in out["kinds"][0])
    return Look(probabilities, float(out["distance"][0]), model.card.label)


def framed(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The film (H, W) as the network sees it: (160, 160) in [0, 1], letterboxed."""
    frame = fit((pixels.shape[0], pixels.shape[1]), FRAME_SIZE)
    return to_frame(clip_percentiles(pixels), frame)


def _check_tags(radiograph: Radiograph) -> None:
    if is_elsewhere(radiograph.body_part):
        raise Refusal(
            "not_chest",
            f"expected a chest film, found the body part {radiograph.body_part!r}; "
            "correct the tag if the film shows a chest",
        )
    if radiograph.view in ("LATERAL", "OTHER"):
        raise Refusal(
            "not_frontal",
            f"expected a frontal (AP or PA) film, found the view {radiograph.view}; "
            "correct the tag if the film is frontal",
        )


def _check_exposure(pixels: NDArray[np.float32]) -> None:
    low, high = np.percentile(pixels[::4, ::4], (1, 99))
    if high - low < LEAST_CONTRAST:
        raise Refusal("blank", "expected a film with contrast, found one shade; send it again")
    clipped = clipped_share(pixels)
    if clipped > MOST_CLIPPED:
        raise Refusal(
            "burned_over",
            f"expected shades in the middle of the film, found {clipped:.0%} of it fully black or "
            "white; send the film with its own window",
        )


def clipped_share(pixels: NDArray[np.float32]) -> float:
    """Share of the middle of a film (60 % of each side) at its brightest or darkest value."""
    height, width = pixels.shape
    middle = pixels[height // 5 : height - height // 5 : 2, width // 5 : width - width // 5 : 2]
    white = (middle >= pixels.max() - _SHADE).mean()
    black = (middle <= pixels.min() + _SHADE).mean()
    return float(white + black)
