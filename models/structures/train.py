"""Train the labelling network: projections alone in cycles, then with real films."""

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
    unlabelled_films,
    without_fold,
)
from models.structures.loss import structure_loss
from models.structures.net import FRAME_SIZE, StructuresNet
from models.structures.projections import HELD_OUT_SEED, ProjectionStore, unpack

log = logging.getLogger(__name__)

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Frames (B, 1, S, S), the same undisturbed, truth (B, 20, S/2, S/2), known (B, 20)."""

CHECKPOINT_EVERY = 50
SOURCES = (*["projection"] * 5, *["radiologist"] * 2, *["v7"] * 3, *["unlabelled"] * 2)
"""Who fills a batch, in turn."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One leg of the training.

    Parameters
    ----------
    name : of its checkpoint.
    films : what it learns from.
    likes : real films whose greys projections may be given.
    """

    name: str
    size: int
    steps: int
    rate: float
    films: list[LabelledFilm]
    likes: list[LabelledFilm]


def train(data: Path, out: Path, *, resume: bool = True, quick: bool = False) -> None:
    """Train, then export to `out`/model.onnx with `out`/card.json.

    `out`/cycle0.pt ... learn from projections alone, each with a fresh cycle of rates.
    `out`/final.pt goes on from the last with all patients and is exported; `out`/fold0.pt ... go
    on from there without the patients of their fold: evaluate() takes the card's figures from
    them.

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
    others = unlabelled_films(data, config.store_px)
    real = real_films(data, config.store_px) + others
    size = 64 if quick else FRAME_SIZE
    weights = None
    for k, (steps, share) in enumerate(zip(config.cycle_steps, config.cycle_rates, strict=True)):
        stage = Stage(f"cycle{k}", size, steps, share * config.peak_rate, rendered, others)
        weights = run_stage(stage, config, weights, out / f"cycle{k}.pt", resume)

    def go_on(name: str, steps: int, films: list[LabelledFilm]) -> dict[str, Tensor]:
        stage = Stage(name, size, steps, 0.6 * config.peak_rate, rendered + films, films)
        return run_stage(stage, config, weights, out / f"{name}.pt", resume)

    export(go_on("final", config.steps, real), unseen, asdict(config), out)
    for fold in range(config.folds):
        go_on(f"fold{fold}", config.fold_steps, without_fold(real, fold, config.folds))


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
    average.eval()
    for step in range(first, stage.steps):
        frames, clean, truth, known = next(batches)
        truth, known = taught(average, clean, truth, known, config.teacher)
        loss = _step(net, (frames, truth, known), optimiser)
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


def _step(
    net: nn.Module, batch: tuple[Tensor, Tensor, Tensor], optimiser: torch.optim.Optimizer
) -> float:
    frames, truth, known = batch
    with autocast():
        logits = net(frames)
    loss = structure_loss(logits.float(), truth, known)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return float(loss.detach())


@torch.no_grad()
def taught(
    teacher: nn.Module, clean: Tensor, truth: Tensor, known: Tensor, weight: float
) -> tuple[Tensor, Tensor]:
    """Fill what is not known of real films with the outlines of the averaged network.

    It sees the film undisturbed, the network that learns sees it through other greys, tubes and
    opacities. An outline counts the more the surer it is; where it finds nothing, nothing is said.

    Parameters
    ----------
    clean : (B, 1, S, S). truth : (B, C, h, w). known : (B, C).
    weight : of a sure outline beside one that a radiologist drew.

    References
    ----------
    Tarvainen and Valpola, Mean teachers are better role models, NeurIPS 2017.
    """
    missing = known == 0
    rows = missing.any(1)
    if weight <= 0 or not rows.any():
        return truth, known
    logits = teacher(clean[rows]).float()
    sure = torch.sigmoid(logits)
    inside = (sure > 0.5).float()
    confidence = (sure * inside).sum((2, 3)) / inside.sum((2, 3)).clamp_min(1.0)
    truth, known = truth.clone(), known.clone()
    unknown = missing[rows]
    truth[rows] = torch.where(unknown[:, :, None, None], torch.sigmoid(2.0 * logits), truth[rows])
    trust = weight * ((confidence - 0.65) / 0.25).clamp(0.0, 1.0)
    known[rows] = torch.where(unknown, trust, known[rows])
    return truth, known


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, each made while the one before is trained on."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches)
        while True:
            ready = coming.result()
            coming = pool.submit(next, batches)
            yield ready


def _batches(stage: Stage, config: Config, first: int) -> Iterator[Batch]:
    """Films of each source in the turns of `SOURCES`."""
    rng = np.random.default_rng([config.seed, stage.size, len(stage.films), first])
    streams = {
        source: shuffled([film for film in stage.films if film.source == source], rng)
        for source in dict.fromkeys(film.source for film in stage.films)
    }
    turns = [source for source in SOURCES if source in streams]
    while True:
        drawn = [next(streams[turns[k % len(turns)]]) for k in range(config.batch)]
        likes = [stage.likes[k].film for k in rng.integers(len(stage.likes), size=config.batch)]
        examples = [
            example(one, rng, stage.size, like) for one, like in zip(drawn, likes, strict=True)
        ]
        frames, clean, truth, known = (np.stack(part) for part in zip(*examples, strict=True))
        yield (
            torch.from_numpy(frames).to(memory_format=torch.channels_last),
            torch.from_numpy(clean).to(memory_format=torch.channels_last),
            torch.from_numpy(truth),
            torch.from_numpy(known),
        )


def example(
    one: LabelledFilm,
    rng: np.random.Generator,
    size: int,
    like: NDArray[np.uint8],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """One augmented film.

    A projection may be given the greys of the real film `like`.

    Returns
    -------
    frame (1, S, S), the same frame undisturbed, truth (20, S/2, S/2) as covered share, known (20,).
    """
    frame, words, inside = placed(one, rng, size)
    clean = frame
    masks = unpack(words)
    if one.source == "projection":
        if rng.uniform() < 0.7:
            frame = augment.with_bones(frame, masks, rng)
        if rng.uniform() < 0.6:
            frame = augment.matched(frame, inside, like)
    elif masks[:2].any((1, 2)).all() and rng.uniform() < 0.4:
        frame = augment.opacified(frame, masks[:2], rng)
    if rng.uniform() < 0.25:
        frame = augment.cluttered(frame, rng)
    frame = augment.regreyed(frame, inside, rng)
    half = size // 2
    truth = masks.reshape(len(masks), half, 2, half, 2).mean((2, 4), dtype=np.float32)
    return frame[None], clean[None], truth, one.known
