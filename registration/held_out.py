"""Which patients training never sees: everyone with dated films, and a part of the others."""

from __future__ import annotations

import hashlib

import pandas as pd

FRACTION = 0.15  # of the patients without dated films


def unseen(table: pd.DataFrame) -> pd.Series:
    """Whether each row of radiographs.csv is kept from training, by patient.

    Patients with two or more dated films are kept for the comparison of their films, every one of
    them; of the others a part, by a hash of the name: stable, no list needed.
    """
    dated = table[table["day"].notna()].groupby("patient").size()
    several = set(dated.index[dated >= 2])
    return table["patient"].map(lambda name: name in several or _hash(name) < FRACTION)


def dated_pairs(table: pd.DataFrame) -> list[tuple[int, int]]:
    """Row labels (prior, current) of the last two dated films of every patient."""
    dated = table[table["day"].notna()].sort_values("day", kind="stable")
    pairs: list[tuple[int, int]] = []
    for _, group in dated.groupby("patient"):
        if len(group) >= 2:
            pairs.append((int(group.index[-2]), int(group.index[-1])))
    return pairs


def _hash(name: str) -> float:
    """[0, 1), the same on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32
