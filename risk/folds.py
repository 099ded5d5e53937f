"""Dealing whole groups (hospitals, states, patients) into folds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def folds(group: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """(n,) fold of each row; a group is never split, the folds are about equally large.

    The largest group first, each to the emptiest fold: scikit-learn's GroupKFold, its ties too.
    """
    groups, index, sizes = np.unique(group, return_inverse=True, return_counts=True)
    filled = np.zeros(min(count, len(groups)))
    fold_of = np.zeros(len(groups), dtype=np.int64)
    for one in np.argsort(sizes, kind="stable")[::-1]:
        fold_of[one] = int(np.argmin(filled))
        filled[fold_of[one]] += sizes[one]
    return np.asarray(fold_of[index])


def random_folds(group: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """(n,) fold of each row; the groups are dealt out at random."""
    groups, index = np.unique(group, return_inverse=True)
    dealt = np.random.default_rng(seed).permutation(len(groups)) % count
    return np.asarray(dealt[index])
