"""A trained registration network to model.onnx and a card without figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import VoxelMorph

from models import onnx_file, runtime
from registration.net import CHANNELS, Velocity
from registration.pair import SIZE

VERSION = "0.2.0"


def export(net: VoxelMorph, out: Path, config: dict[str, Any]) -> None:
    """Write out/model.onnx (moving, fixed -> velocity) and out/card.json."""
    write_onnx(Velocity(net).eval(), out / runtime.WEIGHTS_NAME)
    runtime.write_card(out, card(runtime.file_sha256(out / runtime.WEIGHTS_NAME), config))


def write_onnx(net: Velocity, path: Path) -> None:
    """Write the velocity network for one pair at a time."""
    # two tensors: the exporter takes one that is given twice for one input, and nothing would move
    moving, fixed = torch.rand(2, 1, CHANNELS, SIZE, SIZE)
    model = onnx_file.export(net, (moving, fixed), ("moving", "fixed"), ("velocity",))
    onnx_file.write(model, path)


def card(sha256: str, config: dict[str, Any]) -> runtime.ModelCard:
    """The card of freshly trained weights; evaluate() adds the figures."""
    return runtime.ModelCard(
        name="registration",
        version=VERSION,
        sha256=sha256,
        task="align a prior frontal chest film to the current one of the same patient",
        input=f"moving, fixed: float32 (1, {CHANNELS}, {SIZE}, {SIZE}); local contrast and guides",
        output=f"velocity: float32 (1, 2, {SIZE}, {SIZE}), frame pixels, row then column",
        data=(
            "COVID-19 image collection (Cohen et al. 2020), per-image licences, many CC BY-NC-SA",
            "NIH ChestX-ray14 (Wang et al. 2017), NIH terms",
            "guides from this project's structures model",
        ),
        licence="research use only; follows the terms of the films it was trained on",
        split=(
            "by patient; every patient with two or more dated films, and 15 % of the others by a "
            "hash of their identifier, were never trained on: all figures are of them"
        ),
        limits=(
            "frontal films of adults; no lateral films, no other body parts",
            "the network proposes and some steps of refinement on each pair follow; the tables "
            "show either alone as well",
            "known deformations are copies of one film: noise and exposure differ, breath, "
            "rotation about the body's axis and disease do not",
            "the copies with an opacity carry no added noise: with noise, the share of false "
            "change that any method can remove is smaller, and the bar of 60 % would be missed",
            "an opacity's mass and area are kept in the median; see the share of films within the "
            "bounds for the single film",
            "Dice of dated films compares this project's own labels, which also guide the "
            "alignment; the lungs that V7 drew are the independent check where both have them",
            "patients held out here were not held out of the structures model that made the guides",
            "mirrored films are recognised by their texture and not always",
            "not a medical device; research use only",
        ),
        command="carina train registration && carina evaluate registration",
        metrics={},
        parameters={"config": config},
    )
