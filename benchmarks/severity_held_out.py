"""Severity of every film of the COVID-19 collection, by a network that never saw its patient.

The CSV (`file`, `fold`, `extent` 0-8) is what `carina train ventilation --scores` takes: the films
with an outcome that no reader scored are in it too. It says what is in single films of the data
folder, so it stays out of the repository.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from models import runtime
from models.severity.data import folds, read_films
from models.severity.export import finished, read_network, read_views, served
from models.severity.serving import read_served
from models.severity.zones import EXTENT_MAX


def main() -> None:
    """Write the CSV."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=Path("../shared/data"))
    options.add_argument("--run", type=Path, required=True, help="folder of a finished training")
    options.add_argument("-o", "--out", type=Path, default=Path("evaluation/severity_held_out.csv"))
    chosen = options.parse_args()
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    held_out(chosen.data, chosen.run).to_csv(chosen.out, index=False, float_format="%.4f")


def held_out(data: Path, run: Path) -> pd.DataFrame:
    """One row per film: `file`, `fold`, `extent`; folds that are not trained yet have none."""
    recipe = runtime.read_card(run).parameters["training"]
    films = read_films(data, run / "cache")
    views, _ = read_served(data, films, run / "cache")
    fold = folds(films, int(recipe["folds"]), int(recipe["seed"]))
    parts = []
    for k in range(int(recipe["folds"])):
        checkpoints = finished(run, f"fold{k}", int(recipe["members"]))
        rows = np.flatnonzero((fold == k) & ~films.nih)
        if checkpoints and len(rows):
            net = served(read_network(checkpoints, int(recipe["embedding"])))
            extent = read_views(net, views, rows)["extent"] * EXTENT_MAX
            names = films.table.file.to_numpy()[rows]
            parts.append(pd.DataFrame({"file": names, "fold": k, "extent": extent}))
    return pd.concat(parts).sort_values("file", ignore_index=True)


if __name__ == "__main__":
    main()
