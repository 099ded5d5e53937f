"""The losses of the Siamese severity network; all pairs within a batch, so pairs cost nothing."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def distances(embedding: Tensor) -> Tensor:
    """(N, E) to Euclidean distances (N, N), differentiable at zero."""
    gap = embedding[:, None] - embedding[None]
    return (gap.square().sum(dim=2) + 1e-6).sqrt()


def contrastive(embedding: Tensor, abnormal: Tensor, margin: float) -> Tensor:
    """Pull films of one kind together, push normal and abnormal at least `margin` apart.

    Parameters
    ----------
    embedding : (N, E).
    abnormal : (N,) bool.
    margin : in units of the embedding (extent, 0-8).

    References
    ----------
    Hadsell et al., CVPR 2006; Li et al., Radiology: Artificial Intelligence 2(4), 2020.
    """
    apart = distances(embedding)
    same = abnormal[:, None] == abnormal[None]
    pairs = ~torch.eye(len(embedding), dtype=torch.bool)
    pull = apart.square()
    push = (margin - apart).clamp(min=0.0).square()
    return torch.where(same, pull, push)[pairs].mean() / margin**2


def distance_regression(embedding: Tensor, extent: Tensor, weight: Tensor) -> Tensor:
    """Mean squared error between distance and |difference in extent|, both over 8.

    Parameters
    ----------
    embedding : (N, E).
    extent : (N,) in [0, 1], NaN where unknown.
    weight : (N,) trust in each extent.
    """
    wanted = (extent[:, None] - extent[None]).abs()
    error = (distances(embedding) / 8.0 - wanted.nan_to_num()).square()
    trust = weight[:, None] * weight[None] * (~torch.eye(len(extent), dtype=torch.bool))
    return weighted_mean(error, trust * ~wanted.isnan())


def ordinal(steps: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of K ordered steps where `target` is known (not NaN); zero if none is.

    Parameters
    ----------
    steps : (..., K) logits that the score is above 0, 1, ..., K - 1.
    target : (...) score as a fraction of K; a mean of readers lies between two steps, and the
        step between them is then a share.
    weight : (...) trust in each target.

    References
    ----------
    Frank and Hall, A simple approach to ordinal classification, ECML 2001.
    """
    known = ~target.isnan()
    count = steps.shape[-1]
    above = target.nan_to_num()[..., None] * count - torch.arange(count)
    error = functional.binary_cross_entropy_with_logits(
        steps, above.clamp(0.0, 1.0), reduction="none"
    )
    return weighted_mean(error.mean(dim=-1), weight * known)


def regression(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean squared error where `target` is known (not NaN), weighted; zero if none is."""
    known = ~target.isnan()
    return weighted_mean((predicted - target.nan_to_num()).square(), weight * known)


def places(opacity: Tensor, drawn: Tensor, lungs: Tensor) -> Tensor:
    """Cross-entropy of the opacity map where it was drawn or painted.

    Parameters
    ----------
    opacity : (N, h, w) logits. drawn : (N, h, w) shares of cells, NaN where unknown.
    lungs : (N, h, w) in [0, 1]; cells outside them count a twentieth.
    """
    known = ~drawn.isnan()
    error = functional.binary_cross_entropy_with_logits(
        opacity, drawn.nan_to_num(), reduction="none"
    )
    return weighted_mean(error, (0.05 + 0.95 * lungs) * known)


def signed_pairs(predicted: Tensor, target: Tensor, patient: Tensor, weight: Tensor) -> Tensor:
    """Squared error of the signed difference between two films of one patient.

    Parameters
    ----------
    predicted, target : (N,) extent in [0, 1]; NaN where the target is unknown.
    patient : (N,) integer names.
    weight : (N,) trust in each target.
    """
    wanted = target[:, None] - target[None]
    error = (predicted[:, None] - predicted[None] - wanted.nan_to_num()).square()
    same = (patient[:, None] == patient[None]).triu(diagonal=1)
    return weighted_mean(error, same * weight[:, None] * weight[None] * ~wanted.isnan())


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Sum of weighted values over the sum of weights; zero where there is no weight."""
    return (values * weight).sum() / weight.sum().clamp(min=1e-6)
