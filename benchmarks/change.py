"""Does an unchanged lung stay unchanged, and is a new opacity found?

Unchanged pairs are one film and a copy of it that `registration.known` makes: turned, scaled,
shifted, bent, cropped, exposed otherwise (gamma, window, a smooth gradient), with noise and JPEG.
Into such copies an opacity of each density is put, and into the later film of real pairs. Real
pairs are dated films of one patient, one after the other, whose zones two readers scored. All are
of patients that registration never learned from; the severity and structures networks may know
them. Half of the patients set the noise threshold (`--calibrate` writes it), the others are
measured.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from benchmarks.bars import Bar, table
from models.frame import from_frame, resize
from models.radiograph import Radiograph
from models.refusal import Refusal
from models.severity.figures import bootstrap, pearson
from models.severity.interval import conformal_quantile
from models.severity.predict import Severity, SeverityChange, change, score
from models.severity.zones import BRIXIA_LETTERS
from models.structures.predict import Structures, label
from registration import known
from registration.change import (
    NOISE,
    beyond,
    least_threshold,
    opacity_change,
    shares,
    small_shape,
    strength,
    zones_of,
)
from registration.held_out import unseen
from registration.predict import align

Pixels = NDArray[np.float32]
LONGEST = 768  # pixels of a film: the change map sees no finer
CALLED = 0.95  # probability_real from which a change is called
QUIET = 0.965  # share of the calibrating copies that the threshold leaves empty
MOST_SHOWN = 0.05  # of the area of zones in which readers saw no change, in the mean
FOUND = 0.2  # share of an opacity's area that the map must show
VISIBLE = 0.05  # of the whole scale: by how much an opacity brightens its place to be seen at all
DENSITIES = (0.1, 0.2, 0.4)
IN_REAL = 0.4  # density of the opacity that is put into real pairs
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
    kind : of `KINDS`.
    strength, zones : (h, w) and (6, h, w), as `registration.change` sees them; None where the
        alignment was refused.
    scores : change of the scores.
    truth : (6,) the readers' change of the zones, real pairs; opacity : (h, w) where one was put.
    density : of that opacity. radius : of a disc of its area, as a share of the film's width.
    contrast : by how much it brightens its place in the mean, of the whole scale.
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
    contrast: float = 0.0

    def covered(self, threshold: float) -> float:
        """Share of the opacity that the map shows denser."""
        assert self.opacity is not None
        denser = self.shown(threshold) > 0
        return float((denser & self.opacity).sum()) / max(float(self.opacity.sum()), 1.0)

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


@dataclass(frozen=True, slots=True)
class Side:
    """A film with what the models say of it."""

    film: Radiograph
    structures: Structures
    severity: Severity


def side(pixels: Pixels) -> Side:
    """Label and score a film.

    Raises
    ------
    Refusal : it cannot be labelled or scored.
    """
    film = Radiograph(pixels)
    structures = label(film)
    return Side(film, structures, score(film, structures))


@dataclass(frozen=True, slots=True)
class Opacity:
    """A soft round opacity in a lung.

    Parameters
    ----------
    soft : (H, W) in [0, 1], zero outside the lungs. contrast : see `Pair`.
    """

    soft: Pixels
    density: float
    contrast: float

    @property
    def radius(self) -> float:
        """Of a disc of the same area, as a share of the film's width."""
        return float(np.sqrt((self.soft > 0.5).sum() / np.pi) / self.soft.shape[1])


def with_opacity(
    film: Radiograph, structures: Structures, density: float, rng: np.random.Generator
) -> tuple[Pixels, Opacity]:
    """The film with an opacity somewhere in its lungs."""
    lungs = structures.probabilities[:2].max(axis=0)
    soft = known.blob(lungs, film.pixels.shape, rng)
    soft = np.where(from_frame(lungs, structures.frame) > 0.5, soft, 0).astype(np.float32)
    ill = known.veiled(film.pixels, soft, density)
    inside = soft > 0.5
    rise = float((ill - film.pixels)[inside].mean()) if inside.any() else 0.0
    return ill, Opacity(soft, density, rise)


def compared(
    prior: Side, current: Side, kind: str, patient: str, opacity: Opacity | None = None, **more: Any
) -> Pair:
    """Two films through the models, as the service does it."""
    scored = (prior.severity, current.severity)
    scores = change(*scored)
    found = align(prior.film, current.film, prior.structures, current.structures, severities=scored)
    if found.status != "ok":
        return Pair(kind, patient, scores, strength=None, zones=None, **more)
    pixels = current.film.pixels
    shape = small_shape(pixels.shape)
    zones = zones_of(current.structures, shape)
    denser = opacity_change(*scored, found.field_px, shape)
    apart = strength(resize(pixels, shape), resize(found.warped_prior, shape), zones, denser)
    if opacity is not None:
        more["opacity"] = resize(opacity.soft, shape) > 0.5
        more |= {name: getattr(opacity, name) for name in ("density", "radius", "contrast")}
    return Pair(kind, patient, scores, apart, zones, **more)


def pairs(data: Path, films: int, *, calibrating: bool) -> Iterator[Pair]:
    """Known pairs of so many films, and all real pairs; those that calibrate only where wanted."""
    listed = pd.read_csv(data / "radiographs.csv", dtype={"patient": str})
    yield from known_pairs(data, listed, films, calibrates_too=calibrating)
    for prior, current, truth in read_pairs(listed):
        patient = str(listed.patient[current])
        if calibrates(patient) and not calibrating:
            continue
        try:
            then = side(film(data / listed.file[prior]))
            now = side(film(data / listed.file[current]))
            yield compared(then, now, "real", patient, truth=truth)
            if not calibrates(patient):
                rng = np.random.default_rng(current)
                ill, opacity = with_opacity(now.film, now.structures, IN_REAL, rng)
                yield compared(then, side(ill), "inserted in real", patient, opacity)
        except Refusal:
            continue


