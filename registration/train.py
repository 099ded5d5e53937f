"""Train the registration network on known deformations and on real pairs, side by side."""

from __future__ import annotations

import logging
import tomllib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from monai.networks.nets import VoxelMorph
from numpy.typing import NDArray

from registration import data as pairs
from registration import loss
from registration.export import export
from registration.net import build

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that a training can be told; saved in the card."""

    seed: int
    size: int
    widths: tuple[int, ...]
    final: tuple[int, ...]
    steps: int
    batch: int
    learning_rate: float
    bending_weight: float
    overlap_weight: float
    texture_weight: float
    opacity_probability: float
    guide_noise_px: float
    deformation_px: float
    held_out_fraction: float


def read_config(quick: bool = False) -> Config:
    """The packaged TOML; `quick` shrinks it to a run of seconds."""
    table = tomllib.loads(Path(__file__).with_name("registration.toml").read_text())
    widths, final = tuple(table.pop("widths")), tuple(table.pop("final"))
    config = Config(widths=widths, final=final, **table)
    return replace(config, steps=4, batch=2) if quick else config


def train(data: Path, out: Path, *, resume: bool = True, quick: bool = False) -> None:
    """Train on the films of `data` whose patients are not held out; write out/model.onnx.

    A checkpoint is kept every 200 steps; `resume` goes on from it.
    """
    config = read_config(quick)
    torch.manual_seed(config.seed)
    out.mkdir(parents=True, exist_ok=True)
    films = pairs.load_films(data, out / "cache")
    trained = [not pairs.held_out(p, config.held_out_fraction) for p in films.table["patient"]]
    rows = np.flatnonzero(trained)
    real, matrices = _real_pairs(films, rows, config, quick)
    net = build(config.widths, config.final)
    optimiser = torch.optim.AdamW(net.parameters(), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.steps + 1, pct_start=0.1
    )
    first = _restore(out / "checkpoint.pt", net, optimiser, schedule) if resume else 0
    generator = torch.Generator().manual_seed(config.seed + first)
    rng = np.random.default_rng(config.seed + first)
    for step in range(first, config.steps):
        if step % 2 == 0:
            total = _known_step(
                net, films.tensor(rng.choice(rows, config.batch)), config, generator
            )
        else:
            chosen = rng.choice(len(real), config.batch)
            total = _real_step(net, films, real[chosen], matrices[chosen], config)
        optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 50 < 2:
            log.info("step %d of %d: loss %.4f", step, config.steps, float(total.detach()))
        if step % 200 == 199:
            _save(out / "checkpoint.pt", step + 1, net, optimiser, schedule)
    export(net, out, asdict(config))


def _known_step(
    net: VoxelMorph, channels: torch.Tensor, config: Config, generator: torch.Generator
) -> torch.Tensor:
    """Endpoint error against the field that made the pair."""
    pair = pairs.known_pair(
        channels,
        config.deformation_px,
        config.opacity_probability,
        config.guide_noise_px,
        generator,
    )
    _, field = net(pair.moving, pair.fixed)
    body = pair.clean_fixed[:, 1:].amax(1, keepdim=True)
    matched = loss.overlap(
        pairs.warp_torch(pair.clean_moving[:, 1:], field), pair.clean_fixed[:, 1:]
    )
    return (
        loss.endpoint(field, pair.truth, 0.2 + body)
        + config.overlap_weight * matched
        + 0.2 * config.bending_weight * loss.bending(field)
    )


def _real_step(
    net: VoxelMorph,
    films: pairs.Films,
    rows: NDArray[np.int64],
    matrices: NDArray[np.float64],
    config: Config,
) -> torch.Tensor:
    """Overlap, texture outside the lungs and smoothness between two real films."""
    moving = pairs.warp_torch(films.tensor(rows[:, 0]), pairs.affine_grid(matrices))
    fixed = films.tensor(rows[:, 1])
    warped, field = net(moving, fixed)
    lungs = torch.maximum(warped[:, 1:3], fixed[:, 1:3]).amax(1, keepdim=True).detach()
    return (
        5 * config.overlap_weight * loss.overlap(warped[:, 1:], fixed[:, 1:])
        + config.texture_weight * loss.texture(warped[:, :1], fixed[:, :1], lungs)
        + config.bending_weight * loss.bending(field)
    )


def _real_pairs(
    films: pairs.Films, rows: NDArray[np.int64], config: Config, quick: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows (P, 2) into `films` and the affine of each pair (P, 2, 3)."""
    rng = np.random.default_rng(config.seed)
    chosen = pairs.pair_rows(films.table.iloc[rows].reset_index(drop=True), rng, others=400)
    chosen = rows[rng.permutation(chosen)[: 4 if quick else 2000]]
    return chosen, np.stack([pairs.affine_of(films, int(a), int(b)) for a, b in chosen])


def _save(
    file: Path,
    step: int,
    net: VoxelMorph,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    state = {
        "step": step,
        "net": net.state_dict(),
        "optimiser": optimiser.state_dict(),
        "schedule": schedule.state_dict(),
    }
    torch.save(state, file.with_suffix(".part"))
    file.with_suffix(".part").replace(file)


def _restore(
    file: Path,
    net: VoxelMorph,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> int:
    if not file.is_file():
        return 0
    state = torch.load(file, weights_only=True)
    net.load_state_dict(state["net"])
    optimiser.load_state_dict(state["optimiser"])
    schedule.load_state_dict(state["schedule"])
    return int(state["step"])
