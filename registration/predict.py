"""Align a prior film to the current one: anatomy moves, disease stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from models import frame
from models.radiograph import Radiograph
from models.refusal import Refusal
from models.runtime import load
from models.severity.predict import Severity, score
from models.structures.anatomy import STRUCTURES
from models.structures.predict import Structures, label
from registration import affine, quality
from registration.change import ChangeMap, change_map, opacity_change, small_shape
from registration.difference import difference
from registration.mapping import Mapping, follow
from registration.pair import AFFINE_SIZE, SIZE, Side, side
from registration.refine import STEPS, refine
from registration.warp import identity_grid, integrate, sample, sampler, warp

WEIGHTS = Path(__file__).parent / "weights"
PASSES = 2  # of the network over one pair

VelocityNet = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""(C, s, s) moving on the fixed frame and (C, s, s) fixed -> (2, s, s) velocity, frame pixels."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """A prior film on the current film's grid, and how well it lies there.

    Parameters
    ----------
    status, reason : "ok" and "", or "refused" and why nothing drawn from it may be shown.
    field_px : (2, H, W) on the current film: displacement to the prior film in pixels, row then
        column; warped_prior[r, c] = prior[r + field_px[0, r, c], c + field_px[1, r, c]].
    mapping : the alignment itself, from which fields on any grid are drawn.
    warped_prior : (H, W) in [0, 1], zero where the prior film does not reach.
    dice_before, dice_after : overlap of each structure visible on both films, letterboxed only
        and aligned.
    folding_fraction : share of the field that folds; 0 is a true deformation.
    difference : (H, W) in [-1, 1], current less exposure-matched prior inside the lungs.
    change : where the lungs changed beyond noise; None where the alignment was refused.
    severities : scores of both films (prior, current) where they were handed in or made.
    """

    status: str
    reason: str
    field_px: NDArray[np.float32]
    mapping: Mapping
    warped_prior: NDArray[np.float32]
    dice_before: dict[str, float]
    dice_after: dict[str, float]
    folding_fraction: float
    seconds_label: float
    seconds_align: float
    prior_structures: Structures
    current_structures: Structures
    difference: NDArray[np.float32]
    model: str
    change: ChangeMap | None = None
    severities: tuple[Severity, Severity] | None = None

    @property
    def inverse_px(self) -> NDArray[np.float32]:
        """(2, Hp, Wp) on the prior film: displacement to the current film; made when asked for."""
        return self.mapping.inverse_px(self.field_px)


def net_of(folder: Path) -> tuple[VelocityNet, str]:
    """The network in `folder` and its label."""
    model = load(folder)

    def run(moving: NDArray[np.float32], fixed: NDArray[np.float32]) -> NDArray[np.float32]:
        found = model.run({"moving": moving[None], "fixed": fixed[None]})
        return np.asarray(found["velocity"][0])

    return run, model.card.label


def affine_between(prior: Side, current: Side) -> affine.Affine:
    """(2, 3) current frame -> prior frame, from structures alone."""
    coarse = affine.estimate(prior.affine_maps(), current.affine_maps())
    return affine.rescale(coarse, SIZE / AFFINE_SIZE)


def map_between(
    prior: Side,
    current: Side,
    net: VelocityNet,
    *,
    steps: int = STEPS,
    matrix: affine.Affine | None = None,
) -> Mapping:
    """Affine from structures, the network's diffeomorphism, `steps` of refinement on this pair."""
    matrix = affine_between(prior, current) if matrix is None else matrix
    grid = identity_grid((SIZE, SIZE))
    fixed = current.channels()
    moving = sampler(prior.channels())(affine.apply(matrix, grid))
    velocity = refine(propose(net, moving, fixed), moving, fixed, steps)
    return follow(prior.frame, current.frame, matrix, velocity)


def propose(
    net: VelocityNet, moving: NDArray[np.float32], fixed: NDArray[np.float32], passes: int = PASSES
) -> NDArray[np.float32]:
    """The network's velocity (2, s, s); each pass after the first sees what the last one left."""
    grid = identity_grid((fixed.shape[1], fixed.shape[2]))
    at = sampler(moving, edge=True)
    velocity = net(moving, fixed)
    for _ in range(passes - 1):
        velocity = velocity + net(at(grid + integrate(velocity)), fixed)
    return velocity