def known_pairs(
    data: Path, listed: pd.DataFrame, films: int, *, calibrates_too: bool
) -> Iterator[Pair]:
    """Of a film of each patient an unchanged copy; where measured, one with each density too.

    `films` of the patients that are measured, twice as many of those that calibrate.
    """
    chosen = listed[unseen(listed)].groupby("patient", sort=False).sample(1, random_state=0)
    chosen = chosen.sample(frac=1, random_state=0)
    half = chosen.patient.map(calibrates)
    measured = chosen[~half][:films]
    setting = chosen[half][: 2 * films] if calibrates_too else chosen[:0]
    for number, row in enumerate(pd.concat([measured, setting]).itertuples()):
        rng = np.random.default_rng(number)
        try:
            first = side(film(data / str(row.file)))
            moved = known.another_day(first.film, rng)
            second = side(known.console(moved.pixels, rng))
            yield compared(first, second, "unchanged", str(row.patient))
            for density in () if calibrates(str(row.patient)) else DENSITIES:
                ill, opacity = with_opacity(moved, label(moved), density, rng)
                second = side(known.console(ill, rng))
                yield compared(first, second, "inserted", str(row.patient), opacity)
        except Refusal:
            continue


def read_pairs(listed: pd.DataFrame) -> list[tuple[int, int, NDArray[np.float64]]]:
    """Rows (prior, current) of films that follow each other, and the readers' change of zones."""
    one, other = (
        listed[[f"brixia_{reader}_{letter}" for letter in BRIXIA_LETTERS]].to_numpy(np.float64)
        for reader in ("S", "J")
    )
    zones = (one + other) / 2
    read = listed[~np.isnan(zones).any(axis=1) & listed.day.notna()]
    found = []
    for _, group in read.sort_values("day", kind="stable").groupby("patient"):
        rows = [int(row) for row in group.index]
        found += [(i, j, zones[j] - zones[i]) for i, j in pairwise(rows)]
    return found


def calibrated(found: list[Pair]) -> dict[str, Any]:
    """The threshold: the larger of the noise of copies and that of lungs that readers saw alike."""
    copies = [one for one in found if one.kind == "unchanged" and one.strength is not None]
    least = [least_threshold(one.strength, one.zones) for one in copies]  # type: ignore[arg-type]  # aligned: both are there
    of_copies = conformal_quantile(np.asarray(least), QUIET)
    real = [one for one in found if one.kind == "real" and one.strength is not None]
    alike = np.concatenate([one.truth == 0 for one in real if one.truth is not None])
    of_lungs = 0.0
    for step in np.arange(0.02, 5.0, 0.02):
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
        "unit": "multiples of what the two films differ by in general",
        "command": "python -m benchmarks.change --data DIR --calibrate --keep",
    }


def figures(found: list[Pair], threshold: float) -> dict[str, Any]:
    """All figures at a threshold, with intervals from draws of whole patients."""
    by_kind = {kind: [one for one in found if one.kind == kind] for kind in KINDS}
    return {
        "threshold": threshold,
        "unchanged": unchanged(by_kind["unchanged"], threshold),
        "inserted": inserted(by_kind["inserted"], threshold),
        "inserted_in_real": {"found": found_in(by_kind["inserted in real"], threshold)},
        "real": real_pairs(by_kind["real"], threshold),
    }


KINDS = ("unchanged", "inserted", "inserted in real", "real")


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


def found_in(chosen: list[Pair], threshold: float) -> dict[str, Any]:
    """Share of the opacities of which the map shows `FOUND`."""
    seen = [one for one in chosen if one.opacity is not None]
    return mean_of([float(one.covered(threshold) >= FOUND) for one in seen], seen)


def inserted(chosen: list[Pair], threshold: float) -> dict[str, Any]:
    """How often an opacity is found, by density and size, and how well the place is met."""
    dense = [one for one in chosen if one.density >= DENSITIES[1]]
    visible = [one for one in dense if one.contrast >= VISIBLE]
    hits = [one for one in dense if one.opacity is not None and one.covered(threshold) >= FOUND]
    return {
        "found": found_in(dense, threshold),
        "visible": mean_of([float(one.contrast >= VISIBLE) for one in dense], dense),
        "found, visible": found_in(visible, threshold),
        **{
            f"found at {d}": found_in([one for one in chosen if one.density == d], threshold)
            for d in DENSITIES
        },
        "found, small": found_in([one for one in dense if one.radius < 0.06], threshold),
        "found, large": found_in([one for one in dense if one.radius >= 0.06], threshold),
        "dice_with_true_place": mean_of([dice(one, threshold) for one in hits], hits),
    }


def dice(one: Pair, threshold: float) -> float:
    """Overlap of what the map shows denser with the opacity, 0-1."""
    denser = one.shown(threshold) > 0
    assert one.opacity is not None
    both = 2 * float((denser & one.opacity).sum())
    return both / max(float(denser.sum() + one.opacity.sum()), 1.0)


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
    options.add_argument("--films", type=int, default=40, help="measured; twice as many calibrate")
    options.add_argument("--calibrate", action="store_true", help=f"write {NOISE.name}")
    options.add_argument("--keep", action="store_true", help=f"write the figures to {NOISE.name}")
    chosen = options.parse_args()
    found = list(pairs(chosen.data, chosen.films, calibrating=chosen.calibrate))
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
