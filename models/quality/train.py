"""Training: examples once, features once, then heads for each fold and for all examples."""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.quality.data import FOLDS, REAL, make, read_films
from models.quality.export import export
from models.quality.kinds import KINDS
from models.quality.net import Features, Heads, fit_heads
from models.quality.predict import framed

LOG = logging.getLogger(__name__)
UNSEEN = (
    "drawn limb",
    "lateral projection of the CT",
    "CT slice",
    "photograph",
    "texture, shapes or text",
)
"""Sorts of negatives that are also judged by heads that never saw their sort.

Hip and leg need no such heads: each lies in one fold.
"""


@dataclass(frozen=True, slots=True)
class Config:
    """The recipe; see quality.toml."""

    seed: int
    share: float
    weight_decay: float
    epochs: int
    rate: float
    directions: int
    accepted: float
    within: float
    version: str


@dataclass(frozen=True, slots=True)
class Examples:
    """All examples as the network sees them.

    Parameters
    ----------
    features : (N, 4160). kinds : (N,) index into `KINDS`. made : (N,) how each was made.
    fold : (N,) the part of cross-validation that holds it out.
    """

    features: NDArray[np.float32]
    kinds: NDArray[np.int64]
    made: NDArray[np.str_]
    fold: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What heads say of examples that they never saw.

    Parameters
    ----------
    probabilities : (N, 4), order `KINDS`. distance : (N,), 1 at the farthest accepted film.
    unseen : (N, 4) and unseen_distance : (N,): by heads that never saw any example made this
        way; NaN for the ways not in `UNSEEN`.
    """

    probabilities: NDArray[np.float32]
    distance: NDArray[np.float32]
    unseen: NDArray[np.float32]
    unseen_distance: NDArray[np.float32]


def read_config() -> Config:
    """The packaged recipe."""
    text = Path(__file__).with_name("quality.toml").read_text(encoding="utf-8")
    return Config(**tomllib.loads(text))


def train(data: Path, out: Path, *, resume: bool = True, quick: bool = False) -> None:
    """Train on `data` (laid out like shared/data) into `out`: model.onnx and card.json.

    Parameters
    ----------
    resume : keep the examples and features that an interrupted run has made.
    quick : a tiny run, for tests.
    """
    out.mkdir(parents=True, exist_ok=True)
    config = read_config()
    if quick:
        config = replace(config, share=0.02, epochs=2, directions=8)
    examples = prepare(data, out, config, resume=resume, limit=40 if quick else None)
    seen = hold_out(examples, config)
    np.savez_compressed(out / "held_out.npz", **asdict(seen), kinds=examples.kinds,
                        made=examples.made, fold=examples.fold)  # fmt: skip
    heads = _fit(examples, np.ones(len(examples.kinds), np.bool_), config)
    real = examples.made == REAL
    least = least_frontal(seen.probabilities[real, 0], config.accepted)
    export(Features(), heads, out, {"least_frontal": round(least, 4), "training": asdict(config)})


def prepare(data: Path, out: Path, config: Config, *, resume: bool, limit: int | None) -> Examples:
    """Make the examples and their features, or read those that lie in `out`."""
    path = out / "examples.npz"
    if resume and path.is_file():
        with np.load(path, allow_pickle=False) as kept:
            return Examples(**{name: kept[name] for name in Examples.__slots__})
    films, folds = read_films(data, limit)
    frames, kinds, made, fold = [], [], [], []
    for example in make(data, films, folds, config.share, config.seed):
        frames.append(np.rint(framed(np.ascontiguousarray(example.pixels)) * 255).astype(np.uint8))
        kinds.append(KINDS.index(example.kind))
        made.append(example.made)
        fold.append(example.fold)
    LOG.info("made %d examples", len(frames))
    examples = Examples(
        features_of(frames), np.asarray(kinds, np.int64), np.asarray(made), np.asarray(fold)
    )
    np.savez(path, **asdict(examples))
    return examples


@torch.inference_mode()
def features_of(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """(N, 4160) features of frames (160, 160) uint8."""
    network, found = Features(), []
    for start in range(0, len(frames), 32):
        batch = torch.from_numpy(np.stack(frames[start : start + 32]))[:, None]
        found.append(network(batch.float() / 255.0))
    return np.asarray(torch.cat(found).numpy(), np.float32)


def hold_out(examples: Examples, config: Config) -> HeldOut:
    """Judge every example by heads of the other folds, and by heads that never saw its sort."""
    count = len(examples.kinds)
    seen, distance = np.zeros((count, len(KINDS)), np.float32), np.zeros(count, np.float32)
    unseen, unseen_distance = np.full_like(seen, np.nan), np.full_like(distance, np.nan)
    for fold in range(FOLDS):
        out = examples.fold == fold
        if out.any():
            heads = _fit(examples, ~out, config)
            seen[out], distance[out] = judge(heads, examples.features[out])
            LOG.info("fold %d of %d: %d examples held out", fold + 1, FOLDS, int(out.sum()))
    for sort in UNSEEN:
        out = examples.made == sort
        if out.any():
            heads = _fit(examples, ~out, config)
            unseen[out], unseen_distance[out] = judge(heads, examples.features[out])
            LOG.info("never seen: %s", sort)
    return HeldOut(seen, distance, unseen, unseen_distance)


def judge(
    heads: Heads, features: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Probabilities (N, 4) and distance (N,)."""
    with torch.inference_mode():
        kinds, distance = heads(torch.from_numpy(features))
    return kinds.numpy(), distance.numpy()


def least_frontal(probabilities: NDArray[np.float32], accepted: float) -> float:
    """The probability that the share `accepted` of held-out films reaches, at most 0.5."""
    return min(0.5, float(np.quantile(probabilities, 1.0 - accepted)))


def _fit(examples: Examples, chosen: NDArray[np.bool_], config: Config) -> Heads:
    return fit_heads(
        torch.from_numpy(examples.features[chosen]),
        torch.from_numpy(examples.kinds[chosen]),
        epochs=config.epochs,
        rate=config.rate,
        weight_decay=config.weight_decay,
        directions=config.directions,
        within=config.within,
        seed=config.seed,
    )
