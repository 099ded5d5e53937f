"""A good alignment: true where truth is known, overlapping, smooth, blind to disease."""

from __future__ import annotations

import torch
from monai.losses import BendingEnergyLoss, DiceLoss, LocalNormalizedCrossCorrelationLoss

_bending = BendingEnergyLoss()
_dice = DiceLoss()
_correlation = LocalNormalizedCrossCorrelationLoss(spatial_dims=2, kernel_size=9)


def endpoint(field: torch.Tensor, truth: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Mean distance in pixels between two fields (B, 2, s, s) inside `where` (B, 1, s, s)."""
    distance = torch.sqrt(torch.square(field - truth).sum(1, keepdim=True) + 1e-4)
    return (distance * where).sum() / (where.sum() + 1e-6)


def overlap(warped_guides: torch.Tensor, fixed_guides: torch.Tensor) -> torch.Tensor:
    """Soft Dice loss over the guides (B, K, s, s)."""
    loss: torch.Tensor = _dice(warped_guides, fixed_guides)
    return loss


def texture(warped: torch.Tensor, fixed: torch.Tensor, lungs: torch.Tensor) -> torch.Tensor:
    """Local correlation of films (B, 1, s, s) outside the lungs: opacities may not pull."""
    outside = 1 - lungs
    neutral = 0.5 * lungs  # local contrast is 0.5 where there is none
    loss: torch.Tensor = 1 + _correlation(warped * outside + neutral, fixed * outside + neutral)
    return loss


def bending(field: torch.Tensor) -> torch.Tensor:
    """Bending energy of a field (B, 2, s, s)."""
    loss: torch.Tensor = _bending(field)
    return loss
