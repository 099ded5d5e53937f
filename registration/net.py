"""The registration network: MONAI's VoxelMorph in two dimensions, diffeomorphic variant."""

from __future__ import annotations

import torch
from monai.networks.nets import VoxelMorph, VoxelMorphUNet
from torch import nn

from registration.pair import GUIDES

CHANNELS = 1 + len(GUIDES)


def build(widths: tuple[int, ...], final: tuple[int, ...]) -> VoxelMorph:
    """VoxelMorph over two stacks of (1 + guides) channels; starts at the identity."""
    backbone = VoxelMorphUNet(
        spatial_dims=2,
        in_channels=2 * CHANNELS,
        unet_out_channels=widths[-1],
        channels=widths,
        final_conv_channels=final,
        use_maxpool=False,
    )
    convolutions = [m for m in backbone.modules() if isinstance(m, nn.Conv2d)]
    nn.init.normal_(convolutions[-1].weight, std=1e-5)  # as VoxelMorph's authors start
    if convolutions[-1].bias is not None:
        nn.init.zeros_(convolutions[-1].bias)
    return VoxelMorph(backbone=backbone, integration_steps=7, half_res=False, spatial_dims=2)


class Velocity(nn.Module):
    """What is exported: the velocity alone; `registration/warp.py` integrates it."""

    def __init__(self, net: VoxelMorph) -> None:
        super().__init__()
        self.backbone = net.backbone

    def forward(self, moving: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
        """(B, C, s, s) twice -> (B, 2, s, s) velocity in frame pixels, row then column."""
        velocity: torch.Tensor = self.backbone(torch.cat([moving, fixed], dim=1))
        return velocity
