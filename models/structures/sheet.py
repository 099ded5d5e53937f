"""Pictures and text for people: films with outlines, figures as a plot and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from models import runtime
from models.frame import fit, from_frame, resize
from models.radiograph import Radiograph
from models.structures.anatomy import STRUCTURES
from models.structures.measures import contours
from models.structures.predict import Structures

SIDE = 384
COLOURS = {
    "right_lung": "#ff5050",
    "left_lung": "#50ff50",
    "heart": "#ffd000",
    "mediastinum": "#4090ff",
    "aorta": "#ff8000",
    "superior_vena_cava": "#b070ff",
    "trachea": "#ffff60",
    "right_hilum": "#ff60c0",
    "left_hilum": "#60ffff",
    "right_clavicle": "#ffffff",
    "left_clavicle": "#ffffff",
    "right_scapula": "#c0a080",
    "left_scapula": "#c0a080",
    "right_ribs": "#609060",
    "left_ribs": "#609060",
    "thoracic_spine": "#a0a0ff",
    "sternum": "#ff9090",
    "right_hemidiaphragm": "#00ffa0",
    "left_hemidiaphragm": "#00ffa0",
    "stomach": "#d0ff40",
}
SOFT = ("lung", "heart", "mediastinum", "aorta", "vena", "trachea", "hilum", "stomach")


def contact_sheet(
    films: Sequence[Radiograph], labels: Sequence[Structures], path: Path, columns: int = 6
) -> None:
    """Each film twice, soft structures above bones, only those that are visible."""
    rows = -(-len(films) // columns)
    sheet = Image.new("RGB", (columns * SIDE, max(1, rows) * 2 * SIDE))
    for k, (film, structures) in enumerate(zip(films, labels, strict=True)):
        corner = ((k % columns) * SIDE, 2 * (k // columns) * SIDE)
        sheet.paste(outlined(film, structures, soft=True), corner)
        sheet.paste(outlined(film, structures, soft=False), (corner[0], corner[1] + SIDE))
    sheet.save(path)


def outlined(film: Radiograph, structures: Structures, *, soft: bool) -> Image.Image:
    """One small picture with the outlines of the soft structures, or of all others."""
    frame = fit(film.pixels.shape, SIDE)
    grey = np.clip(resize(film.pixels, frame.inner) * 255, 0, 255).astype(np.uint8)
    picture = Image.fromarray(grey).convert("RGB")
    pen = ImageDraw.Draw(picture)
    small = fit(frame.inner, structures.frame.size)
    masks = from_frame(structures.probabilities, small) > 0.5
    for name, seen, mask in zip(STRUCTURES, structures.visible, masks, strict=True):
        if seen and soft == any(part in name for part in SOFT):
            for line in contours(mask):
                pen.line([(c, r) for r, c in line], fill=COLOURS[name])
    return picture


def dice_plot(metrics: dict[str, Any], path: Path) -> None:
    """Mean Dice with intervals, one bar a structure."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # only where a plot is wanted

    names = list(metrics["dice"])
    means = np.array([metrics["dice"][n]["value"] for n in names])
    lows = np.array([metrics["dice"][n]["low"] for n in names])
    highs = np.array([metrics["dice"][n]["high"] for n in names])
    figure = Figure(figsize=(8, 0.28 * len(names) + 1.2), layout="constrained")
    axes = figure.subplots()
    axes.barh(names, means, xerr=(means - lows, highs - means), color="#4c72b0", capsize=2)
    axes.set_xlim(0.5, 1.0)
    axes.set_xlabel("Dice (95 % interval)")
    axes.invert_yaxis()
    figure.savefig(path, dpi=110)


def write_card_text(card: runtime.ModelCard, path: Path) -> None:
    """The card as Markdown."""
    lines = [f"# {card.name} {card.version}", "", card.task, "", "## Data", ""]
    lines += [f"- {one}" for one in card.data]
    lines += ["", f"Licence: {card.licence}", "", f"Split: {card.split}", "", "## Figures", ""]
    lines += [f"{card.metrics['measure']}", "", "| against | mean | interval | films | patients |"]
    lines += ["|---|---|---|---|---|"]
    lines += [
        f"| {name} | {f['value']:.3f} | {f['low']:.3f}-{f['high']:.3f} | {f['films']} |"
        f" {f['patients']} |"
        for name, f in card.metrics["dice"].items()
    ]
    lines += ["", "## Limits", "", *[f"- {one}" for one in card.limits]]
    lines += ["", f"Made by `{card.command}`; weights sha256 `{card.sha256}`.", ""]
    path.write_text("\n".join(lines), encoding="utf-8")
