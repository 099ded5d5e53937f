"""`make figures`: the README's table of figures, taken from the cards beside the weights.

No figure is typed by hand: `carina evaluate` writes the cards, this copies a few of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.figure import wording

README = Path("README.md")
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what, on what, and where it stands in the card's metrics."""

    what: str
    path: str
    beside: str = ""  # a comparator's figure


@dataclass(frozen=True, slots=True)
class Section:
    """The lines of one model."""

    title: str
    card: Path
    rows: tuple[Row, ...]


SECTIONS = (
    Section(
        "severity",
        Path("models/severity/weights/card.json"),
        (
            Row(
                "extent, r with three readers, 93 public films (beside: PXS)",
                "public_93.carina.r",
                "public_93.pxs.r",
            ),
            Row("extent, mean absolute error of 8, same films", "public_93.carina.mae"),
            Row("extent, r with three readers, all scored films", "extent_240.r"),
            Row(
                "Brixia 0-18, r with the mean of two readers (beside: reader with reader)",
                "brixia_187.carina.r",
                "brixia_187.senior_against_junior.r",
            ),
            Row("change between two films of a patient, Spearman", "change.spearman"),
            Row("change, direction right where readers differ by > 0.5", "change.direction"),
            Row("change of a zone between two films, r with two readers", "zone_change.r"),
            Row(
                "zone called changed where readers saw no change",
                "zone_change.called_where_readers_saw_none",
            ),
            Row("90 % interval, coverage on other patients", "interval_90.coverage"),
            Row("NIH normals, median of extent", "nih_normals.median"),
            Row("NIH normals, 95th percentile of extent", "nih_normals.p95"),
            Row("same, PA films alone", "nih_normals.PA.p95"),
            Row("mirrored films refused (features of the shipped network)", "mirrored.found"),
            Row(
                "heat map in the lungs, median pixel AUROC of a film, against radiologists",
                "heat.median_pixel_auroc",
            ),
        ),
    ),
    Section(
        "structures",
        Path("models/structures/weights/card.json"),
        (
            Row("lungs on real films, Dice with radiologists", "dice.radiologist: lungs"),
            Row("lungs on real films, Dice with V7", "dice.v7: lungs"),
            Row("cardiomediastinum, Dice", "dice.radiologist: mediastinum"),
            Row(
                "mean Dice of 20, projections of unseen deformations",
                "dice.projection: mean of structures",
            ),
        ),
    ),
    Section(
        "registration (the structures network may know the films)",
        Path("registration/weights/card.json"),
        (
            Row(
                "known deformations, median error, % of width (beside: affine)",
                "known_deformations.carina.median_percent_of_width",
                "known_deformations.affine.median_percent_of_width",
            ),
            Row(
                "same, SimpleITK B-spline (beside: demons)",
                "known_deformations.simpleitk_bspline.median_percent_of_width",
                "known_deformations.simpleitk_demons.median_percent_of_width",
            ),
            Row(
                "films of one patient, Dice of lungs and mediastinum (beside: affine)",
                "same_patient_pairs.carina.dice",
                "same_patient_pairs.affine.dice",
            ),
            Row(
                "opacity's mass kept within 10 %, share of films (beside: demons)",
                "disease_kept.carina.mass_within_10_percent",
                "disease_kept.simpleitk_demons.mass_within_10_percent",
            ),
        ),
    ),
    Section(
        "change map (severity and structures networks may know the films)",
        Path("registration/weights/change.json"),
        (
            Row("unchanged pairs whose map is empty", "unchanged.map_empty"),
            Row("opacity of density 0.2 or more found", "inserted.found"),
            Row("share of a zone that changed, r with two readers", "real.map_r"),
            Row(
                "zone shown changed where readers saw no change",
                "real.map_shows_where_readers_saw_none",
            ),
        ),
    ),
    Section(
        "quality",
        Path("models/quality/weights/card.json"),
        (
            Row("frontal films refused by mistake", "frontal.refused, frontal film"),
            Row("hips refused", "refused_by_sort.hip.refused"),
            Row(
                "lateral projections refused, sort never seen in training",
                "refused_by_sort.lateral projection of the CT.refused, never seen",
            ),
        ),
    ),
    Section(
        "ventilation in 12 h",
        Path("risk/weights/ventilation.json"),
        (
            Row("AUROC, hospitals held out (beside: ROX)", "auroc", "comparators.ROX.auroc"),
            Row("same, above ROX on the same hours, paired", "comparators.ROX.auroc_below_model"),
            Row("calibration slope", "calibration_slope"),
            Row("expected over observed", "expected_over_observed"),
            Row(
                "alarms per patient-day at 80 % of onsets",
                "at_80_percent_of_onsets.alarms_per_patient_day",
            ),
        ),
    ),
    Section(
        "outpatient",
        Path("risk/weights/outpatient.json"),
        (
            Row("AUROC, states held out", "auroc"),
            Row("average precision", "average_precision"),
            Row("calibration slope", "calibration_slope"),
            Row(
                "expected over observed, median of the states",
                "per_group.expected_over_observed_median",
            ),
        ),
    ),
)


def main() -> None:
    """Write the table between the marks in the README."""
    lines = ["| model | figure | value (95 % interval) | beside |", "|---|---|---|---|"]
    for section in SECTIONS:
        metrics = _metrics(section.card)
        for row in section.rows:
            beside = wording(_at(metrics, row.beside)) if row.beside else ""
            lines.append(
                f"| {section.title} | {row.what} | {wording(_at(metrics, row.path))} | {beside} |"
            )
    text = README.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    README.write_text(f"{head}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{tail}", encoding="utf-8")


def _metrics(path: Path) -> dict[str, Any]:
    raw = json.loads(path.read_text(encoding="utf-8"))
    found: dict[str, Any] = raw.get("card", raw)["metrics"]
    return found


def _at(metrics: Any, path: str) -> Any:
    """The figure at a dotted path; None where the card has none."""
    for key in path.split("."):
        metrics = metrics.get(key) if isinstance(metrics, dict) else None
    return metrics


if __name__ == "__main__":
    main()
