"""Train the registration network on known deformations and on real pairs, side by side."""

from __future__ import annotations

import logging
import tomllib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from monai.networks.blocks import DVF2DDF, Warp
from monai.networks.nets import VoxelMorph
from torch.nn import functional as F  # noqa: N812  # torch's own name for it

from registration import loss
from registration.data import Pairs, load_pairs
from registration.export import export
from registration.net import Backbone, build

log = logging.getLogger(__name__)
FARTHEST_PX = 10.0  # of the halved frame
integrate = DVF2DDF(num_steps=5, mode="bilinear", padding_mode="border")
warp = Warp(mode="bilinear", padding_mode="zeros")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that a training can be told; saved in the card."""

    seed: int
    size: int
    widths: tuple[int, ...]
    final: tuple[int, ...]
    films: int
    steps: int
    batch: int
    learning_rate: float
    bending_weight: float
    overlap_weight: float
    texture_weight: float


def read_config(quick: bool = False) -> Config:
    """The packaged TOML; `quick` shrinks it to a run of seconds."""
    table = tomllib.loads(Path(__file__).with_name("registration.toml").read_text())
    widths, final = tuple(table.pop("widths")), tuple(table.pop("final"))
    config = Config(widths=widths, final=final, **table)
    return replace(config, steps=4, batch=2, films=8) if quick else config


def train(data: Path, out: Path, *, resume: bool = True, quick: bool = False) -> None:
    """Train on the films of `data` whose patients are not held out; write out/model.onnx.

    A checkpoint is kept every 100 steps; `resume` goes on from it.
    """
    config = read_config(quick)
    torch.manual_seed(config.seed)
    out.mkdir(parents=True, exist_ok=True)
    pairs = load_pairs(data, out / "cache", config.films, config.seed)
    net = build(config.widths, config.final)
    optimiser = torch.optim.AdamW(net.parameters(), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.steps + 1, pct_start=0.1
    )
    first = _restore(out / "checkpoint.pt", net, optimiser, schedule) if resume else 0
    rng = np.random.default_rng(config.seed + first)
    for step in range(first, config.steps):
        total = _loss(net, *_batch(pairs, config.batch, rng), config)
        optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 20 == 0:
            log.info("step %d of %d: loss %.4f", step, config.steps, float(total.detach()))
        if step % 100 == 99:
            _save(out / "checkpoint.pt", step + 1, net, optimiser, schedule)
    export(net, out, asdict(config))


def _batch(
    pairs: Pairs, size: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """moving, fixed (B, C, s, s) and truth (B, 2, s, s); contrast and guides jittered apart."""
    rows = rng.integers(0, len(pairs.moving), size)
    sides = [
        torch.from_numpy(one[rows].astype(np.float32) / 255) for one in (pairs.moving, pairs.fixed)
    ]
    for one in sides:
        contrast = rng.uniform(0.8, 1.2, (size, 1, 1, 1)).astype(np.float32)
        one[:, :1] = 0.5 + (one[:, :1] - 0.5) * torch.from_numpy(contrast)
        kept = rng.random((size, one.shape[1] - 1, 1, 1)) > 0.05
        one[:, 1:] *= torch.from_numpy(kept.astype(np.float32))
    return sides[0], sides[1], torch.from_numpy(pairs.truth[rows].astype(np.float32))


def _loss(
    net: VoxelMorph,
    moving: torch.Tensor,
    fixed: torch.Tensor,
    truth: torch.Tensor,
    config: Config,
) -> torch.Tensor:
    """Of two passes; the second sees what the first left, as in service.

    Measured on the halved frame, on which the velocity lives: four times faster.
    """
    coarse = cast(Backbone, net.backbone).coarse
    halves = F.avg_pool2d(moving, 2), F.avg_pool2d(fixed, 2), F.avg_pool2d(truth, 2) / 2
    velocity = coarse(torch.cat([moving, fixed], 1))
    field = integrate(velocity)
    first = _misfit(field, *halves, config)
    with torch.no_grad():
        full = F.interpolate(2 * field, scale_factor=2.0, mode="bilinear", align_corners=False)
        carried = warp(moving, full)
    again = velocity.detach() + coarse(torch.cat([carried, fixed], 1))
    return 0.5 * first + _misfit(integrate(again), *halves, config)


def _misfit(
    field: torch.Tensor,
    moving: torch.Tensor,
    fixed: torch.Tensor,
    truth: torch.Tensor,
    config: Config,
) -> torch.Tensor:
    """Overlap, texture outside opacities and smoothness; the true field where it is known."""
    warped = warp(moving, field)
    total = (
        config.overlap_weight * loss.overlap(warped[:, 1:], fixed[:, 1:])
        + config.texture_weight * loss.texture(warped[:, :1], fixed[:, :1])
        + config.bending_weight * loss.bending(field)
    )
    known = truth.abs().amax((1, 2, 3)) < FARTHEST_PX  # neither unknown nor after a lost affine
    if known.any():
        body = 0.1 + fixed[known, 1:].amax(1, keepdim=True)
        total = total + 2 * loss.endpoint(field[known], truth[known], body)
    return total


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
