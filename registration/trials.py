"""One pair of films through every method: what each makes of it, as numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from models.frame import Frame, from_frame
from models.radiograph import Radiograph
from models.structures.anatomy import STRUCTURES
from models.structures.predict import Structures, label
from registration import affine, baselines, known, quality
from registration.difference import difference
from registration.mapping import Mapping
from registration.pair import SIZE, side
from registration.predict import WEIGHTS, affine_between, align, map_between, net_of
from registration.warp import identity_grid, jacobian_determinant, sample, warp

Field = NDArray[np.float32]
POINTS = 300  # landmarks on a film
OPACITY = 0.25  # contrast of a painted opacity, of the whole scale
NEAR = 0.03  # of the width: how far from an opacity its mass is looked for
COMPARED = ("right_lung", "left_lung", "mediastinum")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two films, labelled as the service labels them."""

    prior: Radiograph
    current: Radiograph
    prior_structures: Structures
    current_structures: Structures


def pair(prior: Radiograph, current: Radiograph) -> Pair:
    """Label both films anew."""
    return Pair(prior, current, label(prior), label(current))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one method makes of one pair.

    Parameters
    ----------
    field_px : (2, H, W) on the current film, displacement to the prior film.
    inverse_px : (2, Hp, Wp) on the prior film; None where the method gives none.
    refused : whether the gate lets nothing be shown; the other methods have none.
    """

    field_px: Field
    inverse_px: Field | None = None
    refused: bool = False


def outcomes(two: Pair, weights: Path = WEIGHTS) -> dict[str, Outcome]:
    """Every method on one pair; all deformable ones begin at the same affine."""
    net, _ = net_of(weights)
    sides = side(two.prior, two.prior_structures), side(two.current, two.current_structures)
    matrix = affine_between(*sides)
    fine = affine.rescale(matrix, baselines.SIZE / SIZE)
    places = sides[0].frame, sides[1].frame
    return {
        "identity": Outcome(_rigid(places, affine.IDENTITY).field_px()),
        "affine": Outcome(_rigid(places, matrix).field_px()),
        "simpleitk_bspline": Outcome(baselines.bspline(two.prior, two.current, fine).field_px()),
        "simpleitk_demons": Outcome(baselines.demons(two.prior, two.current, fine).field_px()),
        "carina_network_only": _both_ways(map_between(*sides, net, steps=0, matrix=matrix)),
        "carina_refinement_only": _both_ways(map_between(*sides, _still, matrix=matrix)),
        "carina": _served(two, weights),
    }


def _rigid(places: tuple[Frame, Frame], matrix: affine.Affine) -> Mapping:
    still = np.zeros((2, SIZE, SIZE), np.float32)
    return Mapping(*places, matrix, still, still)


def _still(moving: Field, fixed: Field) -> Field:
    """In the network's place: nothing to deform."""
    return np.zeros((2, SIZE, SIZE), np.float32)


def _both_ways(mapping: Mapping) -> Outcome:
    field = mapping.field_px()
    return Outcome(field, mapping.inverse_px(field))


def _served(two: Pair, weights: Path) -> Outcome:
    found = align(
        two.prior, two.current, two.prior_structures, two.current_structures, weights=weights
    )
    return Outcome(found.field_px, found.inverse_px, found.status != "ok")


Numbers = dict[str, dict[str, float]]
"""Method -> name of a figure -> its value on this pair."""


def known_deformation(
    film: Radiograph, seed: int, weights: Path = WEIGHTS
) -> tuple[Numbers, dict[str, NDArray[np.float64]]]:
    """A film and its moved copy: folding and inverse consistency, and each landmark's error.

    Errors are in per cent of the current film's width, at points inside the labelled structures
    whose true place lies on the prior film.
    """
    rng = np.random.default_rng(seed)
    copy = known.copy(film, rng)
    two, truth = pair(film, copy.film), copy.mapping.field_px()
    points = _landmarks(two, truth, rng)
    numbers: Numbers = {}
    errors = {}
    for name, found in outcomes(two, weights).items():
        off = np.hypot(*(found.field_px - truth)[:, points[0], points[1]])
        errors[name] = 100 * off.astype(np.float64) / film.pixels.shape[1]
        numbers[name] = {
            "folded_pixels": float(_folded(found.field_px)),
            "refused": float(found.refused),
            **_inverse_consistency(found, points),
        }
    return numbers, errors


