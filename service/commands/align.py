"""`carina align PRIOR CURRENT -o DIR`: two films, one grid, pictures and arrays."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models import quality
from models.radiograph import Radiograph, read_file
from models.refusal import Refusal
from models.severity.predict import Severity, change, score
from models.structures.anatomy import STRUCTURES
from models.structures.predict import Structures
from registration.predict import Alignment
from registration.predict import align as align_films
from service.errors import UsageError

NOTICE = "Research use only. Not a medical device."


def run(prior: Path, current: Path, out: Path) -> int:
    """Write alignment.json, arrays.npz and four PNGs into `out`; 0 done, 1 refused.

    Raises
    ------
    UsageError : a film is not there, or `out` is a file.
    """
    for film in (prior, current):
        if not film.is_file():
            raise UsageError(f"expected a film at {film}, found no such file: check the path")
    if out.exists() and not out.is_dir():
        raise UsageError(f"expected a folder for -o, found the file {out}: name a folder")
    out.mkdir(parents=True, exist_ok=True)
    try:
        films = [_film(prior, "prior"), _film(current, "current")]
        found = align_films(films[0], films[1])
        summary = _summary(found, films[0], films[1])
    except Refusal as refusal:
        _write_json(out, _refused(refusal))
        return 1
    _write_arrays(out, found)
    _write_pictures(out, found, films[0], films[1])
    _write_json(out, summary)
    return 0 if found.status == "ok" else 1


def _film(path: Path, which: str) -> Radiograph:
    try:
        film = read_file(path)
        quality.check(film)
    except Refusal as refusal:
        raise Refusal(refusal.code, f"{which} film: {refusal.message}") from refusal
    return film


def _scored(film: Radiograph, structures: Structures, which: str) -> Severity:
    try:
        return score(film, structures)
    except Refusal as refusal:
        raise Refusal(refusal.code, f"{which} film: {refusal.message}") from refusal


def _summary(found: Alignment, prior: Radiograph, current: Radiograph) -> dict[str, Any]:
    before = _scored(prior, found.prior_structures, "prior")
    after = _scored(current, found.current_structures, "current")
    return {
        "status": found.status,
        "reason": found.reason,
        "notice": NOTICE,
        "structures": list(STRUCTURES),
        "dice_before": found.dice_before,
        "dice_after": found.dice_after,
        "folding_fraction": found.folding_fraction,
        "seconds_label": round(found.seconds_label, 4),
        "seconds_align": round(found.seconds_align, 4),
        "change": {
            **asdict(change(before, after)),
            "prior_extent": [before.extent_low, before.extent, before.extent_high],
            "current_extent": [after.extent_low, after.extent, after.extent_high],
            "interval": "extent as [low, estimate, high], 90 % interval; positive change is worse",
        },
        "models": {
            "registration": found.model,
            "structures": found.current_structures.model,
            "severity": after.model,
        },
    }


def _refused(refusal: Refusal) -> dict[str, Any]:
    return {
        "status": "refused",
        "reason": refusal.code,
        "message": refusal.message,
        "notice": NOTICE,
        "dice_before": {},
        "dice_after": {},
        "folding_fraction": None,
        "seconds_label": None,
        "seconds_align": None,
        "change": None,
    }


def _write_json(out: Path, summary: dict[str, Any]) -> None:
    text = json.dumps(summary, indent=2, allow_nan=False)
    (out / "alignment.json").write_text(text + "\n", encoding="utf-8")


def _write_arrays(out: Path, found: Alignment) -> None:
    np.savez_compressed(
        out / "arrays.npz",
        structures=np.array(STRUCTURES),
        labels_prior=found.prior_structures.masks(),
        labels_current=found.current_structures.masks(),
        warped_prior=found.warped_prior,
        field_px=found.field_px,
    )


def _write_pictures(out: Path, found: Alignment, prior: Radiograph, current: Radiograph) -> None:
    save_grey(out / "prior.png", prior.pixels)
    save_grey(out / "current.png", current.pixels)
    save_grey(out / "aligned.png", found.warped_prior)
    Image.fromarray(difference_colours(found.difference, current.pixels)).save(
        out / "difference.png"
    )


def save_grey(path: Path, pixels: NDArray[np.float32]) -> None:
    """Save (H, W) in [0, 1] as an 8-bit grey PNG."""
    Image.fromarray((np.clip(pixels, 0, 1) * 255).round().astype(np.uint8)).save(path)


def difference_colours(
    difference: NDArray[np.float32], film: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """(H, W, 3): the film with what became denser in orange and what cleared in blue."""
    strength = np.clip(np.abs(difference) / 0.35, 0, 1)[..., None]
    denser = np.array([230, 120, 20], np.float32)
    cleared = np.array([40, 130, 220], np.float32)
    colour = np.where(difference[..., None] > 0, denser, cleared)
    grey = np.repeat((np.clip(film, 0, 1) * 255)[..., None], 3, axis=-1)
    return np.asarray(grey * (1 - strength) + colour * strength, np.uint8)
