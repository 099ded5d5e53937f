"""Telling a left-right mirrored film: a linear reader of the trained network's features.

The network itself learns to read mirrored films alike, so its scores say nothing of the sides;
its features still show where the heart lies. Reader and threshold are fitted apart for each fold of
patients when they are judged; the features are those of the shipped network, which knows the films
(from both sides).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from models.severity.data import Films
from models.severity.net import ServedNet, shrink, sided
from models.severity.serving import Served
from models.severity.view import INPUT_SIZE, VIEW_SIZE
from models.severity.zones import EXTENT_MAX

MOST_FILMS = 900  # each is read four times: three minutes on two cores
FOLDS = 5
PENALTY = 1e-3  # inverse; chosen among four by cross-validation, where it hardly matters
ACCEPTED = 0.995  # share of held-out films as they should be that stay accepted


@dataclass(frozen=True, slots=True)
class Mirror:
    """The reader and what it found.

    Parameters
    ----------
    weights : (SIDED,) see `ServedNet`.
    threshold : difference of the two views' logits above which a film is called mirrored.
    upright, mirrored : (N,) that difference for films as they are and mirrored, each by a reader
        that never saw the patient. fold, patient : (N,). extent : (N,) 0-8, NaN where
        nobody scored it.
    """

    weights: NDArray[np.float32]
    threshold: float
    upright: NDArray[np.float64]
    mirrored: NDArray[np.float64]
    fold: NDArray[np.int64]
    patient: NDArray[np.int64]
    extent: NDArray[np.float64]


def fit_mirror(net: ServedNet, films: Films, views: Served, seed: int) -> Mirror:
    """Fit on films and their mirror images, near and far; the threshold on held-out patients."""
    rng = np.random.default_rng([seed, 9])
    order = rng.permutation(len(films.patient))
    chosen = np.sort(order[np.argsort(~films.scored[order], kind="stable")][:MOST_FILMS])
    features = features_of(net, views, chosen)
    patient = films.patient[chosen]
    fold = rng.integers(0, FOLDS, int(patient.max()) + 1)[patient]
    upright, mirrored = np.zeros(len(chosen)), np.zeros(len(chosen))
    for k in range(FOLDS):
        out = fold == k
        if out.any() and not out.all():
            near, near_flipped, far, far_flipped = features[:, out] @ fitted(features[:, ~out])
            upright[out], mirrored[out] = near - far_flipped, near_flipped - far
    threshold = float(np.quantile(upright, ACCEPTED))
    extent = films.extent[chosen].astype(np.float64) * EXTENT_MAX
    return Mirror(fitted(features), threshold, upright, mirrored, fold, patient, extent)


def thresholds(upright: NDArray[np.float64], fold: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N,) threshold for each film, from the films of the other folds."""
    found = np.zeros(len(upright))
    for k in np.unique(fold):
        found[fold == k] = np.quantile(upright[fold != k], ACCEPTED)
    return found


@torch.inference_mode()
def features_of(net: ServedNet, views: Served, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    """(4, N, SIDED) of the near view, its mirror image, the far view and its mirror image."""
    edge, found = (INPUT_SIZE - VIEW_SIZE) // 2, []
    for at in chosen:
        film = torch.from_numpy(views.films[at])[None, None].float() / 255.0
        near, far = film[:, :, edge:-edge, edge:-edge], shrink(film, VIEW_SIZE)
        found.append(sided(net.net.taps(torch.cat([near, near.flip(3), far, far.flip(3)]))).numpy())
    return np.stack(found, axis=1)


def fitted(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """(SIDED,) weights that tell the second and fourth kind of view from the first and third.

    The means cancel in the difference of two views, so no bias is kept.
    """
    spread = features.std(axis=(0, 1)) + 1e-3
    rows = (features - features.mean(axis=(0, 1))) / spread
    flipped = np.repeat([False, True, False, True], features.shape[1])
    reader = LogisticRegression(C=PENALTY, max_iter=300)
    reader.fit(rows.reshape(-1, rows.shape[-1]), flipped)
    return np.asarray(reader.coef_[0] / spread, np.float32)
