"""Pairs to learn from: a film and its moved copy, labelled anew, and two real films."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models import opacity, runtime
from models.frame import fit, from_frame, resize
from models.radiograph import Radiograph, read_file
from models.refusal import Refusal
from models.structures.predict import Structures, label
from registration import affine, known
from registration.held_out import unseen
from registration.pair import SIZE, Side, side
from registration.predict import affine_between
from registration.warp import identity_grid, sampler

STRANGERS = 300  # pairs of two patients


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs after their affine, as the network meets them in service.

    Parameters
    ----------
    moving, fixed : (N, C, s, s) uint8, 255 = 1; `moving` lies on the fixed frame.
    truth : (N, 2, s, s) float16, what remains to be found, frame pixels; not a number where the
        two are real films and nobody knows.
    """

    moving: NDArray[np.uint8]
    fixed: NDArray[np.uint8]
    truth: NDArray[np.float16]


def load_pairs(data: Path, cache: Path, films: int, seed: int) -> Pairs:
    """Read, move, label and pair so many films of `data` once; later calls read the cache."""
    names = ("moving", "fixed", "truth")
    files = [cache / f"{name}.npy" for name in names]
    if not all(file.is_file() for file in files):
        cache.mkdir(parents=True, exist_ok=True)
        moving, fixed, truth = _made(data, films, seed)
        for name, values in (("moving", moving), ("fixed", fixed), ("truth", truth)):
            np.save(cache / f"{name}.npy", values)
    return Pairs(*(np.load(file, mmap_mode="r") for file in files))


def training_rows(table: pd.DataFrame, films: int, seed: int) -> pd.DataFrame:
    """Films of patients that no figure speaks of; those of patients with several films first."""
    rows = table[~unseen(table)].sample(frac=1, random_state=seed)
    several = rows.groupby("patient")["file"].transform("size") > 1
    return rows.assign(several=several).sort_values("several", ascending=False, kind="stable")[
        :films
    ]


def _made(
    data: Path, films: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float16]]:
    table = pd.read_csv(data / "radiographs.csv", dtype={"patient": str})
    rows = training_rows(table, films, seed)
    jobs = [(data / file, seed * 100_000 + number) for number, file in enumerate(rows["file"])]
    with ProcessPoolExecutor(runtime.threads(), get_context("spawn")) as pool:
        made = list(pool.map(_known, jobs, chunksize=4))
        found = [one for one in made if one is not None]
        patients = [p for p, one in zip(rows["patient"], made, strict=True) if one is not None]
        sides = [one[3] for one in found]
        wanted = real_pairs(patients, np.random.default_rng(seed))
        real = list(pool.map(partial(_real, sides), wanted, chunksize=200))
    pairs = [one[:3] for one in found] + real
    moving, fixed, truth = (np.stack(parts) for parts in zip(*pairs, strict=True))
    return moving, fixed, truth


_Made = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float16]]


def _known(job: tuple[Path, int]) -> tuple[*_Made, NDArray[np.uint8]] | None:
    """A film and its copy, either of them the prior one; and the film's own channels."""
    path, seed = job
    rng = np.random.default_rng(seed)
    try:
        film = read_file(path)
        labelled = label(film)
        copy = known.copy(_ill(film, labelled, rng), rng)
        theirs = side(copy.film, label(copy.film))
    except Refusal:
        return None
    ours = side(film, labelled)
    if rng.random() < 0.5:
        found = _after_affine(ours, theirs, copy.mapping.on_frame())
    else:
        found = _after_affine(theirs, ours, copy.mapping.back_on_frame())
    return (*found, _packed(ours.channels()))


def _ill(film: Radiograph, labelled: Structures, rng: np.random.Generator) -> Radiograph:
    """Half of the films as they are, the others with patchy opacities in their lungs."""
    if rng.random() < 0.5:
        return film
    cells = 256
    lungs = np.stack([resize(one, (cells, cells)) > 0.5 for one in labelled.probabilities[:2]])
    density = opacity.patchy(lungs, float(rng.uniform(0.5, 6.0)), rng).density
    shadow = from_frame(density, fit(film.pixels.shape, cells))
    painted = film.pixels + np.float32(rng.uniform(0.1, 0.35)) * shadow
    return replace(film, pixels=np.clip(painted, 0, 1).astype(np.float32))


def _after_affine(prior: Side, current: Side, truth: NDArray[np.float32]) -> _Made:
    """`truth` leads from the current frame to the prior's; what the affine leaves of it is kept."""
    matrix = affine_between(prior, current)
    grid = identity_grid((SIZE, SIZE))
    moving = sampler(prior.channels())(affine.apply(matrix, grid))
    left = affine.apply(affine.invert(matrix), grid + truth) - grid
    return _packed(moving), _packed(current.channels()), left.astype(np.float16)


def _packed(channels: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(channels * 255).astype(np.uint8)


def real_pairs(patients: list[str], rng: np.random.Generator) -> list[tuple[int, int]]:
    """(prior, current) rows: two films of a patient, four pairs at most, and strangers."""
    rows: list[tuple[int, int]] = []
    for group in pd.Series(patients).groupby(patients).indices.values():
        couples = [(int(a), int(b)) for a in group for b in group if a != b]
        rows += [couples[i] for i in rng.permutation(len(couples))[:4]]
    others = rng.integers(0, len(patients), (STRANGERS, 2))
    return rows + [(int(a), int(b)) for a, b in others if patients[a] != patients[b]]


def _real(sides: list[NDArray[np.uint8]], rows: tuple[int, int]) -> _Made:
    """Two real films after their affine."""
    prior, current = (_unpacked(sides[row]) for row in rows)
    unknown = np.full((2, SIZE, SIZE), np.nan, np.float32)
    return _after_affine(prior, current, unknown)


def _unpacked(channels: NDArray[np.uint8]) -> Side:
    values = np.asarray(channels / np.float32(255), np.float32)
    return Side(values[0], values[1:], fit((SIZE, SIZE), SIZE))
