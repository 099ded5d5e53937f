"""Training: contrastive stage, then distance and score regression; resumable at every epoch."""

from __future__ import annotations

import copy
import logging
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.precision import autocast
from models.severity import loss
from models.severity.data import (
    Films,
    Targets,
    augment,
    batches,
    folds,
    mirror_zones,
    read_films,
    targets,
)
from models.severity.export import export, is_finished
from models.severity.held_out import calibrate, predict_held_out
from models.severity.net import VIEW_SIZE, Reading, SeverityNet

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Course:
    """How long one kind of network learns; see severity.toml."""

    pretrain_epochs: int
    epochs: int
    freeze_after: int
    normals: int
    ema: float


@dataclass(frozen=True, slots=True)
class Config:
    """The recipe; see severity.toml."""

    seed: int
    folds: int
    batch: int
    frozen_blocks: int
    peak_rate: float
    weight_decay: float
    warm_share: float
    embedding: int
    dropout: float
    margin: float
    weight_zones: float
    weight_brixia: float
    weight_distance: float
    weight_pairs: float
    version: str
    shipped: Course
    fold: Course


def read_config() -> Config:
    """The packaged recipe."""
    text = Path(__file__).with_name("severity.toml").read_text(encoding="utf-8")
    raw = tomllib.loads(text)
    shipped, fold = Course(**raw.pop("shipped")), Course(**raw.pop("fold"))
    return Config(**raw, shipped=shipped, fold=fold)


@dataclass(frozen=True, slots=True)
class Plan:
    """One network to be trained: its name, its films, its seed, its course."""

    name: str
    train: NDArray[np.int64]
    seed: int
    course: Course


def plans(films: Films, config: Config) -> list[Plan]:
    """The shipped network first (all films), then one for each fold (the others' films)."""
    everything = np.arange(len(films.patient))
    fold = folds(films, config.folds, config.seed)
    shipped = Plan("final", everything, config.seed, config.shipped)
    return [shipped] + [
        Plan(f"fold{k}", everything[fold != k], config.seed + 1 + k, config.fold)
        for k in range(config.folds)
    ]


def train(
    data: Path,
    out: Path,
    *,
    resume: bool = True,
    quick: bool = False,
    only: Sequence[str] | None = None,
) -> None:
    """Train the shipped network and the fold networks, export the shipped one.

    Parameters
    ----------
    data : folder laid out like shared/data.
    out : checkpoints (`final.pt`, `fold0.pt`, ...), then `model.onnx`, `anchors.npz`, `card.json`.
    resume : go on from the checkpoints found in `out`.
    quick : a few films, one epoch, no ImageNet weights: for tests of the machinery.
    only : names of networks ("final", "fold0", ...); all where it is None.
    """
    config = read_config()
    if quick:
        short = Course(pretrain_epochs=1, epochs=1, freeze_after=1, normals=4, ema=0.5)
        config = replace(config, folds=2, batch=4, shipped=short, fold=short)
    out.mkdir(parents=True, exist_ok=True)
    films = read_films(data, out / "cache", limit=6 if quick else None)
    for plan in plans(films, config):
        if only is None or plan.name in only:
            fit_network(plan, films, config, out, resume=resume, pretrained=not quick)
    if is_finished(out / "final.pt"):
        finish(films, config, out)