def _landmarks(two: Pair, truth: Field, rng: np.random.Generator) -> NDArray[np.int64]:
    """(2, K) rows and columns on the current film."""
    place = two.current_structures.frame
    body = from_frame(two.current_structures.probabilities.max(axis=0), place) > 0.5
    at = identity_grid(place.shape) + truth
    limits = np.array(two.prior.pixels.shape).reshape(2, 1, 1) - 1
    body &= ((at >= 0) & (at <= limits)).all(axis=0)
    candidates = np.argwhere(body)
    return candidates[rng.integers(0, len(candidates), POINTS)].T


def _folded(field: Field) -> int:
    return int((jacobian_determinant(field) <= 0).sum())


def _inverse_consistency(found: Outcome, points: NDArray[np.int64]) -> dict[str, float]:
    """Median and 95th percentile of how far there and back ends from where it began, pixels.

    Over the landmarks whose place lies on the prior film.
    """
    if found.inverse_px is None:
        return {}
    start = points.astype(np.float32)
    there = start + found.field_px[:, points[0], points[1]]
    limits = np.array(found.inverse_px.shape[1:]).reshape(2, 1) - 1
    kept = ((there >= 0) & (there <= limits)).all(axis=0)
    back = there + np.stack([sample(part, there) for part in found.inverse_px])
    off = np.hypot(*(back - start))[kept]
    return {"inverse_median_px": float(np.median(off)), "inverse_p95_px": _p95(off)}


def _p95(values: NDArray[np.floating]) -> float:
    return float(np.quantile(values, 0.95))


def same_patient(
    two: Pair, weights: Path = WEIGHTS, drawn: tuple[Field, Field] | None = None
) -> Numbers:
    """Dice of lungs and cardiomediastinum of two dated films.

    Parameters
    ----------
    drawn : lung masks (prior, current) that people drew, on the films' grids, where there are.
    """
    numbers: Numbers = {}
    affine_field: Field | None = None
    for name, found in outcomes(two, weights).items():
        affine_field = found.field_px if name == "affine" else affine_field
        numbers[name] = {
            "dice": _labelled_dice(two, found.field_px),
            "folded_pixels": float(_folded(found.field_px)),
            "refused": float(found.refused),
        }
        if drawn is not None:
            numbers[name]["drawn_lungs_dice"] = _dice_at(
                drawn[0], drawn[1], *_grid(two.current.pixels.shape, found.field_px)
            )
        if affine_field is not None:
            beyond = np.hypot(*(found.field_px - affine_field))[::8, ::8]
            width = two.current.pixels.shape[1]
            numbers[name]["beyond_affine_percent_of_width"] = float(100 * _p95(beyond) / width)
    return numbers


def _grid(shape: tuple[int, int], field: Field) -> tuple[Field, Field]:
    """Points of the current film, 256 along the longer side, and where they lie on the prior."""
    step = max(1, round(max(shape) / 256))
    points = identity_grid(shape)[:, ::step, ::step]
    return points + field[:, ::step, ::step], points


def _dice_at(prior: Field, current: Field, there: Field, here: Field) -> float:
    return quality.dice(sample(prior, there) > 0.5, sample(current, here) > 0.5)


def _labelled_dice(two: Pair, field: Field) -> float:
    """Mean Dice of `COMPARED` as the films are labelled."""
    there, here = _grid(two.current.pixels.shape, field)
    before, now = two.prior_structures, two.current_structures
    there, here = _cells(there, before), _cells(here, now)
    rows = [STRUCTURES.index(name) for name in COMPARED]
    return float(
        np.mean(
            [_dice_at(before.probabilities[r], now.probabilities[r], there, here) for r in rows]
        )
    )


def _cells(points: Field, structures: Structures) -> Field:
    """Film pixels to cells of the label maps."""
    place, cells = structures.frame, structures.probabilities.shape[-1]
    scale = np.array(place.scale, np.float32).reshape(2, 1, 1)
    corner = np.array((place.top, place.left), np.float32).reshape(2, 1, 1)
    on_frame = (points + np.float32(0.5)) * scale + corner
    return np.asarray(on_frame * np.float32(cells / place.size) - 0.5, np.float32)


@dataclass(frozen=True, slots=True)
class Disease:
    """Two moved copies of a normal film, one of them with an opacity.

    Parameters
    ----------
    truth : (2, H, W) current -> prior. opacity : (H, W) in [0, 1] where the current film's grid
    has it, whichever film shows it. sign : 1 where the current film shows it, -1 the prior.
    lungs : (H, W) on the current film, as labelled on the clear film.
    """

    two: Pair
    truth: Field
    opacity: Field
    sign: int
    lungs: NDArray[np.bool_]


