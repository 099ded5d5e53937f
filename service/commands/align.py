"""`carina align PRIOR CURRENT -o DIR`: two films, one grid, pictures and arrays."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from models import quality
from models.radiograph import Radiograph, read_file
from models.refusal import Refusal
from models.severity.predict import Severity, change, score
from models.structures.anatomy import STRUCTURES
from models.structures.predict import Structures
from registration.predict import Alignment
from registration.predict import align as align_films
from service.api import pictures
from service.change import zone_changes
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
    before, after = found.severities or (
        _scored(prior, found.prior_structures, "prior"),
        _scored(current, found.current_structures, "current"),
    )
    scores = change(before, after)
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
            **asdict(scores),
            "zones": [
                {**asdict(one), "agreement": one.agreement}
                for one in zone_changes(scores, found.change)
            ],
            "map": None
            if found.change is None
            else {
                "threshold": found.change.threshold,
                "empty": found.change.is_empty,
                "unit": "noise, in multiples of what the two films differ by in general",
            },
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
    known = {} if found.change is None else {"change_map": found.change.map}
    packed = pictures.npz(
        structures=pictures.names(STRUCTURES),
        labels_prior=found.prior_structures.masks(),
        labels_current=found.current_structures.masks(),
        warped_prior=found.warped_prior,
        field_px=found.field_px,
        **known,
    )
    (out / "arrays.npz").write_bytes(packed)


def _write_pictures(out: Path, found: Alignment, prior: Radiograph, current: Radiograph) -> None:
    lungs = np.asarray(found.current_structures.masks()[:2].any(axis=0), np.bool_)
    drawn = {
        "prior": pictures.grey_png(prior.pixels),
        "current": pictures.grey_png(current.pixels),
        "aligned": pictures.aligned_png(found.warped_prior, lungs, found.reason),
        "difference": pictures.change_png(current.pixels, found.change, found.reason),
    }
    for name, png in drawn.items():
        (out / f"{name}.png").write_bytes(png)