def overlaps(
    prior: Structures, current: Structures, field: NDArray[np.float32] | None
) -> dict[str, float]:
    """Dice of each structure visible on both films, on the registration frame."""
    seen = [row for row in range(len(STRUCTURES)) if prior.visible[row] and current.visible[row]]
    if not seen:
        return {}
    moving, fixed = (
        np.stack([frame.resize(one.probabilities[row], (SIZE, SIZE)) for row in seen])
        for one in (prior, current)
    )
    if field is not None:
        moving = sampler(moving)(identity_grid((SIZE, SIZE)) + field)
    return {
        STRUCTURES[row]: quality.dice(one > 0.5, other > 0.5)
        for row, one, other in zip(seen, moving, fixed, strict=True)
    }


def align(
    prior: Radiograph,
    current: Radiograph,
    prior_structures: Structures | None = None,
    current_structures: Structures | None = None,
    *,
    severities: tuple[Severity, Severity] | None = None,
    weights: Path = WEIGHTS,
) -> Alignment:
    """Bring `prior` onto `current`; any sizes, any spacings.

    Structures that were labelled before and scores (prior, current) may be handed in; the change
    map asks for both films' opacity, and where one of them has no score it sees shades alone. The
    result is "refused" when the gate of `registration/quality.py` does not trust it; its arrays are
    there all the same.

    Raises
    ------
    Refusal : one of the films cannot be labelled.

    References
    ----------
    Balakrishnan et al., VoxelMorph, IEEE TMI 38(8), 1788-1800, 2019; Dalca et al., Medical
    Image Analysis 57, 226-236, 2019 (diffeomorphic variant).
    """
    start = perf_counter()
    prior_structures = prior_structures or label(prior)
    current_structures = current_structures or label(current)
    labelled = perf_counter()
    net, name = net_of(weights)
    sides = side(prior, prior_structures), side(current, current_structures)
    mapping = map_between(*sides, net)
    before = overlaps(prior_structures, current_structures, None)
    after = overlaps(prior_structures, current_structures, mapping.on_frame())
    points = affine.apply(mapping.matrix, identity_grid((SIZE, SIZE)))
    alike = quality.likeness(
        sample(sides[0].film, points), sides[1].film, sides[1].guides[:2].max(axis=0)
    )
    reason = quality.refusal(mapping, before, after, alike)
    field = mapping.field_px()
    warped = warp(prior.pixels, field)
    lungs = current_structures.probabilities[:2].max(axis=0)
    on_film = frame.from_frame(lungs, current_structures.frame) > 0.5
    apart = difference(current.pixels, warped, on_film)
    if not reason and severities is None:
        structures = (prior_structures, current_structures)
        severities, reason = _scored((prior, current), structures)
    changed = None
    if not reason:
        shape = small_shape(current.pixels.shape)
        opacity = None if severities is None else opacity_change(*severities, field, shape)
        changed = change_map(current.pixels, warped, current_structures, opacity)
    return Alignment(
        status="refused" if reason else "ok",
        reason=reason,
        field_px=field,
        mapping=mapping,
        warped_prior=warped,
        dice_before=before,
        dice_after=after,
        folding_fraction=mapping.folding_fraction(),
        seconds_label=labelled - start,
        seconds_align=perf_counter() - labelled,
        prior_structures=prior_structures,
        current_structures=current_structures,
        difference=apart,
        change=changed,
        severities=severities,
        model=name,
    )


def _scored(
    films: tuple[Radiograph, Radiograph], structures: tuple[Structures, Structures]
) -> tuple[tuple[Severity, Severity] | None, str]:
    """The severity of both films, and why they must not be compared, "" where they may.

    A film that looks mirrored is told by its features, where a pair's likeness often cannot tell.
    """
    scores = []
    for which, film, labelled in zip(("prior", "current"), films, structures, strict=True):
        try:
            scores.append(score(film, labelled))
        except Refusal as refusal:
            wrong = refusal.code == "unlike_training"
            return None, f"implausible: {which} film: {refusal.message}" if wrong else ""
    return (scores[0], scores[1]), ""
