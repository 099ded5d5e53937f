"""Train the labelling network: projections and real films in every batch, three stages."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models.precision import autocast
from models.structures import augment
from models.structures.anatomy import STRUCTURES
from models.structures.config import Config, read_config
from models.structures.data import (
    LabelledFilm,
    placed,
    real_films,
    shuffled,
    without_fold,
)
from models.structures.loss import structure_loss
from models.structures.net import FRAME_SIZE, StructuresNet
from models.structures.projections import HELD_OUT_SEED, ProjectionStore, unpack

log = logging.getLogger(__name__)

Batch = tuple[Tensor, Tensor, Tensor]
"""Frames (B, 1, S, S), truth (B, 20, S/2, S/2), known (B, 20)."""

HELD_OUT_FOLD = 0
CHECKPOINT_EVERY = 50


@dataclass(frozen=True, slots=True)
class Stage:
    """One leg of the training: its checkpoint's name, frame size, length, peak rate and films."""

    name: str
    size: int
    steps: int
    rate: float
    real: list[LabelledFilm]
    rendered: list[LabelledFilm]


def train(data: Path, out: Path, *, resume: bool = True, quick: bool = False) -> None:
    """Train, then export to `out`/model.onnx with `out`/card.json.

    `out`/held.pt never saw the patients of fold 0: evaluate() takes the card's figures from it.
    `out`/final.pt goes on from there with all patients and is exported.

    Parameters
    ----------
    data : a folder laid out like the project's data folder.
    resume : go on from the checkpoints in `out`.
    quick : a run of seconds, for tests.
    """
    from models.structures.export import export  # noqa: PLC0415  # ONNX only when it is written

    config = read_config(quick)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    store = projection_store(out, config, held_out=False)
    store.fill(data / "ct")
    unseen = projection_store(out, config, held_out=True)
    unseen.fill(data / "ct")
    rendered = projections(store)
    real = real_films(data, config.store_px)
    most = without_fold(real, HELD_OUT_FOLD, config.folds)
    full = config.small_px if quick else FRAME_SIZE
    stages = (
        Stage("small", config.small_px, config.small_steps, config.peak_rate, most, rendered),
        Stage("held", full, config.full_steps, config.peak_rate * 0.6, most, rendered),
        Stage("final", full, config.final_steps, config.peak_rate * 0.25, real, rendered),
    )
    weights: dict[str, Tensor] | None = None
    for stage in stages:
        weights = run_stage(stage, config, weights, out / f"{stage.name}.pt", resume)
    if weights is not None:
        export(weights, unseen, asdict(config), out)


def projection_store(out: Path, config: Config, *, held_out: bool) -> ProjectionStore:
    """The rendered films of a run: those to train on, or those of unseen deformations."""
    if held_out:
        folder, count, first = "test", config.held_out, HELD_OUT_SEED
    else:
        folder, count, first = "train", config.projections, 0
    return ProjectionStore(out / "projections" / folder, count, config.projection_px, first)


def projections(store: ProjectionStore) -> list[LabelledFilm]:
    """Rendered films as labelled films: everything is known."""
    known = np.ones(len(STRUCTURES), np.float32)
    return [
        LabelledFilm(str(k), f"projection-{k}", "projection", film, words, known, None)
        for k, (film, words) in enumerate(
            zip(store.films[: store.done], store.masks[: store.done], strict=True)
        )
    ]


