"""The registration network: MONAI's VoxelMorph in two dimensions, diffeomorphic variant."""

from __future__ import annotations

import torch
from monai.networks.nets import VoxelMorph, VoxelMorphUNet
from torch import nn
from torch.nn import functional as F  # noqa: N812  # torch's own name for it

from registration.loss import agreement
from registration.pair import GUIDES

CHANNELS = 1 + len(GUIDES)
WINDOWS = (3, 7, 13)  # pixels of the halved frame
TEXTURE = 4.0  # weight of the film beside one structure
DAMPING = 2e-3


class Backbone(nn.Module):
    """A U-Net at a quarter of the frame that corrects what brightness constancy proposes.

    At three windows the films and guides are asked, by least squares, how far each neighbourhood
    would have to move (Lucas and Kanade 1981). The network sees these answers beside both films,
    weighs them and adds what they lack: the rest of a smooth velocity.
    """

    def __init__(self, widths: tuple[int, ...], final: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(2 * CHANNELS, widths[0], 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(widths[0], widths[0], 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
        )
        self.net = VoxelMorphUNet(
            spatial_dims=2,
            in_channels=widths[0] + 2 * len(WINDOWS),
            unet_out_channels=widths[0],
            channels=widths,
            final_conv_channels=final,
            use_maxpool=False,
        )
        self.share = nn.Parameter(torch.full((len(WINDOWS), 1, 1, 1, 1), 1 / len(WINDOWS)))
        last = [m for m in self.net.modules() if isinstance(m, nn.Conv2d)][-1]
        nn.init.normal_(last.weight, std=1e-3)  # VoxelMorph's authors start near the identity
        if last.bias is not None:
            nn.init.zeros_(last.bias)

    def coarse(self, both: torch.Tensor) -> torch.Tensor:
        """(B, 2 C, s, s) -> (B, 2, s / 2, s / 2) velocity in pixels of the halved frame."""
        halves = F.avg_pool2d(both, 2)
        flows = proposals(halves[:, :CHANNELS], halves[:, CHANNELS:])
        seen = torch.cat([self.stem(both), *(F.avg_pool2d(flow, 2) for flow in flows)], 1)
        added = F.interpolate(
            self.net(seen), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        velocity: torch.Tensor = added + (self.share * torch.stack(flows)).sum(0)
        return velocity

    def forward(self, both: torch.Tensor) -> torch.Tensor:
        """(B, 2 C, s, s) -> (B, 2, s, s) velocity in frame pixels, row then column."""
        velocity: torch.Tensor = F.interpolate(
            2 * self.coarse(both), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        return velocity


def proposals(moving: torch.Tensor, fixed: torch.Tensor) -> list[torch.Tensor]:
    """For each window (B, 2, h, w): how far neighbourhoods of (B, C, h, w) should move, pixels.

    Structures count everywhere, texture only where both films agree on the large scale.
    """
    weight = torch.cat(
        [TEXTURE * agreement(moving[:, :1], fixed[:, :1]), torch.ones_like(moving[:, 1:])], 1
    )
    mean, off = (moving + fixed) / 2, fixed - moving
    padded = F.pad(mean, (1, 1, 1, 1), mode="replicate")
    down = (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]) / 2
    right = (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]) / 2
    terms = torch.stack(
        [
            (weight * one * other).sum(1)
            for one, other in (
                (down, down),
                (down, right),
                (right, right),
                (down, off),
                (right, off),
            )
        ],
        1,
    )
    return [_solved(_blurred(terms, window)) for window in WINDOWS]


def _solved(terms: torch.Tensor) -> torch.Tensor:
    """The two by two equations of each point, damped where nothing is seen; two pixels at most."""
    down, cross, right, by_down, by_right = terms.unbind(1)
    down, right = down + DAMPING, right + DAMPING
    area = down * right - cross * cross
    flow = torch.stack([right * by_down - cross * by_right, down * by_right - cross * by_down], 1)
    return 2 * torch.tanh(flow / area.unsqueeze(1) / 2)


def _blurred(maps: torch.Tensor, window: int) -> torch.Tensor:
    for _ in range(2):
        maps = F.avg_pool2d(maps, window, 1, window // 2, count_include_pad=False)
    return maps


def build(widths: tuple[int, ...], final: tuple[int, ...]) -> VoxelMorph:
    """VoxelMorph over two stacks of (1 + guides) channels; starts near the identity."""
    return VoxelMorph(
        backbone=Backbone(widths, final), integration_steps=7, half_res=False, spatial_dims=2
    )


class Velocity(nn.Module):
    """What is exported: the velocity alone; `registration/warp.py` integrates it."""

    def __init__(self, net: VoxelMorph) -> None:
        super().__init__()
        self.backbone = net.backbone

    def forward(self, moving: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
        """(B, C, s, s) twice -> (B, 2, s, s) velocity in frame pixels, row then column."""
        velocity: torch.Tensor = self.backbone(torch.cat([moving, fixed], dim=1))
        return velocity
