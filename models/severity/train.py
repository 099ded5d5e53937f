"""Training: on painted films first, then on readers' scores; resumable at every epoch."""

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
from models.severity.augment import Views, augment, mirror_zones
from models.severity.data import (
    Films,
    Targets,
    batches,
    folds,
    of_the_start,
    read_films,
    targets,
)
from models.severity.export import export, finished, is_finished
from models.severity.held_out import calibrate, predict_held_out
from models.severity.net import Reading, SeverityNet, expected
from models.severity.serving import read_served

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Course:
    """How long one kind of network learns, and from how many films an epoch; see severity.toml."""

    epochs: int
    peak_rate: float
    frozen_blocks: int
    normals: int
    painted: int
    ema: float


@dataclass(frozen=True, slots=True)
class Config:
    """The recipe; see severity.toml."""

    seed: int
    folds: int
    members: int
    batch: int
    weight_decay: float
    warm_share: float
    embedding: int
    dropout: float
    margin: float
    weight_zones: float
    weight_brixia: float
    weight_score: float
    weight_distance: float
    weight_pairs: float
    weight_places: float
    weight_contrast: float
    version: str
    pretrain: Course
    course: Course


def read_config() -> Config:
    """The packaged recipe."""
    text = Path(__file__).with_name("severity.toml").read_text(encoding="utf-8")
    raw = tomllib.loads(text)
    pretrain, course = Course(**raw.pop("pretrain")), Course(**raw.pop("course"))
    return Config(**raw, pretrain=pretrain, course=course)


@dataclass(frozen=True, slots=True)
class Plan:
    """One network to be trained: its name, its films, its seed, its course.

    Parameters
    ----------
    painted_only : learns from painted and normal films alone (the common start of all others).
    """

    name: str
    train: NDArray[np.int64]
    seed: int
    course: Course
    painted_only: bool = False


START = "start"


def plans(films: Films, config: Config) -> list[Plan]:
    """The common start; then, member by member, each fold (the others' films), then all films.

    The start sees three fifths of the normal collection and no film that readers scored; fold
    networks see of that collection the same part only, so that the rest is held out throughout.
    """
    everything = np.arange(len(films.patient))
    fold = folds(films, config.folds, config.seed)
    begun = of_the_start(films, config.seed)
    start = Plan(START, everything[begun], config.seed, config.pretrain, painted_only=True)
    made = [start]
    for member in range(config.members):
        seed = config.seed + 1 + 100 * member
        for k in range(config.folds):
            train = everything[begun | (~films.nih & (fold != k))]
            made.append(Plan(f"fold{k}-{member}", train, seed + 1 + k, config.course))
        made.append(Plan(f"final-{member}", everything, seed, config.course))
    return made


def train(
    data: Path,
    out: Path,
    *,
    resume: bool = True,
    quick: bool = False,
    only: Sequence[str] | None = None,
) -> None:
    """Train the common start, the fold networks and the shipped one, and export the latter.

    Parameters
    ----------
    data : folder laid out like shared/data.
    out : checkpoints (`start.pt`, `fold0-0.pt`, ..., `final-0.pt`), then `model.onnx`,
        `anchors.npz`, `card.json`.
    resume : go on from the checkpoints found in `out`.
    quick : a few films, one epoch, no ImageNet weights: for tests of the machinery.
    only : names of networks ("start", "fold0-0", "final-0", ...); all where it is None.
    """
    config = read_config()
    if quick:
        short = Course(epochs=1, peak_rate=1e-4, frozen_blocks=7, normals=4, painted=2, ema=0.5)
        config = replace(config, folds=2, members=1, batch=4, pretrain=short, course=short)
    out.mkdir(parents=True, exist_ok=True)
    films = read_films(data, out / "cache", limit=6 if quick else None)
    for plan in plans(films, config):
        if only is None or plan.name in only:
            fit_network(plan, films, config, out, resume=resume, pretrained=not quick)
    if finished(out, "final", config.members):
        finish(data, films, config, out)


def finish(data: Path, films: Films, config: Config, out: Path) -> None:
    """Export the shipped network; intervals from the held-out films of its folds."""
    views = read_served(data, films, out / "cache")
    held = predict_held_out(films, views, asdict(config), out)
    export(films, views[0], asdict(config), out, calibrate(films, held))


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
    learner = learner_of(lesson, pretrained=pretrained and plan.painted_only and not begun)
    if not plan.painted_only and not begun:
        begin_with(out / f"{START}.pt", learner)
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


def begin_with(path: Path, learner: Learner) -> None:
    """Take the weights of the common start.

    Raises
    ------
    FileNotFoundError : it was not trained to its end.
    """
    if not is_finished(path):
        raise FileNotFoundError(
            f"expected a finished {path.name} beside the other checkpoints, found none: "
            f"train {START} first"
        )
    state = torch.load(path, weights_only=True)["ema"]
    learner.net.load_state_dict(state)
    learner.ema.load_state_dict(state)


