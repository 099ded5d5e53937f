"""The training recipe: one TOML into one frozen record."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Config:
    """Every number of the training; meanings beside them in structures.toml."""

    seed: int
    version: str
    projections: int
    held_out: int
    projection_px: int
    store_px: int
    batch: int
    cycle_steps: list[int]
    cycle_rates: list[float]
    steps: int
    fold_steps: int
    folds: int
    peak_rate: float
    encoder_share: float
    weight_decay: float
    ema: float
    teacher: float


def read_config(quick: bool = False) -> Config:
    """The packaged recipe; `quick` shrinks it to seconds, for tests."""
    raw = tomllib.loads(Path(__file__).with_name("structures.toml").read_text(encoding="utf-8"))
    config = Config(**raw)
    if not quick:
        return config
    return replace(
        config,
        projections=4,
        held_out=2,
        projection_px=64,
        store_px=96,
        batch=2,
        cycle_steps=[1, 1],
        cycle_rates=[1.0, 0.7],
        steps=1,
        fold_steps=1,
        folds=2,
    )
