"""The figures of the model card: overlap with radiologists, with V7 and with unseen projections.

Every real film with masks is labelled by the network of its fold, which saw none of its patient.
"""

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
from models.structures.data import AGREEING, RADIOLOGIST_NAMES, dice, fold_of
from models.structures.export import served
from models.structures.predict import Structures, label_with
from models.structures.projections import unpack
from models.structures.sheet import contact_sheet, dice_plot, write_card_text
from models.structures.train import projection_store, read_weights

DRAWS = 1000
SEVERE = 5.0
"""Geographic extent from which a film counts as severe."""
SHOWN = 24
"""Films of the contact sheet: half held out with masks, half of the source without any."""

AGREED = "radiologist, where V7 agrees"
READERS = "V7 against radiologist"
READERS_AGREED = "V7 against radiologist, where they agree"
"""What two hands make of the same lungs: no network can agree with both much better."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Dice of one outline on one film.

    Parameters
    ----------
    against : whose truth: "radiologist", `AGREED`, "v7" or "projection"; `READERS` and
        `READERS_AGREED` compare two truths with each other.
    structure : its name; "lungs" for both as one.
    """

    against: str
    structure: str
    patient: str
    dice: float
    extent: float | None


def evaluate(data: Path, out: Path, *, run: Path | None = None) -> dict[str, Any]:
    """Measure, and write `out`/card.json, card.md, dice.png and contact_sheet.png.

    Real films: the networks of `run`/fold0.pt ..., each on the patients that it never saw.
    Projections: the exported network, on deformations that no training saw.

    Parameters
    ----------
    data : a folder laid out like the project's data folder.
    out : folder with model.onnx and card.json.
    run : folder of the finished training; `out` when not given.

    Raises
    ------
    FileNotFoundError : `run` holds the network of no fold.
    """
    run = out if run is None else run
    card = runtime.read_card(out)
    config = Config(**card.parameters["training"])
    rows = _masked_rows(data)
    labels = _held_out_labels(data, run, rows, card, config)
    rows = [row for row in rows if row["file"] in labels]
    overlaps = [o for row in rows for o in _real_overlaps(data, row, labels[row["file"]])]
    overlaps += _projection_overlaps(run, out, card, config)
    metrics = _metrics(overlaps) | {
        "mild_less_severe": {name: _mild_less_severe(overlaps, name) for name in ("v7", AGREED)},
        "sides_swapped": _sides(data, rows, labels),
    }
    card = replace(card, metrics=metrics)
    runtime.write_card(out, card)
    write_card_text(card, out / "card.md")
    dice_plot(metrics, out / "dice.png")
    _show(data, out, card, labels)
    return metrics


def _held_out_labels(
    data: Path, run: Path, rows: list[dict[str, str]], card: runtime.ModelCard, config: Config
) -> dict[str, Structures]:
    """Each film by the network of its fold; films of folds that were not trained are left out.

    Raises
    ------
    FileNotFoundError : `run` holds the network of no fold.
    """
    labels = {}
    trained = [fold for fold in range(config.folds) if (run / f"fold{fold}.pt").is_file()]
    if not trained:
        raise FileNotFoundError(
            f"expected fold0.pt in {run}, found none: train first, or give the training's folder"
        )
    for fold in trained:
        net = served(read_weights(run / f"fold{fold}.pt"))
        for row in rows:
            if fold_of(row["patient"], config.folds) == fold:
                labels[row["file"]] = label_with(net.read, card, _read(data / row["file"]))
    return labels