def schedule(lesson: Lesson) -> list[list[float]]:
    """Learning rates of each step of each epoch: one cycle (Smith 2018)."""
    config, course, rng = lesson.config, lesson.plan.course, np.random.default_rng(0)
    each = len(cut(epoch_films(lesson, rng)[0], lesson, rng))
    share = np.arange(each * course.epochs) / max(each * course.epochs, 1)
    rise = np.clip(share / config.warm_share, 0.0, 1.0)
    fall = np.clip((share - config.warm_share) / (1.0 - config.warm_share), 0.0, 1.0)
    cycle = (0.05 + 0.95 * 0.5 * (1 - np.cos(np.pi * rise))) * 0.5 * (1 + np.cos(np.pi * fall))
    rates = course.peak_rate * np.maximum(cycle, 1e-3)
    listed: list[list[float]] = rates.reshape(course.epochs, each).tolist()
    return listed


def epoch_films(
    lesson: Lesson, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The films of an epoch: those scored, some normals, some to be painted; and the latter."""
    films, train, course = lesson.films, lesson.plan.train, lesson.plan.course
    clear = rng.permutation(train[films.nih[train] & films.normal[train]])
    share = course.normals / (course.normals + course.painted)
    first = min(course.normals, round(share * len(clear)))  # where films are few, each kind gives
    plain, painted = clear[:first], clear[first:][: course.painted]
    if lesson.plan.painted_only:
        ill = rng.permutation(train[films.nih[train] & films.abnormal[train]])
        others = ill[: course.normals]
    else:
        others = train[films.scored[train]]
    return np.concatenate([others, plain, painted]), painted


def cut(
    chosen: NDArray[np.int64], lesson: Lesson, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Shuffled batches, films of one patient side by side."""
    return batches(chosen, lesson.films.patient, lesson.config.batch, rng)


def one_epoch(learner: Learner, lesson: Lesson, epoch: int) -> float:
    """Go once over the epoch's films; the mean loss."""
    course, films = lesson.plan.course, lesson.films
    rng = np.random.default_rng([lesson.plan.seed, epoch])
    learner.net.train()
    learner.net.freeze_early(course.frozen_blocks)
    chosen, painted = epoch_films(lesson, rng)
    losses = []
    for batch, rate in zip(cut(chosen, lesson, rng), learner.rates[epoch], strict=True):
        views = augment(films, batch, np.isin(batch, painted), rng)
        with autocast():
            seen = learner.net(
                views.films.contiguous(memory_format=torch.channels_last), views.zones
            )
        seen = Reading(*(part.float() for part in seen))
        value = (start_loss if lesson.plan.painted_only else joint_loss)(seen, views, lesson, batch)
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


def start_loss(seen: Reading, views: Views, lesson: Lesson, batch: NDArray[np.int64]) -> Tensor:
    """Painted opacities found and counted, normal and abnormal films told apart."""
    films, config = lesson.films, lesson.config
    clear = films.normal[batch] & ~views.painted
    extent = torch.from_numpy(np.where(clear, 0.0, views.painted_extent).astype(np.float32))
    zones = np.where(clear[:, None], 0.0, views.painted_zones).astype(np.float32)
    lungs = views.zones.sum(dim=1).clamp(max=1.0)
    every = torch.ones(len(batch))
    return (
        loss.ordinal(seen.extent, extent, every)
        + config.weight_zones * loss.ordinal(seen.zones, torch.from_numpy(zones), every[:, None])
        + 2.0 * config.weight_places * loss.places(seen.opacity, views.opacity, lungs)
        + config.weight_contrast
        * loss.contrastive(seen.embedding, torch.from_numpy(~clear), config.margin)
    )


def joint_loss(seen: Reading, views: Views, lesson: Lesson, batch: NDArray[np.int64]) -> Tensor:
    """Extent, zones, their sum, places, distances of all pairs, signed pairs of one patient.

    Of a painted film only the place of its opacities is believed.
    """
    films, wanted, config = lesson.films, lesson.wanted, lesson.config
    real = torch.from_numpy(~views.painted).float()
    extent = torch.from_numpy(wanted.extent[batch])
    trust = torch.from_numpy(wanted.extent_trust[batch]) * real
    zones = torch.from_numpy(mirror_zones(films.zones[batch], views.flipped))
    brixia = torch.from_numpy(wanted.brixia[batch])
    brixia_trust = torch.from_numpy(wanted.brixia_trust[batch]) * real
    patient = torch.from_numpy(films.patient[batch])
    scored = expected(seen.extent)
    summed = expected(seen.zones).mean(dim=1)
    lungs = views.zones.sum(dim=1).clamp(max=1.0)
    return (
        loss.ordinal(seen.extent, extent, trust)
        + config.weight_score * loss.regression(scored, extent, trust)
        + config.weight_zones * loss.ordinal(seen.zones, zones, real[:, None])
        + config.weight_brixia * loss.regression(summed, brixia, brixia_trust)
        + config.weight_places * loss.places(seen.opacity, views.opacity, lungs)
        + config.weight_distance * loss.distance_regression(seen.embedding, extent, trust)
        + config.weight_pairs * loss.signed_pairs(scored, extent, patient, trust)
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
