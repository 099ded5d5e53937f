"""Evaluation: who is refused, by sort of picture, from heads that never saw the picture."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from scipy.stats import beta

from models import runtime
from models.phantom import draw
from models.quality.kinds import KINDS, REFUSED
from models.quality.predict import Look, check, verdict
from models.quality.train import train
from models.radiograph import Radiograph, read_file
from models.refusal import Refusal

mpl.use("Agg")
OUTCOMES = ("accepted", *REFUSED)


@dataclass(frozen=True, slots=True)
class Judged:
    """Held-out verdicts of one sort of picture.

    Parameters
    ----------
    made : how the pictures were made. kind : their truth.
    outcomes : (N,) index into `OUTCOMES`. unseen : the same from heads that never saw the
        sort; empty where none were fitted.
    """

    made: str
    kind: str
    outcomes: NDArray[np.int64]
    unseen: NDArray[np.int64]


def evaluate(data: Path, out: Path, *, run: Path | None = None) -> dict[str, Any]:
    """Measure; write card.json with figures, card.md and confusion.png into `out`.

    Parameters
    ----------
    run : folder of a finished training; trained anew in `out` when not given and not there.
    """
    run = run or out
    if not (run / "held_out.npz").is_file():
        train(data, run)
    card = runtime.read_card(run)
    judged = _judge(run, float(card.parameters["least_frontal"]))
    metrics: dict[str, Any] = {
        "frontal": _accepted(judged),
        "refused_by_sort": {one.made: _refused(one) for one in judged if one.kind != "frontal"},
        "confusion": _confusion(judged),
        "dicom": _real_films(data / "dicom", run),
        "milliseconds": _milliseconds(run),
    }
    out.mkdir(parents=True, exist_ok=True)
    if out != run:
        (out / runtime.WEIGHTS_NAME).write_bytes((run / runtime.WEIGHTS_NAME).read_bytes())
    runtime.write_card(out, replace(card, metrics=metrics))
    (out / "card.md").write_text(_markdown(card, metrics), encoding="utf-8")
    _plot(metrics["confusion"], out / "confusion.png")
    return metrics


def _judge(run: Path, least: float) -> list[Judged]:
    with np.load(run / "held_out.npz", allow_pickle=False) as kept:
        seen = _outcomes(kept["probabilities"], kept["distance"], least)
        unseen = _outcomes(kept["unseen"], kept["unseen_distance"], least)
        made, kinds = kept["made"], kept["kinds"]
        known = ~np.isnan(kept["unseen_distance"])
    found = []
    for sort in dict.fromkeys(made.tolist()):
        rows = made == sort
        kind = KINDS[int(kinds[rows][0])]
        found.append(Judged(sort, kind, seen[rows], unseen[rows & known]))
    return found


def _outcomes(
    probabilities: NDArray[np.float32], distance: NDArray[np.float32], least: float
) -> NDArray[np.int64]:
    found = []
    for row, away in zip(np.nan_to_num(probabilities), np.nan_to_num(distance), strict=True):
        code = verdict(Look(tuple(map(float, row)), float(away), ""), least)
        found.append(OUTCOMES.index(code) if code else 0)
    return np.asarray(found, np.int64)


def share(part: int, whole: int) -> dict[str, float | int]:
    """A share with its exact 95 % interval (Clopper and Pearson 1934)."""
    low = float(beta.ppf(0.025, part, whole - part + 1)) if part else 0.0
    high = float(beta.ppf(0.975, part + 1, whole - part)) if part < whole else 1.0
    found = part / whole if whole else float("nan")
    return {"n": whole, "share": round(found, 4), "low": round(low, 4), "high": round(high, 4)}


def _accepted(judged: list[Judged]) -> dict[str, Any]:
    """Share of frontal films refused, which is the price of the gate."""
    return {
        f"refused, {one.made}": share(int((one.outcomes != 0).sum()), len(one.outcomes))
        for one in judged
        if one.kind == "frontal"
    }


def _refused(one: Judged) -> dict[str, Any]:
    figures: dict[str, Any] = {"refused": share(int((one.outcomes != 0).sum()), len(one.outcomes))}
    if len(one.unseen):
        figures["refused, never seen"] = share(int((one.unseen != 0).sum()), len(one.unseen))
    return figures


def _confusion(judged: list[Judged]) -> dict[str, dict[str, int]]:
    return {
        one.made: {
            outcome: int((one.outcomes == place).sum()) for place, outcome in enumerate(OUTCOMES)
        }
        for one in judged
    }


def _real_films(folder: Path, weights: Path) -> dict[str, str]:
    """What becomes of the real DICOM films when their tags say nothing."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.dcm")):
        try:
            check(Radiograph(read_file(path).pixels), weights)
        except Refusal as refusal:
            found[path.stem] = refusal.code
        else:
            found[path.stem] = "accepted"
    return found


def _milliseconds(weights: Path) -> float:
    """Median time of `check` on a film of 2048 x 2048, decoding excluded."""
    film = draw(0, size=2048).radiograph()
    times = []
    for _ in range(7):
        started = time.perf_counter()
        check(film, weights)
        times.append(time.perf_counter() - started)
    return round(1000 * float(np.median(times)), 1)


def _markdown(card: runtime.ModelCard, metrics: dict[str, Any]) -> str:
    lines = [
        f"# {card.label}",
        "",
        f"{card.task}. {card.split}.",
        "",
        "| picture | n | " + " | ".join(OUTCOMES) + " | refused though its sort was never seen |",
        "|---|---|" + "---|" * (len(OUTCOMES) + 1),
    ]
    for made, row in metrics["confusion"].items():
        unseen = metrics["refused_by_sort"].get(made, {}).get("refused, never seen")
        told = f"{unseen['share']:.1%}" if unseen else ""
        counts = " | ".join(str(row[outcome]) for outcome in OUTCOMES)
        lines.append(f"| {made} | {sum(row.values())} | {counts} | {told} |")
    lines += ["", "Frontal films refused (95 % interval):", ""]
    for name, one in metrics["frontal"].items():
        lines.append(
            f"- {name}: {one['share']:.2%} ({one['low']:.2%} to {one['high']:.2%}) of {one['n']}"
        )
    lines += ["", f"Real DICOM films without tags: {json.dumps(metrics['dicom'])}", ""]
    lines += [f"- {limit}" for limit in card.limits]
    return "\n".join(lines) + "\n"


def _plot(confusion: dict[str, dict[str, int]], path: Path) -> None:
    counts = np.array([list(row.values()) for row in confusion.values()], float)
    shares = counts / counts.sum(1, keepdims=True)
    figure, axes = plt.subplots(figsize=(7, 0.32 * len(confusion) + 1.2))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), one in np.ndenumerate(shares):
        shade = "white" if one > 0.5 else "black"
        axes.text(column, row, f"{one:.1%}", ha="center", va="center", color=shade, fontsize=7)
    axes.set_xticks(range(len(OUTCOMES)), OUTCOMES)
    axes.set_yticks(range(len(confusion)), list(confusion), fontsize=8)
    axes.set_title("What becomes of each sort of picture (held out)", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