def _show(data: Path, out: Path, card: runtime.ModelCard, labels: dict[str, Structures]) -> None:
    """Contours on held-out films, and on films of the source that has no masks."""
    names = list(labels)
    chosen = names[:: max(1, len(names) // (SHOWN // 2))][: SHOWN // 2]
    with (data / "radiographs.csv").open(newline="") as lines:
        others = [row["file"] for row in csv.DictReader(lines) if row["source"] == "nih"]
    others = others[:: max(1, len(others) // (SHOWN // 2))][: SHOWN // 2]
    model = runtime.load(out)

    def network(film: NDArray[np.float32]) -> NDArray[np.float32]:
        return model.run({"film": film})["probabilities"]

    films = [_read(data / name) for name in (*chosen, *others)]
    shown = [labels[name] for name in chosen]
    shown += [label_with(network, card, film) for film in films[len(chosen) :]]
    contact_sheet(films, shown, out / "contact_sheet.png")


def _sides(data: Path, rows: list[dict[str, str]], labels: dict[str, Structures]) -> dict[str, Any]:
    """Films whose right lung lies more on the radiologists' left lung than on their right."""
    swapped, films = 0, 0
    for row in rows:
        drawn = _drawn(data, row)
        if "right_lung" in drawn and "left_lung" in drawn:
            found = labels[row["file"]].mask("right_lung")
            films += 1
            swapped += int((found & drawn["left_lung"]).sum() > (found & drawn["right_lung"]).sum())
    return {"value": swapped, "films": films}


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


def _masked_rows(data: Path) -> list[dict[str, str]]:
    """Rows of radiographs.csv whose films have masks."""
    with (data / "radiologist_masks.csv").open(newline="") as lines:
        drawn = {row["radiograph"] for row in csv.DictReader(lines)}
    with (data / "radiographs.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [row for row in rows if row["file"] in drawn or _v7(data, row).is_file()]


def _drawn(data: Path, row: dict[str, str]) -> dict[str, NDArray[np.bool_]]:
    """The radiologists' masks of a film, by the names of our structures."""
    drawn = {}
    for theirs, ours in RADIOLOGIST_NAMES.items():
        path = data / "masks" / "radiologist" / f"{Path(row['file']).stem}__{theirs}.png"
        if path.is_file():
            drawn[ours] = _read_mask(path)
    return drawn


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
    between: list[Overlap] = []
    drawn = _drawn(data, row)
    truths += [("radiologist", name, mask) for name, mask in drawn.items()]
    if "right_lung" in drawn and "left_lung" in drawn:
        truths.append(("radiologist", "lungs", drawn["right_lung"] | drawn["left_lung"]))
    if _v7(data, row).is_file():
        union = _read_mask(_v7(data, row))
        drawn_lungs = [mask for against, name, mask in truths if name == "lungs"]
        hands = dice(drawn_lungs[0], union) if drawn_lungs else 0.0
        if hands >= AGREEING:
            truths += [(AGREED, name, mask) for _, name, mask in truths]
            between.append(Overlap(READERS_AGREED, "lungs", row["patient"], hands, extent))
        if drawn_lungs:
            between.append(Overlap(READERS, "lungs", row["patient"], hands, extent))
        truths.append(("v7", "lungs", union))
    return between + [
        Overlap(against, name, row["patient"], dice(found[name], mask), extent)
        for against, name, mask in truths
    ]


def _projection_overlaps(
    run: Path, out: Path, card: runtime.ModelCard, config: Config
) -> list[Overlap]:
    """The exported network on projections of unseen deformations."""
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


def _mild_less_severe(overlaps: list[Overlap], against: str) -> dict[str, Any]:
    """How far lungs under severe opacity fall behind those of mild films, in Dice."""
    lungs = [o for o in overlaps if o.against == against and o.structure == "lungs"]
    known = [o for o in lungs if o.extent is not None]
    patients = sorted({o.patient for o in known})
    of = {name: [o for o in known if o.patient == name] for name in patients}
    rng = np.random.default_rng(0)

    def gap(films: list[Overlap]) -> float:
        mild = [o.dice for o in films if o.extent is not None and o.extent < SEVERE]
        severe = [o.dice for o in films if o.extent is not None and o.extent >= SEVERE]
        return float(np.mean(mild) - np.mean(severe)) if mild and severe else float("nan")

    drawn = [
        gap([o for k in rng.integers(len(patients), size=len(patients)) for o in of[patients[k]]])
        for _ in range(DRAWS if known else 0)
    ]
    if not known or np.isnan(drawn).all():
        return {"value": None}
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return {
        "value": round(gap(known), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "films": len(known),
        "patients": len(patients),
    }


def _metrics(overlaps: list[Overlap]) -> dict[str, Any]:
    groups: dict[str, list[Overlap]] = {}
    for one in overlaps:
        groups.setdefault(f"{one.against}: {one.structure}", []).append(one)
        if one.structure == "lungs" and one.extent is not None:
            grade = "severe" if one.extent >= SEVERE else "mild"
            groups.setdefault(f"{one.against}: lungs, {grade} films", []).append(one)
    figures = {name: _figure(members) for name, members in sorted(groups.items())}
    projected = [one for one in overlaps if one.against == "projection"]
    if projected:
        figures["projection: mean of structures"] = _figure(_by_film(projected))
    return {"measure": "Dice, 95 % interval by bootstrap over patients", "dice": figures}


def _by_film(overlaps: list[Overlap]) -> list[Overlap]:
    """One overlap a film: the mean of its structures."""
    films: dict[str, list[float]] = {}
    for one in overlaps:
        films.setdefault(one.patient, []).append(one.dice)
    return [
        Overlap("projection", "mean", film, float(np.mean(dices)), None)
        for film, dices in films.items()
    ]


def _figure(members: list[Overlap]) -> dict[str, Any]:
    values = [m.dice for m in members]
    low, high = interval(values, [m.patient for m in members])
    return {
        "value": round(float(np.mean(values)), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "films": len(values),
        "patients": len({m.patient for m in members}),
    }
