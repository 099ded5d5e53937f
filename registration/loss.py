"""A good alignment: true where truth is known, overlapping, smooth, blind to disease."""

from __future__ import annotations

import torch
from monai.losses import BendingEnergyLoss, DiceLoss, LocalNormalizedCrossCorrelationLoss
from torch.nn import functional as F  # noqa: N812  # torch's own name for it

_bending = BendingEnergyLoss()
_dice = DiceLoss()
_correlation = LocalNormalizedCrossCorrelationLoss(spatial_dims=2, kernel_size=7)


def endpoint(field: torch.Tensor, truth: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Mean distance in pixels between two fields (B, 2, s, s) inside `where` (B, 1, s, s)."""
    distance = torch.sqrt(torch.square(field - truth).sum(1, keepdim=True) + 1e-2)
    return (distance * where).sum() / (where.sum() + 1e-6)


def overlap(warped_guides: torch.Tensor, fixed_guides: torch.Tensor) -> torch.Tensor:
    """Soft Dice loss over the guides (B, K, s, s)."""
    loss: torch.Tensor = _dice(warped_guides, fixed_guides)
    return loss


def agreement(warped: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
    """(B, 1, s, s) in [0, 1]: where films agree on the large scale; an opacity does not."""
    off = F.avg_pool2d(warped - fixed, 7, stride=1, padding=3, count_include_pad=False)
    return torch.exp(-torch.square(off / 0.06)).detach()


def texture(warped: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
    """Local correlation of films (B, 1, s, s) outside opacities, which may not pull."""
    where = agreement(warped, fixed)
    neutral = 0.5 * (1 - where)  # local contrast is 0.5 where there is none
    loss: torch.Tensor = 1 + _correlation(warped * where + neutral, fixed * where + neutral)
    return loss


def bending(field: torch.Tensor) -> torch.Tensor:
    """Bending energy of a field (B, 2, s, s)."""
    loss: torch.Tensor = _bending(field)
    return loss
