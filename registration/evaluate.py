"""How well films are aligned: known deformations, real pairs, and disease that must stay.

Every figure is of patients that training never saw. Intervals: bootstrap over patients.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813  # its own usual name
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from models import runtime
from registration import data as pairs
from registration import quality
from registration.mapping import Mapping
from registration.pair import GUIDES, SIZE, Side
from registration.predict import WEIGHTS, VelocityNet, affine_between, map_between, net_of
from registration.warp import folding_fraction, identity_grid, integrate, sample, warp

HELD_OUT = 0.2
Aligner = Callable[[Side, Side], NDArray[np.float32]]
"""(moving, fixed) -> (2, s, s) displacement fixed -> moving, frame pixels."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean or a quantile with its 95 % bootstrap interval and the number of patients."""

    value: float
    low: float
    high: float
    patients: int


def bootstrap(
    values: NDArray[np.float64],
    patients: NDArray[np.str_],
    statistic: Callable[[NDArray[np.float64]], float] = lambda v: float(np.mean(v)),
    draws: int = 400,
) -> Figure:
    """`statistic` of `values` (N,), resampling whole patients (N,)."""
    names = np.unique(patients)
    groups = [np.flatnonzero(patients == name) for name in names]
    rng = np.random.default_rng(7)
    again = []
    for _ in range(draws):
        chosen = np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))])
        again.append(statistic(values[chosen]))
    low, high = np.quantile(again, (0.025, 0.975))
    return Figure(statistic(values), float(low), float(high), len(names))


def aligners(net: VelocityNet) -> dict[str, Aligner]:
    """The methods of the table, the network last."""
    return {
        "identity": lambda moving, fixed: np.zeros((2, SIZE, SIZE), np.float32),
        "affine": lambda moving, fixed: _affine(moving, fixed).on_frame(),
        "simpleitk_bspline": bspline,
        "simpleitk_demons": demons,
        "carina_without_refinement": lambda m, f: map_between(m, f, net, steps=0).on_frame(),
        "carina_without_network": lambda m, f: map_between(m, f, _still).on_frame(),
        "carina": lambda moving, fixed: map_between(moving, fixed, net).on_frame(),
    }


def _still(moving: NDArray[np.float32], fixed: NDArray[np.float32]) -> NDArray[np.float32]:
    """In the network's place: nothing to deform."""
    return np.zeros((2, SIZE, SIZE), np.float32)


def _affine(moving: Side, fixed: Side) -> Mapping:
    still = np.zeros((2, SIZE, SIZE), np.float32)
    return Mapping(moving.frame, fixed.frame, affine_between(moving, fixed), still, still)


def bspline(moving: Side, fixed: Side) -> NDArray[np.float32]:
    """SimpleITK: affine then B-spline (8 x 8), correlation of the films' local contrast."""
    start = sitk.CenteredTransformInitializer(
        _image(fixed), _image(moving), sitk.AffineTransform(2)
    )
    first = _method(3)
    first.SetInitialTransform(start, inPlace=False)
    rough = first.Execute(_image(fixed), _image(moving))
    second = _method(2)
    second.SetMovingInitialTransform(rough)
    grid = sitk.BSplineTransformInitializer(_image(fixed), [8, 8])
    second.SetInitialTransform(grid, inPlace=False)
    fine = second.Execute(_image(fixed), _image(moving))
    return _field_of(sitk.CompositeTransform([rough, fine]))


def _method(levels: int) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetOptimizerAsGradientDescentLineSearch(1.0, 40, 1e-5, 6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([2**i for i in reversed(range(levels))])
    method.SetSmoothingSigmasPerLevel([float(i) for i in reversed(range(levels))])
    return method


def demons(moving: Side, fixed: Side) -> NDArray[np.float32]:
    """SimpleITK: affine from structures, then diffeomorphic demons on the films."""
    base = _affine(moving, fixed).on_frame()
    carried = sitk.GetImageFromArray(warp(moving.film, base))
    engine = sitk.DiffeomorphicDemonsRegistrationFilter()
    engine.SetNumberOfIterations(60)
    engine.SetStandardDeviations(2.0)
    field = sitk.GetArrayFromImage(engine.Execute(_image(fixed), carried))
    fine = np.stack([field[..., 1], field[..., 0]]).astype(np.float32)
    points = identity_grid((SIZE, SIZE)) + fine
    carried_on = np.stack([sample(part, points, edge=True) for part in base])
    return fine + carried_on


def _image(side: Side) -> sitk.Image:
    return sitk.GetImageFromArray(side.film)


def _field_of(transform: sitk.Transform) -> NDArray[np.float32]:
    image = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, [SIZE, SIZE], [0.0, 0.0], [1.0, 1.0], [1, 0, 0, 1]
    )
    field = sitk.GetArrayFromImage(image)
    return np.stack([field[..., 1], field[..., 0]]).astype(np.float32)