def diseased(film: Radiograph, seed: int) -> Disease:
    """Paint and move; even seeds paint the current film, odd ones the prior."""
    rng = np.random.default_rng(seed)
    clear = label(film)
    lungs = clear.probabilities[:2].max(axis=0)
    opacity = known.blob(lungs, film.pixels.shape, rng)
    ill = np.clip(film.pixels + np.float32(OPACITY) * opacity, 0, 1).astype(np.float32)
    now = seed % 2 == 0
    half = float(np.sqrt(0.5))  # together they move as much as one copy of the other table
    maps = [known.draw(film.pixels.shape, rng, half) for _ in range(2)]
    fields = [one.field_px() for one in maps]
    prior, current = (
        replace(film, pixels=_developed(warp(ill if shown else film.pixels, field), rng))
        for shown, field in zip((not now, now), fields, strict=True)
    )
    return Disease(
        two=pair(prior, current),
        truth=known.chain(maps[1], maps[0]),
        opacity=warp(opacity, fields[1]),
        sign=1 if now else -1,
        lungs=warp(from_frame(lungs, clear.frame), fields[1]) > 0.5,
    )


def _developed(pixels: Field, rng: np.random.Generator) -> Field:
    """Another gain and offset, and nothing else: what an opacity weighs stays defined."""
    scaled = np.float32(rng.uniform(0.85, 1.0)) * pixels + np.float32(rng.uniform(0, 0.05))
    return np.asarray(np.clip(scaled, 0, 1), np.float32)


def disease_kept(film: Radiograph, seed: int, weights: Path = WEIGHTS) -> Numbers:
    """False change and the opacity's mass and area, all as the difference map shows them.

    `mass_ratio` and `area_ratio` compare with the difference map that the true field gives.
    Empty where no opacity lies in the lungs.
    """
    case = diseased(film, seed)
    if (case.opacity * case.lungs).sum() < 1e-3 * case.opacity.size:
        return {}
    truth = _seen(case, case.truth)
    numbers: Numbers = {"true_field": {**_ratios(truth, truth), "refused": 0.0}}
    for name, found in outcomes(case.two, weights).items():
        seen = _seen(case, found.field_px)
        numbers[name] = {**_ratios(seen, truth), "refused": float(found.refused)}
    return numbers


def _seen(case: Disease, field: Field) -> dict[str, float]:
    """Mean false change outside the opacity, mass and area (pixels) of the opacity.

    Mass is what the map shows above the level of the lungs around; a little beyond the opacity's
    edge is searched, so that a displaced opacity is not lost.
    """
    width = case.opacity.shape[1]
    change = difference(case.two.current.pixels, warp(case.two.prior.pixels, field), case.lungs)
    outside = case.lungs & (case.opacity < 0.02)
    near = case.lungs & (
        gaussian_filter((case.opacity > 0.1).astype(np.float32), NEAR * width / 2) > 0.02
    )
    above = case.sign * (change - np.median(change[outside]))
    denser = gaussian_filter(above, 0.004 * width)
    return {
        "false_change": float(np.abs(change)[outside].mean()),
        "mass": float(above[near].sum()),
        "area": float((denser[near] > OPACITY / 2).sum()),
    }


def _ratios(seen: dict[str, float], truth: dict[str, float]) -> dict[str, float]:
    return {
        "false_change": seen["false_change"],
        "mass_ratio": seen["mass"] / truth["mass"] if truth["mass"] else np.nan,
        "area_ratio": seen["area"] / truth["area"] if truth["area"] else np.nan,
    }


def _turned(angle_deg: float) -> Callable[[Radiograph], Radiograph]:
    """A film turned about its middle."""

    def turn(film: Radiograph) -> Radiograph:
        height, width = film.pixels.shape
        at = identity_grid((height, width)) - np.array([height, width]).reshape(2, 1, 1) / 2
        angle = np.radians(angle_deg)
        back = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        there = np.tensordot(back, at, 1) + np.array([height, width]).reshape(2, 1, 1) / 2
        return replace(film, pixels=sample(film.pixels, there.astype(np.float32)))

    return turn


def _half(film: Radiograph) -> Radiograph:
    """A film that shows one lung."""
    return replace(film, pixels=np.ascontiguousarray(film.pixels[:, : film.pixels.shape[1] // 2]))


WRONG: dict[str, Callable[[Radiograph], Radiograph]] = {
    "mirrored": lambda film: replace(film, pixels=np.ascontiguousarray(film.pixels[:, ::-1])),
    "upside down": lambda film: replace(film, pixels=np.ascontiguousarray(film.pixels[::-1, ::-1])),
    "turned by 45 degrees": _turned(45.0),
    "turned by 90 degrees": lambda film: replace(
        film, pixels=np.ascontiguousarray(np.rot90(film.pixels))
    ),
    "one lung cut off": _half,
}
"""What a current film can have gone through that must not be compared with a prior film."""
