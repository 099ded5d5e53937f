"""Does an unchanged lung stay unchanged, and is a new opacity found?

Unchanged pairs are one film and a copy of it that is turned, scaled, shifted, bent, cropped,
exposed otherwise (gamma, window, a smooth gradient), with noise and JPEG. Into some copies an
opacity is put. Real pairs are dated films of one patient whose zones two readers scored. All are of
patients that registration never learned from; the severity and structures networks may know them.
Half of the patients set the noise threshold (`--calibrate` writes it), the others are measured.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from benchmarks.bars import Bar, table
from models.frame import resize
from models.radiograph import Radiograph
from models.refusal import Refusal
from models.severity.figures import bootstrap, pearson
from models.severity.interval import conformal_quantile
from models.severity.predict import SeverityChange, change, score
from models.severity.zones import BRIXIA_LETTERS
from models.structures.predict import label
from registration.change import (
    NOISE,
    beyond,
    least_threshold,
    shares,
    small_shape,
    strength,
    zones_of,
)
from registration.held_out import dated_pairs, unseen
from registration.predict import align
from registration.warp import identity_grid, warp

Pixels = NDArray[np.float32]
LONGEST = 768  # pixels of a film: the change map sees no finer
CALLED = 0.95  # probability_real from which a change is called
QUIET = 0.975  # share of the calibrating copies that the threshold leaves empty
MOST_SHOWN = 0.05  # of the area of zones in which readers saw no change, in the mean
FOUND = 0.2  # share of an opacity's area that the map must show
DENSITIES = (0.1, 0.2, 0.4)
BARS = (
    Bar("unchanged: no change of extent called", "unchanged/no_extent_called", low=0.95),
    Bar("unchanged: no zone called", "unchanged/no_zone_called", low=0.95),
    Bar("unchanged: change map empty", "unchanged/map_empty", low=0.95),
    Bar("unchanged: alignment passes its gate", "unchanged/aligned", low=0.95),
    Bar("opacity of density 0.2 or more found", "inserted/found", low=0.8),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two films compared.

    Parameters
    ----------
    kind : "unchanged", "inserted" or "real".
    strength, zones : (h, w) and (6, h, w), as `registration.change` sees them; None where the
        alignment was refused.
    scores : change of the scores.
    truth : (6,) the readers' change of the zones, real pairs; opacity : (h, w) where one was put.
    density, radius : of that opacity; the radius as a share of the film's width.
    """

    kind: str
    patient: str
    scores: SeverityChange
    strength: Pixels | None
    zones: NDArray[np.bool_] | None
    truth: NDArray[np.float64] | None = None
    opacity: NDArray[np.bool_] | None = None
    density: float = 0.0
    radius: float = 0.0

    def shown(self, threshold: float) -> Pixels:
        """(h, w) the change map at a threshold; empty where the alignment was refused."""
        if self.strength is None or self.zones is None:
            return np.zeros((1, 1), np.float32)
        return beyond(self.strength, self.zones, threshold)

    def net(self, threshold: float) -> NDArray[np.float64]:
        """(6,) share of each zone that became denser less that which cleared."""
        if self.zones is None:
            return np.zeros(6)
        found = shares(self.shown(threshold), self.zones)
        return np.array([one.denser - one.clearer for one in found])

    def area(self, threshold: float) -> NDArray[np.float64]:
        """(6,) share of each zone that changed either way."""
        if self.zones is None:
            return np.zeros(6)
        found = shares(self.shown(threshold), self.zones)
        return np.array([one.denser + one.clearer for one in found])


def calibrates(patient: str) -> bool:
    """Whether a patient is of the half that sets the threshold."""
    return sha256(patient.encode()).digest()[0] % 2 == 0


def film(path: Path) -> Pixels:
    """A film of the data folder, (H, W) in [0, 1]."""
    picture = Image.open(path).convert("L")
    picture.thumbnail((LONGEST, LONGEST), Image.Resampling.BILINEAR)
    return np.asarray(picture, np.float32) / np.float32(255)