def _side(films: pairs.Films, row: int) -> Side:
    channels = films.channels[row].astype(np.float32) / 255
    return Side(channels[0], channels[1:], pairs.whole_frame())


def smooth_field(seed: int, largest_px: float = 0.047 * SIZE) -> NDArray[np.float32]:
    """A known smooth diffeomorphism (2, s, s), unlike those of training: Gaussian noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(2, 24, 24))
    rough = np.stack([zoom(gaussian_filter(part, 2.5), SIZE / 24, order=3) for part in coarse])
    return integrate((rough * largest_px / np.abs(rough).max()).astype(np.float32))


def known_deformations(
    films: pairs.Films, rows: NDArray[np.int64], methods: dict[str, Aligner]
) -> dict[str, dict[str, Any]]:
    """Error at 200 points in the body, per cent of image width, per method."""
    errors: dict[str, list[NDArray[np.float64]]] = {name: [] for name in methods}
    folds: dict[str, list[float]] = {name: [] for name in methods}
    for number, row in enumerate(rows):
        moving, truth = _side(films, int(row)), smooth_field(1000 + number)
        fixed = Side(
            warp(moving.film, truth),
            np.stack([warp(guide, truth) for guide in moving.guides]),
            moving.frame,
        )
        body = np.argwhere(fixed.guides.max(axis=0) > 0.5)
        if len(body) == 0:
            continue
        rng = np.random.default_rng(number)
        points = body[rng.integers(0, len(body), 200)]
        for name, align in methods.items():
            field = align(moving, fixed)
            off = np.hypot(*(field - truth))[points[:, 0], points[:, 1]]
            errors[name].append(100 * off.astype(np.float64) / SIZE)
            folds[name].append(folding_fraction(field))
    return {
        name: {
            "median_percent_of_width": float(np.median(np.concatenate(found))),
            "p95_percent_of_width": float(np.quantile(np.concatenate(found), 0.95)),
            "folding_fraction": float(np.mean(folds[name])),
            "films": len(found),
        }
        for name, found in errors.items()
    }


def same_patient_pairs(
    films: pairs.Films, chosen: NDArray[np.int64], methods: dict[str, Aligner]
) -> dict[str, dict[str, Any]]:
    """Dice of lungs and mediastinum between two dated films of one patient, per method."""
    patients = np.array([films.table["patient"].iloc[int(b)] for _, b in chosen])
    found: dict[str, list[float]] = {name: [] for name in methods}
    for prior, current in chosen:
        moving, fixed = _side(films, int(prior)), _side(films, int(current))
        for name, align in methods.items():
            found[name].append(_overlap(moving, fixed, align(moving, fixed)))
    scores = {name: np.array(values) for name, values in found.items()}
    return {
        name: {
            "dice": asdict(bootstrap(values, patients)),
            "better_than_affine": float(np.mean(values > scores["affine"])),
            "pairs": len(values),
        }
        for name, values in scores.items()
    }


def _overlap(moving: Side, fixed: Side, field: NDArray[np.float32]) -> float:
    rows = [GUIDES.index(name) for name in ("right_lung", "left_lung", "mediastinum")]
    return float(
        np.mean(
            [quality.dice(warp(moving.guides[r], field) > 0.5, fixed.guides[r] > 0.5) for r in rows]
        )
    )


def disease_kept(
    films: pairs.Films, rows: NDArray[np.int64], methods: dict[str, Aligner]
) -> dict[str, dict[str, float]]:
    """An opacity in one of two deformed copies: false change removed, opacity's mass and area kept.

    The opacity lies in the moving film; kept = its mass (area) after warping by the method over
    that after warping by the true field.
    """
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in methods}
    for number, row in enumerate(rows):
        clean, truth = _side(films, int(row)), smooth_field(2000 + number)
        shadow = _shadow(clean, number)
        moving = replace(clean, film=np.clip(clean.film + 0.3 * shadow, 0, 1))
        fixed = Side(
            warp(clean.film, truth),
            np.stack([warp(guide, truth) for guide in clean.guides]),
            clean.frame,
        )
        true_shadow = warp(shadow, truth)
        if true_shadow.sum() < 1e-3 * SIZE**2:
            continue
        base = _affine(moving, fixed).on_frame()
        false_affine = _false_change(clean, fixed, base)
        for name, align in methods.items():
            field = align(moving, fixed)
            moved = warp(shadow, field)
            found[name].append(
                (
                    1 - _false_change(clean, fixed, field) / max(false_affine, 1e-9),
                    moved.sum() / true_shadow.sum(),
                    (moved > 0.5).sum() / max((true_shadow > 0.5).sum(), 1),
                )
            )
    return {
        name: {
            "false_change_removed_against_affine": float(np.median([v[0] for v in values])),
            "mass_ratio_median": float(np.median([v[1] for v in values])),
            "mass_within_10_percent": float(np.mean([abs(v[1] - 1) <= 0.10 for v in values])),
            "area_within_15_percent": float(np.mean([abs(v[2] - 1) <= 0.15 for v in values])),
            "films": float(len(values)),
        }
        for name, values in found.items()
    }


def _shadow(side: Side, seed: int) -> NDArray[np.float32]:
    """(s, s) in [0, 1]: a soft round opacity centred in a lung, radius 4-10 % of the width."""
    rng = np.random.default_rng(seed)
    inside = np.argwhere(side.guides[:2].max(axis=0) > 0.9)
    if len(inside) == 0:
        return np.zeros((SIZE, SIZE), np.float32)
    centre = inside[rng.integers(len(inside))].reshape(2, 1, 1)
    distance = np.sqrt(np.square(identity_grid((SIZE, SIZE)) - centre).sum(0))
    radius = rng.uniform(0.04, 0.10) * SIZE
    return np.asarray(1 / (1 + np.exp((distance - radius) / (0.01 * SIZE))), np.float32)


def _false_change(clean: Side, fixed: Side, field: NDArray[np.float32]) -> float:
    """Mean absolute difference in the lungs that anatomy alone leaves behind."""
    lungs = fixed.guides[:2].max(axis=0) > 0.5
    return float(np.abs(warp(clean.film, field) - fixed.film)[lungs].mean())


def evaluate(
    data: Path, out: Path, *, run: Path | None = None, films_each: int = 40
) -> dict[str, Any]:
    """The figures of the shipped (or `run`'s) network on held-out patients; writes out/card.*.

    Parameters
    ----------
    films_each : how many films and pairs each table uses at most.
    """
    folder = run or WEIGHTS
    out.mkdir(parents=True, exist_ok=True)
    films = pairs.load_films(data, (run or out) / "cache")
    unseen = np.array([pairs.held_out(p, HELD_OUT) for p in films.table["patient"]])
    net, _ = net_of(folder)
    methods = aligners(net)
    rng = np.random.default_rng(3)
    single = rng.permutation(np.flatnonzero(unseen))[:films_each]
    normal = np.flatnonzero(unseen & (films.table["finding"] == "No Finding").to_numpy())
    metrics = {
        "known_deformations": known_deformations(films, single, methods),
        "same_patient_pairs": same_patient_pairs(films, _dated(films, unseen, films_each), methods),
        "disease_kept": disease_kept(films, rng.permutation(normal)[:films_each], methods),
    }
    _write(folder, out, metrics)
    return metrics


def _dated(films: pairs.Films, unseen: NDArray[np.bool_], most: int) -> NDArray[np.int64]:
    """(P, 2): prior and current of unseen Cohen patients with two or more dated films."""
    table = films.table[unseen & (films.table["source"] == "cohen") & films.table["day"].notna()]
    rows = []
    for _, group in table.sort_values("day").groupby("patient"):
        rows += list(zip(group.index[:-1], group.index[1:], strict=True))
    return np.array(rows[:most], np.int64).reshape(-1, 2)


def _write(folder: Path, out: Path, metrics: dict[str, Any]) -> None:
    card = replace(runtime.read_card(folder), metrics=metrics)
    if folder.resolve() != out.resolve():
        shutil.copyfile(folder / runtime.WEIGHTS_NAME, out / runtime.WEIGHTS_NAME)
    runtime.write_card(out, card)
    lines = [f"# {card.label}", "", card.task, ""]
    for title, table in metrics.items():
        lines += [f"## {title.replace('_', ' ')}", ""]
        columns = list(next(iter(table.values())))
        lines += ["| method | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        for name, row in table.items():
            lines.append(f"| {name} | " + " | ".join(_cell(row[c]) for c in columns) + " |")
        lines.append("")
    (out / "card.md").write_text("\n".join(lines), encoding="utf-8")


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['value']:.3f} ({value['low']:.3f}-{value['high']:.3f})"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
