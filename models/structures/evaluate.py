"""The figures of the model card: overlap with radiologists, with V7 and with unseen projections."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models import runtime
from models.radiograph import Radiograph
from models.structures.anatomy import STRUCTURES
from models.structures.config import Config
from models.structures.data import RADIOLOGIST_NAMES, fold_of
from models.structures.export import served
from models.structures.predict import Structures, label_with
from models.structures.projections import unpack
from models.structures.sheet import contact_sheet, dice_plot, write_card_text
from models.structures.train import HELD_OUT_FOLD, projection_store, read_weights

DRAWS = 1000
SEVERE = 5.0
"""Geographic extent from which a film counts as severe."""


AGREEING = 0.85
"""Dice of the radiologists' and V7's lungs below which one of the two lies beside the film.

A few of the radiologists' masks are scaled or shifted against their film."""

AGREED = "radiologist, where V7 agrees"


@dataclass(frozen=True, slots=True)
class Overlap:
    """Dice of one outline on one film.

    Parameters
    ----------
    against : whose truth: "radiologist", `AGREED`, "v7" or "projection".
    structure : its name; "lungs" for both as one.
    """

    against: str
    structure: str
    patient: str
    dice: float
    extent: float | None


def evaluate(data: Path, out: Path, *, run: Path | None = None) -> dict[str, Any]:
    """Measure, and write `out`/card.json, card.md, dice.png and contact_sheet.png.

    Real films: the network of `run`/held.pt, which saw no patient of the held-out fold.
    Projections: the exported network, on deformations that no training saw.

    Parameters
    ----------
    data : a folder laid out like the project's data folder.
    out : folder with model.onnx and card.json.
    run : folder of the finished training; `out` when not given.

    Raises
    ------
    FileNotFoundError : `run` holds no held.pt.
    """
    run = out if run is None else run
    if not (run / "held.pt").is_file():
        raise FileNotFoundError(
            f"expected held.pt in {run}, found none: train first, or give the training's folder"
        )
    card = runtime.read_card(out)
    config = Config(**card.parameters["training"])
    held = served(read_weights(run / "held.pt"))
    rows = _held_out_rows(data, config)
    films = {row["file"]: _read(data / row["file"]) for row in rows}
    labels = {name: label_with(held.read, card, film) for name, film in films.items()}
    overlaps = [o for row in rows for o in _real_overlaps(data, row, labels[row["file"]])]
    overlaps += _projection_overlaps(run, out, card, config)
    metrics = _metrics(overlaps)
    card = replace(card, metrics=metrics)
    runtime.write_card(out, card)
    write_card_text(card, out / "card.md")
    dice_plot(metrics, out / "dice.png")
    shown = list(films)[:: max(1, len(films) // 24)][:24]
    contact_sheet([films[n] for n in shown], [labels[n] for n in shown], out / "contact_sheet.png")
    return metrics


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Overlap 2 |A and B| / (|A| + |B|); 1 where both are empty."""
    total = int(one.sum()) + int(other.sum())
    return 2.0 * float((one & other).sum()) / total if total else 1.0


def interval(
    values: Sequence[float], patients: Sequence[str], seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the mean by bootstrap over patients."""
    names, which = np.unique(np.asarray(patients), return_inverse=True)
    sums = np.bincount(which, weights=np.asarray(values, dtype=np.float64))
    counts = np.bincount(which)
    drawn = np.random.default_rng(seed).integers(len(names), size=(DRAWS, len(names)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def _held_out_rows(data: Path, config: Config) -> list[dict[str, str]]:
    """Rows of radiographs.csv of the held-out patients whose films have masks."""
    with (data / "radiologist_masks.csv").open(newline="") as lines:
        drawn = {row["radiograph"] for row in csv.DictReader(lines)}
    with (data / "radiographs.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [
        row
        for row in rows
        if fold_of(row["patient"], config.folds) == HELD_OUT_FOLD
        and (row["file"] in drawn or _v7(data, row).is_file())
    ]


def _v7(data: Path, row: dict[str, str]) -> Path:
    return data / "masks" / "v7_lungs" / f"{Path(row['file']).stem}.png"


def _read(path: Path) -> Radiograph:
    with Image.open(path) as image:
        return Radiograph(np.asarray(image.convert("L"), np.float32) / 255.0)


def _read_mask(path: Path) -> NDArray[np.bool_]:
    with Image.open(path) as image:
        return np.asarray(image.convert("L")) > 0


def _real_overlaps(data: Path, row: dict[str, str], structures: Structures) -> list[Overlap]:
    found = dict(zip(STRUCTURES, structures.masks(), strict=True))
    found["lungs"] = found["right_lung"] | found["left_lung"]
    extent = float(row["geographic_0_8"]) if row["geographic_0_8"] else None
    truths: list[tuple[str, str, NDArray[np.bool_]]] = []
    drawn = {}
    for theirs, ours in RADIOLOGIST_NAMES.items():
        path = data / "masks" / "radiologist" / f"{Path(row['file']).stem}__{theirs}.png"
        if path.is_file():
            drawn[ours] = _read_mask(path)
    truths += [("radiologist", name, mask) for name, mask in drawn.items()]
    if "right_lung" in drawn and "left_lung" in drawn:
        truths.append(("radiologist", "lungs", drawn["right_lung"] | drawn["left_lung"]))
    if _v7(data, row).is_file():
        union = _read_mask(_v7(data, row))
        drawn_lungs = [mask for against, name, mask in truths if name == "lungs"]
        if drawn_lungs and dice(drawn_lungs[0], union) >= AGREEING:
            truths += [(AGREED, name, mask) for _, name, mask in truths]
        truths.append(("v7", "lungs", union))
    return [
        Overlap(against, name, row["patient"], dice(found[name], mask), extent)
        for against, name, mask in truths
    ]


def _projection_overlaps(
    run: Path, out: Path, card: runtime.ModelCard, config: Config
) -> list[Overlap]:
    """The exported network on projections of unseen deformations, at 256 px."""
    model = runtime.load(out)
    store = projection_store(run, config, held_out=True)
    overlaps = []
    for k in range(store.done):
        film = Radiograph(store.films[k].astype(np.float32) / 255.0)
        found = label_with(lambda f: model.run({"film": f})["probabilities"], card, film).masks()
        overlaps += [
            Overlap("projection", name, str(k), dice(mine, truth), None)
            for name, mine, truth in zip(STRUCTURES, found, unpack(store.masks[k]), strict=True)
            if truth.mean() > 0.0005  # a sliver at the border is no structure
        ]
    return overlaps


def _metrics(overlaps: list[Overlap]) -> dict[str, Any]:
    groups: dict[str, list[Overlap]] = {}
    for one in overlaps:
        groups.setdefault(f"{one.against}: {one.structure}", []).append(one)
        if one.structure == "lungs" and one.extent is not None:
            grade = "severe" if one.extent >= SEVERE else "mild"
            groups.setdefault(f"{one.against}: lungs, {grade} films", []).append(one)
    figures = {name: _figure(members) for name, members in sorted(groups.items())}
    projected = [f["mean"] for n, f in figures.items() if n.startswith("projection")]
    summary = {
        "projection: mean of structures": round(float(np.mean(projected)), 4) if projected else None
    }
    return {"measure": "Dice, 95 % interval by bootstrap over patients", **summary, "dice": figures}


def _figure(members: list[Overlap]) -> dict[str, Any]:
    values = [m.dice for m in members]
    low, high = interval(values, [m.patient for m in members])
    return {
        "mean": round(float(np.mean(values)), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "films": len(values),
        "patients": len({m.patient for m in members}),
    }
