"""The registration card: figures as JSON, tables as text, and one plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models import runtime
from models.figure import wording

METHODS = {
    "identity": "nothing done",
    "affine": "affine from structures",
    "simpleitk_bspline": "SimpleITK B-spline",
    "simpleitk_demons": "SimpleITK demons",
    "carina_network_only": "Carina, network alone",
    "carina_refinement_only": "Carina, refinement alone",
    "carina": "Carina",
    "true_field": "the true field",
}
PLOT = "registration.png"


def write(out: Path, card: runtime.ModelCard) -> None:
    """Write out/card.json, card.md and registration.png."""
    runtime.write_card(out, card)
    lines = [f"# {card.label}", "", card.task, "", card.split, ""]
    for title, table in card.metrics.items():
        lines += [f"## {title.replace('_', ' ').capitalize()}", "", *table_lines(table), ""]
    lines += [f"![median with 95 % interval]({PLOT})", "", "## Limits", ""]
    lines += [f"- {limit}" for limit in card.limits]
    (out / "card.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    plot(out / PLOT, card.metrics)


def table_lines(table: dict[str, Any]) -> list[str]:
    """A table of the card in markdown, a method (or a kind of pair) a line."""
    columns = list(dict.fromkeys(name for row in table.values() for name in row))
    head = [column.replace("_", " ") for column in columns]
    lines = ["| | " + " | ".join(head) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in table.items():
        cells = " | ".join(wording(row[column]) if column in row else "" for column in columns)
        lines.append(f"| {METHODS.get(name, name)} | {cells} |")
    return lines


def plot(file: Path, metrics: Any) -> None:
    """Three panels: landmark error, Dice of dated films, false change removed."""
    import matplotlib as mpl  # noqa: PLC0415  # needs the extra [train]

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    panels = (
        ("known_deformations", "median_percent_of_width", "landmark error, % of width"),
        ("same_patient_pairs", "dice", "Dice, dated films"),
        ("disease_kept", "false_change_removed_against_affine", "false change removed"),
    )
    drawing, axes = plt.subplots(1, 3, figsize=(13, 3.2), layout="constrained")
    for axis, (table, column, title) in zip(axes, panels, strict=True):
        rows = {
            METHODS.get(name, name): row[column]
            for name, row in metrics.get(table, {}).items()
            if row[column].get("value") is not None and name != "identity"
        }
        for at, figure in enumerate(rows.values()):
            axis.plot((figure["low"], figure["high"]), (at, at), color="tab:blue")
            axis.plot(figure["value"], at, "o", color="tab:blue")
        axis.set_yticks(range(len(rows)), list(rows))
        axis.invert_yaxis()
        axis.set_title(title)
    drawing.savefig(file, dpi=90)
    plt.close(drawing)
