"""Dice and cross-entropy over the structures that a film's truth tells about."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from torch.nn import functional

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MONAI's optional parts warn of each other at import
    from monai.losses import DiceLoss

_DICE = DiceLoss(sigmoid=True, reduction="none", smooth_nr=1.0, smooth_dr=1.0)


def structure_loss(logits: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Mean over known structures of Dice loss plus cross-entropy.

    Parameters
    ----------
    logits : (B, C, H, W).
    truth : (B, C, H, W), 0 or 1 (or a teacher's probability).
    known : (B, C), weight of each structure's truth; 0 where the film's truth does not tell.
    """
    dice = _DICE(logits, truth).flatten(1)  # (B, C)
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    each = dice + 2.0 * entropy.mean((2, 3))
    return torch.as_tensor((each * known).sum() / known.sum().clamp_min(1e-6))
