"""The losses of the Siamese severity network; all pairs within a batch, so pairs cost nothing."""

from __future__ import annotations

import torch
from torch import Tensor


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


def regression(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean squared error where `target` is known (not NaN), weighted; zero if none is."""
    known = ~target.isnan()
    return weighted_mean((predicted - target.nan_to_num()).square(), weight * known)


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
