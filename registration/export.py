"""A trained registration network to model.onnx and a card without figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import VoxelMorph

from models import onnx_file, runtime
from registration.net import CHANNELS, Velocity
from registration.pair import SIZE

VERSION = "0.1.0"


def export(net: VoxelMorph, out: Path, config: dict[str, Any]) -> None:
    """Write out/model.onnx (moving, fixed -> velocity) and out/card.json."""
    write_onnx(Velocity(net).eval(), out / runtime.WEIGHTS_NAME)
    runtime.write_card(out, card(runtime.file_sha256(out / runtime.WEIGHTS_NAME), config))


def write_onnx(net: Velocity, path: Path) -> None:
    """Write the velocity network for one pair at a time."""
    example = torch.rand(1, CHANNELS, SIZE, SIZE)
    model = onnx_file.export(net, (example, example), ("moving", "fixed"), ("velocity",))
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
        split="patients held out by a hash of their identifier; never trained on",
        limits=(
            "frontal films of adults; no lateral films, no other body parts",
            "the network alone hardly improves on the affine; the refinement on each pair does",
            "known deformations are measured with guides that were deformed with their film: films "
            "labelled anew, as in service, differ by the labelling's own error as well",
            "every method of the tables worked on frames of 96 px",
            "patients held out here were not held out of the structures model that made the guides",
            "not a medical device; research use only",
        ),
        command="carina train registration && carina evaluate registration",
        metrics={},
        parameters={"config": config},
    )