def finish(films: Films, config: Config, out: Path) -> None:
    """Export the shipped network; intervals from the held-out films of its folds."""
    held = predict_held_out(films, config.folds, config.seed, config.embedding, out)
    export(films, asdict(config), out, calibrate(films, held))


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one network learns from."""

    films: Films
    wanted: Targets
    plan: Plan
    config: Config


@dataclass(frozen=True, slots=True)
class Learner:
    """A network in training: its weights, their running average, the optimiser, its rates.

    Parameters
    ----------
    rates : learning rate of each step of each epoch.
    """

    net: SeverityNet
    ema: SeverityNet
    optimizer: torch.optim.Optimizer
    rates: list[list[float]]


def fit_network(
    plan: Plan, films: Films, config: Config, out: Path, *, resume: bool, pretrained: bool
) -> None:
    """Train one network to its end; a checkpoint after every epoch."""
    torch.manual_seed(plan.seed)
    path = out / f"{plan.name}.pt"
    begun = resume and path.is_file()
    lesson = Lesson(films, targets(films, plan.train), plan, config)
    learner = learner_of(lesson, pretrained=pretrained and not begun)
    begin = restore(path, learner) if begun else 0
    for epoch in range(begin, len(learner.rates)):
        torch.manual_seed(plan.seed * 1000 + epoch)
        mean = one_epoch(learner, lesson, epoch)
        LOG.info("%s epoch %d of %d: loss %.5f", plan.name, epoch + 1, len(learner.rates), mean)
        save(path, learner, epoch + 1, finished=epoch + 1 == len(learner.rates))


def learner_of(lesson: Lesson, *, pretrained: bool) -> Learner:
    """A fresh network and its optimiser."""
    config = lesson.config
    net = SeverityNet(config.embedding, config.dropout, pretrained)
    for weight in net.parameters():
        if weight.ndim == 4:  # convolutions run faster with channels last
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=config.weight_decay)
    return Learner(net, copy.deepcopy(net), optimizer, schedule(lesson))


def schedule(lesson: Lesson) -> list[list[float]]:
    """Learning rates: constant for the contrastive stage, then one cycle (Smith 2018)."""
    config, course, rng = lesson.config, lesson.plan.course, np.random.default_rng(0)
    first = len(cut(pretrain_films(lesson, rng), lesson, rng))
    later = len(cut(epoch_films(lesson, rng), lesson, rng))
    steps = later * course.epochs
    share = np.arange(steps) / max(steps, 1)
    rise = np.clip(share / config.warm_share, 0.0, 1.0)
    fall = np.clip((share - config.warm_share) / (1.0 - config.warm_share), 0.0, 1.0)
    cycle = (0.05 + 0.95 * 0.5 * (1 - np.cos(np.pi * rise))) * 0.5 * (1 + np.cos(np.pi * fall))
    rates = config.peak_rate * np.maximum(cycle, 1e-3)
    early = [[config.peak_rate * 0.3] * first] * course.pretrain_epochs
    return [*early, *rates.reshape(course.epochs, later).tolist()]


def pretrain_films(lesson: Lesson, rng: np.random.Generator) -> NDArray[np.int64]:
    """As many normal as abnormal films; half of the abnormal ones from the normals' source."""
    films, train, count = lesson.films, lesson.plan.train, lesson.plan.course.normals
    normal = train[films.normal[train]]
    cohen = train[films.abnormal[train] & ~films.nih[train]]
    nih = train[films.abnormal[train] & films.nih[train]]
    half = max(1, count // 2)
    return np.concatenate([some(normal, count, rng), some(cohen, half, rng), some(nih, half, rng)])


def epoch_films(lesson: Lesson, rng: np.random.Generator) -> NDArray[np.int64]:
    """All scored films, and some of the normals."""
    films, train = lesson.films, lesson.plan.train
    scored = train[films.scored[train]]
    normal = train[films.nih[train] & films.normal[train]]
    return np.concatenate([scored, some(normal, lesson.plan.course.normals, rng)])


def some(films: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`count` of the films, fewer where there are not so many."""
    return rng.permutation(films)[:count]


def cut(
    chosen: NDArray[np.int64], lesson: Lesson, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Shuffled batches, films of one patient side by side."""
    return batches(chosen, lesson.films.patient, lesson.config.batch, rng)


def one_epoch(learner: Learner, lesson: Lesson, epoch: int) -> float:
    """Go once over the epoch's films; the mean loss."""
    config, course, films = lesson.config, lesson.plan.course, lesson.films
    rng = np.random.default_rng([lesson.plan.seed, epoch])
    learner.net.train()
    if epoch >= course.freeze_after:
        learner.net.freeze_early(config.frozen_blocks)
    early = epoch < course.pretrain_epochs
    chosen = pretrain_films(lesson, rng) if early else epoch_films(lesson, rng)
    losses = []
    for batch, rate in zip(cut(chosen, lesson, rng), learner.rates[epoch], strict=True):
        views, flipped = augment(films.frames[batch], VIEW_SIZE, rng)
        with autocast():
            seen = learner.net(views.to(memory_format=torch.channels_last))
        seen = Reading(*(part.float() for part in seen))
        if early:
            abnormal = torch.from_numpy(films.abnormal[batch])
            value = loss.contrastive(seen.embedding, abnormal, config.margin)
        else:
            value = joint_loss(seen, lesson, batch, flipped)
        step(learner, value, rate)
        follow(learner.ema, learner.net, course.ema)
        losses.append(float(value.detach()))
    return float(np.mean(losses))


def step(learner: Learner, value: Tensor, rate: float) -> None:
    """Move the weights once along the clipped gradient."""
    for group in learner.optimizer.param_groups:
        group["lr"] = rate
    learner.optimizer.zero_grad()
    value.backward()
    torch.nn.utils.clip_grad_norm_(learner.net.parameters(), 1.0)
    learner.optimizer.step()


def joint_loss(
    seen: Reading, lesson: Lesson, batch: NDArray[np.int64], flipped: NDArray[np.bool_]
) -> Tensor:
    """Extent, zones, their sum, distances of all pairs, signed pairs of one patient."""
    films, wanted, config = lesson.films, lesson.wanted, lesson.config
    extent = torch.from_numpy(wanted.extent[batch])
    trust = torch.from_numpy(wanted.extent_trust[batch])
    zones = torch.from_numpy(mirror_zones(films.zones[batch], flipped))
    brixia = torch.from_numpy(wanted.brixia[batch])
    brixia_trust = torch.from_numpy(wanted.brixia_trust[batch])
    patient = torch.from_numpy(films.patient[batch])
    return (
        loss.regression(seen.extent, extent, trust)
        + config.weight_zones * loss.regression(seen.zones, zones, torch.ones(len(batch), 1))
        + config.weight_brixia * loss.regression(seen.zones.mean(dim=1), brixia, brixia_trust)
        + config.weight_distance * loss.distance_regression(seen.embedding, extent, trust)
        + config.weight_pairs * loss.signed_pairs(seen.extent, extent, patient, trust)
    )


@torch.no_grad()
def follow(ema: SeverityNet, net: SeverityNet, keep: float) -> None:
    """Move the averaged weights and statistics towards the trained ones."""
    for slow, fast in zip(ema.state_dict().values(), net.state_dict().values(), strict=True):
        if slow.is_floating_point():
            slow.lerp_(fast, 1.0 - keep)
        else:
            slow.copy_(fast)


def save(path: Path, learner: Learner, epoch: int, *, finished: bool) -> None:
    """Write the checkpoint whole or not at all."""
    part = path.with_suffix(".part")
    state = {
        "net": learner.net.state_dict(),
        "ema": learner.ema.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "epoch": epoch,
        "finished": finished,
    }
    torch.save(state, part)
    part.replace(path)


def restore(path: Path, learner: Learner) -> int:
    """Fill the learner from a checkpoint; the number of epochs that it has behind it."""
    state = torch.load(path, weights_only=True)
    learner.net.load_state_dict(state["net"])
    learner.ema.load_state_dict(state["ema"])
    learner.optimizer.load_state_dict(state["optimizer"])
    return int(state["epoch"])