def run_stage(
    stage: Stage, config: Config, weights: dict[str, Tensor] | None, path: Path, resume: bool
) -> dict[str, Tensor]:
    """Run one stage from `weights` (or ImageNet), kept in `path`; return its averaged weights."""
    net = StructuresNet(pretrained=weights is None)
    if weights is not None:
        net.load_state_dict(weights)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub lacks it
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=True)
    optimiser = torch.optim.AdamW(_groups(net, stage, config), weight_decay=config.weight_decay)
    rates = [group["lr"] for group in optimiser.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rates, total_steps=stage.steps + 1, pct_start=0.15
    )
    first = 0
    if resume and path.exists():
        state = torch.load(path, weights_only=True)
        first = int(state["step"])
        average.load_state_dict(state["average"])
        for part, name in ((net, "net"), (optimiser, "optimiser"), (schedule, "schedule")):
            part.load_state_dict(state[name])
    batches = _ahead(_batches(stage, config, first))
    net.train()
    for step in range(first, stage.steps):
        loss = _step(net, next(batches), optimiser)
        schedule.step()
        average.update_parameters(net)
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == stage.steps:
            log.info("%s step %d of %d: loss %.4f", stage.name, step + 1, stage.steps, loss)
            torch.save(
                {
                    "step": step + 1,
                    "net": net.state_dict(),
                    "average": average.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "schedule": schedule.state_dict(),
                },
                path.with_suffix(".part"),
            )
            path.with_suffix(".part").replace(path)
    return read_weights(path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The averaged weights of a checkpoint, as a state of `StructuresNet`."""
    state = torch.load(path, weights_only=True)["average"]
    return {k.removeprefix("module."): v for k, v in state.items() if k.startswith("module.")}


def _groups(net: StructuresNet, stage: Stage, config: Config) -> list[dict[str, object]]:
    encoder = list(net.encoder.parameters())
    mine = {id(p) for p in encoder}
    decoder = [p for p in net.parameters() if id(p) not in mine]
    return [
        {"params": encoder, "lr": stage.rate * config.encoder_share},
        {"params": decoder, "lr": stage.rate},
    ]


def _step(net: nn.Module, batch: Batch, optimiser: torch.optim.Optimizer) -> float:
    frames, truth, known = batch
    with autocast():
        logits = net(frames)
    loss = structure_loss(logits.float(), truth, known)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return float(loss.detach())


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, each made while the one before is trained on."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches)
        while True:
            ready = coming.result()
            coming = pool.submit(next, batches)
            yield ready


def _batches(stage: Stage, config: Config, first: int) -> Iterator[Batch]:
    """Half projections, a quarter radiologists' films, a quarter V7 films."""
    rng = np.random.default_rng([config.seed, stage.size, len(stage.real), first])
    kinds = [[f for f in stage.real if f.source == source] for source in ("radiologist", "v7")]
    streams = [shuffled(films, rng) for films in (stage.rendered, *kinds) if films]
    turns = (0, 0, *range(1, len(streams))) if len(streams) > 1 else (0,)
    while True:
        drawn = [next(streams[turns[k % len(turns)]]) for k in range(config.batch)]
        likes = rng.integers(len(stage.real), size=config.batch) if stage.real else None
        examples = [
            example(one, rng, stage.size, None if likes is None else stage.real[likes[k]].film)
            for k, one in enumerate(drawn)
        ]
        frames, truth, known = (np.stack(part) for part in zip(*examples, strict=True))
        yield (
            torch.from_numpy(frames).to(memory_format=torch.channels_last),
            torch.from_numpy(truth),
            torch.from_numpy(known),
        )


def example(
    one: LabelledFilm,
    rng: np.random.Generator,
    size: int,
    like: NDArray[np.uint8] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """One augmented film: frame (1, S, S), truth (20, S/2, S/2) as covered share, known (20,).

    A projection may be given the greys of the real film `like`.
    """
    frame, words, inside = placed(one, rng, size)
    masks = unpack(words)
    if one.source == "projection":
        if rng.uniform() < 0.7:
            frame = augment.with_bones(frame, masks, rng)
        if like is not None and rng.uniform() < 0.6:
            frame = augment.matched(frame, inside, like)
    elif rng.uniform() < 0.4:
        frame = augment.opacified(frame, masks[:2], rng)
    if rng.uniform() < 0.25:
        frame = augment.cluttered(frame, rng)
    frame = augment.regreyed(frame, inside, rng)
    half = size // 2
    truth = masks.reshape(len(masks), half, 2, half, 2).mean((2, 4), dtype=np.float32)
    return frame[None], truth, one.known