def moved(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """The film as the patient would stand another day: turned, scaled, shifted, bent, cropped."""
    height, width = pixels.shape
    grid = identity_grid((height, width))
    middle = np.array([height / 2, width / 2], np.float32).reshape(2, 1, 1)
    turn = np.radians(rng.normal(0, 2.5))
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = linear @ np.diag(np.exp(rng.normal(0, 0.03, 2)))
    at = np.tensordot(linear, grid - middle, 1) + middle + rng.normal(0, 0.02 * width, (2, 1, 1))
    bend = np.stack([resize(rng.normal(size=(5, 5)).astype(np.float32), (height, width))] * 2)
    bend[1] = resize(rng.normal(size=(5, 5)).astype(np.float32), (height, width))
    there = warp(pixels, np.asarray(at - grid + 0.006 * width * bend, np.float32))
    top, bottom, left, right = (int(rng.uniform(0, 0.03) * width) for _ in range(4))
    return np.ascontiguousarray(there[top : height - bottom, left : width - right])


def exposed(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """The film from another console: gamma, window, a smooth gradient, noise, JPEG."""
    curved = np.power(pixels, np.float32(rng.uniform(0.75, 1.33)))
    rows, columns = (np.linspace(-1, 1, length, dtype=np.float32) for length in pixels.shape)
    down, across = rng.uniform(-0.08, 0.08, 2)
    slope = 1 + np.float32(down) * rows[:, None] + np.float32(across) * columns
    windowed = rng.uniform(0.85, 1.1) * curved * slope + rng.uniform(-0.05, 0.05)
    noisy = np.clip(windowed + rng.normal(0, 0.01, pixels.shape), 0, 1)
    file = io.BytesIO()
    Image.fromarray(np.rint(noisy * 255).astype(np.uint8)).save(file, format="JPEG", quality=80)
    return np.asarray(Image.open(file), np.float32) / np.float32(255)


def with_opacity(
    pixels: Pixels, rng: np.random.Generator
) -> tuple[Pixels, NDArray[np.bool_], float, float]:
    """The film with a soft round opacity in a lung; where it lies, its density and radius."""
    structures = label(Radiograph(pixels))
    lungs = zones_of(structures, (pixels.shape[0], pixels.shape[1])).any(axis=0)
    inside = np.argwhere(lungs)
    centre = inside[rng.integers(len(inside))].reshape(2, 1, 1)
    width = pixels.shape[1]
    radius, density = rng.uniform(0.04, 0.10), float(rng.choice(DENSITIES))
    away = np.sqrt(np.square(identity_grid((pixels.shape[0], width)) - centre).sum(axis=0))
    soft = 1 / (1 + np.exp(np.clip((away - radius * width) / (0.01 * width), -30, 30)))
    soft = np.where(lungs, soft, 0).astype(np.float32)
    veiled = pixels + np.float32(density) * soft * np.clip(0.9 - pixels, 0, None)
    return veiled, soft > 0.5, density, float(radius)


def compared(prior: Pixels, current: Pixels, **known: Any) -> Pair:
    """Two films through the models, as the service does it."""
    films = (Radiograph(prior), Radiograph(current))
    labels = (label(films[0]), label(films[1]))
    scores = change(*(score(one, two) for one, two in zip(films, labels, strict=True)))
    found = align(*films, *labels)
    if found.status != "ok":
        return Pair(scores=scores, strength=None, zones=None, **known)
    shape = small_shape(current.shape)
    zones = zones_of(labels[1], shape)
    apart = strength(resize(current, shape), resize(found.warped_prior, shape), zones)
    if "opacity" in known:
        known["opacity"] = resize(known["opacity"].astype(np.float32), shape) > 0.5
    return Pair(scores=scores, strength=apart, zones=zones, **known)


def pairs(data: Path, films: int, real: int, *, calibrating: bool) -> Iterator[Pair]:
    """Of so many films the unchanged pairs and, where they are measured, one with an opacity each;
    and so many real pairs. Patients that only calibrate are left out where nothing is calibrated.
    """
    listed = pd.read_csv(data / "radiographs.csv")
    unknown = listed[unseen(listed)]
    chosen = unknown.groupby("patient", sort=False).sample(1, random_state=0)
    for number, (name, patient) in enumerate(
        chosen.sample(min(films, len(chosen)), random_state=0)[["file", "patient"]].to_numpy()
    ):
        if calibrates(str(patient)) and not calibrating:
            continue
        rng = np.random.default_rng(number)
        try:
            first = film(data / name)
            second = moved(first, rng)
            yield compared(first, exposed(second, rng), kind="unchanged", patient=str(patient))
            if not calibrates(str(patient)):
                veiled, where, density, radius = with_opacity(second, rng)
                yield compared(
                    first,
                    exposed(veiled, rng),
                    kind="inserted",
                    patient=str(patient),
                    opacity=where,
                    density=density,
                    radius=radius,
                )
        except Refusal:
            continue
    zones = sum(
        listed[[f"brixia_{reader}_{letter}" for letter in BRIXIA_LETTERS]].to_numpy(np.float64)
        for reader in ("S", "J")
    )
    known = ~np.isnan(np.asarray(zones)).any(axis=1)
    read = [(i, j) for i, j in dated_pairs(listed) if known[i] and known[j]]
    for i, j in read[:real]:
        if calibrates(str(listed.patient[i])) and not calibrating:
            continue
        try:
            yield compared(
                film(data / listed.file[i]),
                film(data / listed.file[j]),
                kind="real",
                patient=str(listed.patient[i]),
                truth=(np.asarray(zones)[j] - np.asarray(zones)[i]) / 2,
            )
        except Refusal:
            continue


def calibrated(found: list[Pair]) -> dict[str, Any]:
    """The threshold: the larger of the noise of copies and that of lungs that readers saw alike."""
    copies = [one for one in found if one.kind == "unchanged" and one.strength is not None]
    least = [least_threshold(one.strength, one.zones) for one in copies]  # type: ignore[arg-type]  # aligned: both are there
    of_copies = conformal_quantile(np.asarray(least), QUIET)
    real = [one for one in found if one.kind == "real" and one.strength is not None]
    alike = np.concatenate([one.truth == 0 for one in real if one.truth is not None])
    of_lungs = 0.0
    for step in np.arange(0.01, 1.0, 0.01):
        of_lungs = float(step)
        shown = np.concatenate([one.area(of_lungs) for one in real])
        if shown[alike].mean() <= MOST_SHOWN:
            break
    return {
        "threshold": round(max(of_copies, of_lungs), 4),
        "noise_of_copies": round(of_copies, 4),
        "noise_of_unchanged_zones": round(of_lungs, 4),
        "copies": len(copies),
        "zones_that_readers_saw_alike": int(alike.sum()),
        "patients": len({one.patient for one in (*copies, *real)}),
        "unit": "standard deviations of the surroundings, of ranks of shades",
        "command": "python -m benchmarks.change --data DIR --calibrate",
    }


def figures(found: list[Pair], threshold: float) -> dict[str, Any]:
    """All figures at a threshold, with intervals from draws of whole patients."""
    by_kind = {kind: [one for one in found if one.kind == kind] for kind in KINDS}
    return {
        "threshold": threshold,
        "unchanged": unchanged(by_kind["unchanged"], threshold),
        "inserted": inserted(by_kind["inserted"], threshold),
        "real": real_pairs(by_kind["real"], threshold),
    }


KINDS = ("unchanged", "inserted", "real")


def mean_of(values: list[float], chosen: list[Pair]) -> dict[str, Any]:
    """A mean with its interval."""
    patient = pd.factorize(np.array([one.patient for one in chosen]))[0].astype(np.int64)
    kept = np.asarray(values, np.float64)
    return bootstrap(lambda at: float(kept[at].mean()), np.arange(len(kept)), patient)


def unchanged(chosen: list[Pair], threshold: float) -> dict[str, Any]:
    """Shares of unchanged pairs in which nothing is called or drawn."""
    aligned = [one for one in chosen if one.strength is not None]
    quiet = [float(one.scores.probability_real < CALLED) for one in chosen]
    still = [
        float(all(zone.probability_real < CALLED for zone in one.scores.zones)) for one in chosen
    ]
    empty = [float(not one.shown(threshold).any()) for one in aligned]
    return {
        "no_extent_called": mean_of(quiet, chosen),
        "no_zone_called": mean_of(still, chosen),
        "map_empty": mean_of(empty, aligned),
        "aligned": mean_of([float(one.strength is not None) for one in chosen], chosen),
    }


def inserted(chosen: list[Pair], threshold: float) -> dict[str, Any]:
    """How often an opacity is found, by density and size, and how well the place is met."""
    seen = [one for one in chosen if one.opacity is not None and one.strength is not None]
    covered, overlap = [], []
    for one in seen:
        denser, truth = one.shown(threshold) > 0, one.opacity
        assert truth is not None
        both = float((denser & truth).sum())
        covered.append(both / max(float(truth.sum()), 1.0))
        overlap.append(2 * both / max(float(denser.sum() + truth.sum()), 1.0))
    rows = list(zip(seen, covered, overlap, strict=True))

    def found(parts: list[tuple[Pair, float, float]]) -> dict[str, Any]:
        return mean_of([float(part[1] >= FOUND) for part in parts], [part[0] for part in parts])

    dense = [row for row in rows if row[0].density >= DENSITIES[1]]
    hits = [row for row in dense if row[1] >= FOUND]
    return {
        "found": found(dense),
        **{f"found at {d}": found([row for row in rows if row[0].density == d]) for d in DENSITIES},
        "found, small": found([row for row in dense if row[0].radius < 0.07]),
        "found, large": found([row for row in dense if row[0].radius >= 0.07]),
        "dice_with_true_place": mean_of([row[2] for row in hits], [row[0] for row in hits]),
    }


def real_pairs(chosen: list[Pair], threshold: float) -> dict[str, Any]:
    """Zone changes of scores and map beside the readers'."""
    aligned = [one for one in chosen if one.strength is not None and one.truth is not None]
    if not aligned:
        return {}
    truth = np.concatenate([one.truth for one in aligned if one.truth is not None])
    said = np.concatenate([[zone.change for zone in one.scores.zones] for one in aligned])
    net = np.concatenate([one.net(threshold) for one in aligned])
    area = np.concatenate([one.area(threshold) for one in aligned])
    names = pd.factorize(np.array([one.patient for one in aligned]))[0].astype(np.int64)
    patient = np.repeat(names, 6)
    rows = np.arange(len(truth))
    clear, alike = np.flatnonzero(np.abs(truth) >= 1), np.flatnonzero(truth == 0)
    shown = np.where(np.abs(net) >= MOST_SHOWN, np.sign(net), 0)
    right, wrong = shown == np.sign(truth), shown == -np.sign(truth)
    return {
        "scores_r (weights may know the films)": bootstrap(
            lambda at: pearson(said[at], truth[at]), rows, patient
        ),
        "map_r": bootstrap(lambda at: pearson(net[at], truth[at]), rows, patient),
        "map_right_where_readers_saw_one_point": bootstrap(
            lambda at: float(right[at].mean()), clear, patient
        ),
        "map_opposite_where_readers_saw_one_point": bootstrap(
            lambda at: float(wrong[at].mean()), clear, patient
        ),
        "map_shows_where_readers_saw_none": bootstrap(
            lambda at: float((area[at] >= MOST_SHOWN).mean()), alike, patient
        ),
    }


def main() -> int:
    """Print the table; 1 where a bar is missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=Path("../shared/data"))
    options.add_argument("--films", type=int, default=56)
    options.add_argument("--pairs", type=int, default=40)
    options.add_argument("--calibrate", action="store_true", help=f"write {NOISE.name}")
    options.add_argument("--keep", action="store_true", help=f"write the figures to {NOISE.name}")
    chosen = options.parse_args()
    found = list(pairs(chosen.data, chosen.films, chosen.pairs, calibrating=chosen.calibrate))
    checked = [one for one in found if not calibrates(one.patient)]
    kept = json.loads(NOISE.read_text(encoding="utf-8")) if NOISE.is_file() else {}
    if chosen.calibrate:
        kept = calibrated([one for one in found if calibrates(one.patient)])
    measured = figures(checked, float(kept["threshold"]))
    if chosen.calibrate or chosen.keep:
        NOISE.write_text(json.dumps({**kept, "metrics": measured}, indent=2) + "\n", "utf-8")
    print(json.dumps(measured, indent=2))
    print("\n".join(table(BARS, measured)))
    return 0 if all(bar.is_kept(measured) for bar in BARS) else 1


if __name__ == "__main__":
    raise SystemExit(main())
