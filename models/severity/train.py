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
from models.severity.export import export
from models.severity.held_out import calibrate, predict_held_out
from models.severity.interval import UNKNOWN
from models.severity.net import VIEW_SIZE, Reading, SeverityNet

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Config:
    """The recipe; see severity.toml."""

    seed: int
    folds: int
    batch: int
    pretrain_epochs: int
    epochs: int
    fold_epochs: int
    freeze_after: int
    frozen_blocks: int
    normals: int
    peak_rate: float
    weight_decay: float
    warm_share: float
    ema: float
    embedding: int
    dropout: float
    margin: float
    weight_zones: float
    weight_brixia: float
    weight_distance: float
    weight_pairs: float
    version: str


def read_config() -> Config:
    """The packaged recipe."""
    text = Path(__file__).with_name("severity.toml").read_text(encoding="utf-8")
    return Config(**tomllib.loads(text))


@dataclass(frozen=True, slots=True)
class Plan:
    """One network to be trained: its name, its films, its seed, its epochs of regression."""

    name: str
    train: NDArray[np.int64]
    seed: int
    epochs: int


def plans(films: Films, config: Config) -> list[Plan]:
    """The shipped network first (all films), then one for each fold (the others' films)."""
    everything = np.arange(len(films.patient))
    fold = folds(films, config.folds, config.seed)
    shipped = Plan("final", everything, config.seed, config.epochs)
    return [shipped] + [
        Plan(f"fold{k}", everything[fold != k], config.seed + 1 + k, config.fold_epochs)
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
        config = replace(config, folds=2, batch=4, pretrain_epochs=1, epochs=1, fold_epochs=1, normals=4)
    out.mkdir(parents=True, exist_ok=True)
    films = read_films(data, out / "cache", limit=6 if quick else None)
    for plan in plans(films, config):
        if only is None or plan.name in only:
            fit_network(plan, films, config, out, resume=resume, pretrained=not quick)
    if (out / "final.pt").is_file():
        finish(films, config, out)


def finish(films: Films, config: Config, out: Path) -> None:
    """Export the shipped network; intervals from the folds, the whole scale if one is missing."""
    calibration = UNKNOWN
    if all((out / f"fold{k}.pt").is_file() for k in range(config.folds)):
        held = predict_held_out(films, config.folds, config.seed, config.embedding, out)
        calibration = calibrate(films, held)
    export(films, asdict(config), out, calibration)


def fit_network(
    plan: Plan, films: Films, config: Config, out: Path, *, resume: bool, pretrained: bool
) -> SeverityNet:
    """Train one network to its end; a checkpoint after every epoch."""
    torch.manual_seed(plan.seed)
    path = out / f"{plan.name}.pt"
    net = SeverityNet(config.embedding, config.dropout, pretrained and not path.is_file())
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch stub
    ema = copy.deepcopy(net)
    rates, total = schedule(config, films, plan)
    optimizer = torch.optim.AdamW(net.parameters(), lr=rates[0], weight_decay=config.weight_decay)
    begin = 0
    if resume and path.is_file():
        state = torch.load(path, weights_only=True)
        net.load_state_dict(state["net"])
        ema.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        begin = int(state["epoch"])
    wanted = targets(films, plan.train)
    for epoch in range(begin, total):
        rng = np.random.default_rng([plan.seed, epoch])
        torch.manual_seed(plan.seed * 1000 + epoch)
        mean = one_epoch(net, ema, optimizer, films, wanted, plan, config, rates, epoch, rng)
        LOG.info("%s epoch %d of %d: loss %.5f", plan.name, epoch + 1, total, mean)
        save(path, net, ema, optimizer, epoch + 1)
    return ema


def schedule(config: Config, films: Films, plan: Plan) -> tuple[list[float], int]:
    """Learning rate of each step: constant for the contrastive stage, then one cycle."""
    rng = np.random.default_rng(0)
    first = len(batches(pretrain_films(films, plan, config, rng), films.patient, config.batch, rng))
    later = len(batches(epoch_films(films, plan, config, rng), films.patient, config.batch, rng))
    warm = [config.peak_rate * 0.3] * (first * config.pretrain_epochs)
    steps = later * plan.epochs
    share = np.arange(steps) / max(steps, 1)
    rise = np.clip(share / config.warm_share, 0.0, 1.0)
    fall = np.clip((share - config.warm_share) / (1.0 - config.warm_share), 0.0, 1.0)
    cycle = (0.05 + 0.95 * 0.5 * (1 - np.cos(np.pi * rise))) * 0.5 * (1 + np.cos(np.pi * fall))
    rates = [*warm, *(config.peak_rate * np.maximum(cycle, 1e-3)).tolist()]
    return rates, config.pretrain_epochs + plan.epochs


def pretrain_films(
    films: Films, plan: Plan, config: Config, rng: np.random.Generator
) -> NDArray[np.int64]:
    """As many normal as abnormal films; half of the abnormal ones from the normals' source."""
    normal = plan.train[films.normal[plan.train]]
    cohen = plan.train[films.abnormal[plan.train] & ~films.nih[plan.train]]
    nih = plan.train[films.abnormal[plan.train] & films.nih[plan.train]]
    half = max(1, config.normals // 2)
    return np.concatenate(
        [some(normal, config.normals, rng), some(cohen, half, rng), some(nih, half, rng)]
    )


def epoch_films(
    films: Films, plan: Plan, config: Config, rng: np.random.Generator
) -> NDArray[np.int64]:
    """All scored films, and some of the normals."""
    scored = plan.train[films.scored[plan.train]]
    normal = plan.train[films.nih[plan.train] & films.normal[plan.train]]
    share = len(plan.train) / len(films.patient)
    return np.concatenate([scored, some(normal, int(config.normals * share), rng)])


def some(
    films: NDArray[np.int64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """`count` of the films, fewer where there are not so many."""
    return rng.permutation(films)[:count]


def one_epoch(
    net: SeverityNet,
    ema: SeverityNet,
    optimizer: torch.optim.Optimizer,
    films: Films,
    wanted: Targets,
    plan: Plan,
    config: Config,
    rates: list[float],
    epoch: int,
    rng: np.random.Generator,
) -> float:
    """Go once over the epoch's films; the mean loss."""
    net.train()
    if epoch >= config.freeze_after:
        net.freeze_early(config.frozen_blocks)
    early = epoch < config.pretrain_epochs
    choose = pretrain_films if early else epoch_films
    cut = batches(choose(films, plan, config, rng), films.patient, config.batch, rng)
    losses = []
    for at, batch in enumerate(cut):
        rate = rates[min(epoch * len(cut) + at, len(rates) - 1)]
        if not early:
            begun = len(rates) - plan.epochs * len(cut)
            rate = rates[begun + (epoch - config.pretrain_epochs) * len(cut) + at]
        for group in optimizer.param_groups:
            group["lr"] = rate
        views, flipped = augment(films.frames[batch], VIEW_SIZE, rng)
        with torch.autocast("cpu", torch.bfloat16):
            seen = net(views.to(memory_format=torch.channels_last))
        seen = Reading(*(part.float() for part in seen))
        if early:
            abnormal = torch.from_numpy(films.abnormal[batch])
            value = loss.contrastive(seen.embedding, abnormal, config.margin)
        else:
            value = joint_loss(seen, films, wanted, batch, flipped, config)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        follow(ema, net, config.ema)
        losses.append(float(value))
    return float(np.mean(losses))


def joint_loss(
    seen: Reading,
    films: Films,
    wanted: Targets,
    batch: NDArray[np.int64],
    flipped: NDArray[np.bool_],
    config: Config,
) -> Tensor:
    """Extent, zones, their sum, distances of all pairs, signed pairs of one patient."""
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


def save(
    path: Path, net: SeverityNet, ema: SeverityNet, optimizer: torch.optim.Optimizer, epoch: int
) -> None:
    """Write the checkpoint whole or not at all."""
    part = path.with_suffix(".part")
    state = {
        "net": net.state_dict(),
        "ema": ema.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": epoch,
    }
    torch.save(state, part)
    part.replace(path)
