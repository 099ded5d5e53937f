"""The severity table: agreement with readers, beside the published models; card and plots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models import runtime
from models.severity import plots
from models.severity.data import Films, read_films
from models.severity.explanation import film_aurocs, marked_share
from models.severity.export import MIRROR_NAME
from models.severity.figures import (
    bootstrap,
    direction,
    mean_absolute_error,
    pearson,
    spearman,
    straight_line,
    weighted_kappa,
)
from models.severity.held_out import HeldOut, calibrate, nothing, patient_pairs, predict_held_out
from models.severity.interval import (
    UNKNOWN,
    Calibration,
    calibration_from_parameters,
    calibration_to_parameters,
)
from models.severity.mirror import thresholds
from models.severity.predict import WEIGHTS
from models.severity.serving import Served, read_served
from models.severity.zones import BRIXIA_LETTERS, EXTENT_MAX, ZONE_MAX, ZONES

UNIT = np.float32(255)  # bytes to [0, 1]
SEVERE = 5.0  # extent from which the sides of a film are hard to tell
CLEAR_CHANGE = 0.5  # readers differ by more: a change that a model should see the sign of
CALLED_CHANGED = 0.95  # probability_real above which a change is called
PUBLISHED = {
    "pxs": ("pxs_cohen93.csv", "pxs"),
    "bsnet": ("bsnet_cohen93.csv", "brixia"),
    "covidnet_s": ("covidnet_s_cohen93.csv", "geo"),
}


@dataclass(frozen=True, slots=True)
class Judged:
    """Predictions beside the readers, all in readers' units; NaN where one is missing."""

    films: Films
    views: Served
    held: HeldOut
    extent: NDArray[np.float64]
    brixia: NDArray[np.float64]
    zones: NDArray[np.float64]

    def rows(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Numbers of the chosen films that have a prediction."""
        return np.flatnonzero(chosen & ~np.isnan(self.held.extent))

    @property
    def read(self) -> NDArray[np.bool_]:
        """(N,) films with a reader's extent, normals of the other collection left out."""
        return ~self.films.nih & ~np.isnan(self.extent)


def evaluate(data: Path, out: Path, *, run: Path | None = None) -> dict[str, Any]:
    """Measure, and write `out`/card.json, `out`/card.md and plots.

    Parameters
    ----------
    data : folder laid out like shared/data.
    run : folder of a finished training: every film is judged by the network that never saw its
        patient. Without it the shipped weights are judged, on films that they may know.

    Returns
    -------
    The figures, as the card keeps them.
    """
    out.mkdir(parents=True, exist_ok=True)
    card = runtime.read_card(run if run is not None else WEIGHTS)
    films = read_films(data, (run if run is not None else out) / "cache")
    views = read_served(data, films, (run if run is not None else out) / "cache")
    if run is None:
        held = shipped_predictions(films, views)
        calibration = calibration_from_parameters(card.parameters)
    else:
        held = predict_held_out(films, views, card.parameters["training"], run)
        calibration = calibrate(films, held)
    judged = judge(films, views[0], held)
    figures = measure(judged, data, calibration, known=run is None)
    if run is not None:
        figures["mirrored"] = mirrored(run)
        figures["folds_planned"] = int(card.parameters["training"]["folds"])
    parameters = {**card.parameters, **calibration_to_parameters(calibration)}
    card = replace(card, metrics=figures, parameters=parameters)
    runtime.write_card(out, card)
    (out / "card.md").write_text(card_text(card), encoding="utf-8")
    plots.draw(
        out,
        read=judged.extent,
        said=held.extent,
        scored=judged.read,
        normal=films.nih & films.normal,
        calibration=calibration,
    )
    return figures


def shipped_predictions(films: Films, views: tuple[Served, Served]) -> HeldOut:
    """What the shipped weights say of scored and normal films; there are no folds."""
    model = runtime.load(WEIGHTS)
    held = nothing(np.zeros(len(films.patient), np.int64))
    for at in np.flatnonzero(films.scored | films.normal):
        seen, again = (
            model.run(
                {"film": one.films[at][None, None] / UNIT, "zone_masks": one.zones[at][None] / UNIT}
            )
            for one in views
        )
        held.extent[at] = seen["extent"][0] * EXTENT_MAX
        held.zones[at] = seen["zones"][0] * ZONE_MAX
        held.heat[at] = seen["heat"][0]
        held.copy_extent[at] = again["extent"][0] * EXTENT_MAX
        held.copy_zones[at] = again["zones"][0] * ZONE_MAX
    return held


def judge(films: Films, views: Served, held: HeldOut) -> Judged:
    """Readers' scores in their own units."""
    zones = films.zones.astype(np.float64) * ZONE_MAX
    extent = films.extent.astype(np.float64) * EXTENT_MAX
    return Judged(films, views, held, extent, zones.sum(axis=1), zones)


def measure(judged: Judged, data: Path, calibration: Calibration, *, known: bool) -> dict[str, Any]:
    """All figures; each with n, patients and a 95 % bootstrap interval over patients."""
    seen = int((judged.rows(judged.read)).size)
    ground = (
        "shipped weights on films that they may have been trained on"
        if known
        else "held out: each film by a network that never saw its patient"
    )
    return {
        "ground": ground,
        "films": len(judged.extent),
        "films_with_extent": seen,
        "folds": sorted(np.unique(judged.held.fold[~np.isnan(judged.held.extent)]).tolist()),
        "public_93": public_films(judged, data / "published"),
        "extent_240": agreement(judged, judged.read),
        "brixia_187": brixia(judged),
        "change": change(judged),
        "zone_change": zone_change(judged, calibration),
        "interval_90": coverage(judged, calibration, known=known),
        "nih_normals": normals(judged),
        "reprocessed": reprocessed(judged, calibration),
        "heat": heat(judged, data),
        "by_view": by_column(judged, "view"),
        "by_licence": by_column(judged, "licence"),
    }


def agreement(judged: Judged, chosen: NDArray[np.bool_]) -> dict[str, Any]:
    """Agreement of extent on the chosen films."""
    rows, patient = judged.rows(chosen), judged.films.patient
    said, read = judged.held.extent, judged.extent
    return {
        "r": bootstrap(lambda at: pearson(said[at], read[at]), rows, patient),
        "spearman": bootstrap(lambda at: spearman(said[at], read[at]), rows, patient),
        "mae": bootstrap(lambda at: mean_absolute_error(said[at], read[at]), rows, patient),
    }


def public_films(judged: Judged, published: Path) -> dict[str, Any]:
    """The 93 films on which the published models' outputs are known, all side by side."""
    if not published.is_dir():
        return {}
    table = judged.films.table
    others = {
        name: published_column(published / file, column, table)
        for name, (file, column) in PUBLISHED.items()
    }
    chosen = judged.read & ~np.isnan(others["pxs"])
    rows, patient = judged.rows(chosen), judged.films.patient
    said, read = judged.held.extent, judged.extent
    result: dict[str, Any] = {"carina": agreement(judged, chosen)}
    for name, values in others.items():
        result[name] = published_agreement(judged, values, rows)
    gain = bootstrap(
        lambda at: pearson(said[at], read[at]) - pearson(others["pxs"][at], read[at]),
        rows,
        patient,
    )
    return result | {"gain_in_r_over_pxs": gain}


def published_agreement(
    judged: Judged, values: NDArray[np.float64], rows: NDArray[np.int64]
) -> dict[str, Any]:
    """A published model on the same rows; its error after the straight line that suits it best."""
    read, patient = judged.extent, judged.films.patient

    def error(at: NDArray[np.int64]) -> float:
        return mean_absolute_error(straight_line(values[at], read[at]), read[at])

    return {
        "r": bootstrap(lambda at: pearson(values[at], read[at]), rows, patient),
        "spearman": bootstrap(lambda at: spearman(values[at], read[at]), rows, patient),
        "mae_after_line": bootstrap(error, rows, patient),
    }


def published_column(path: Path, column: str, table: pd.DataFrame) -> NDArray[np.float64]:
    """(N,) a published model's output for each film of the table, NaN where it has none."""
    said = pd.read_csv(path, skipinitialspace=True).set_index("fname")[column].astype(float)
    return np.asarray(table.original.map(said), np.float64)


def brixia(judged: Judged) -> dict[str, Any]:
    """Agreement with the mean of two readers; and of the two readers with each other."""
    table, patient = judged.films.table, judged.films.patient
    chosen = ~judged.films.nih & ~np.isnan(judged.brixia)
    rows = judged.rows(chosen)
    said, read = judged.held.brixia, judged.brixia
    senior = reader_sum(table, "S")
    junior = reader_sum(table, "J")
    zones, read_zones = judged.held.zones, judged.zones

    def compare(one: NDArray[np.float64], other: NDArray[np.float64]) -> dict[str, Any]:
        return {
            "r": bootstrap(lambda at: pearson(one[at], other[at]), rows, patient),
            "mae": bootstrap(lambda at: mean_absolute_error(one[at], other[at]), rows, patient),
            "kappa": bootstrap(lambda at: weighted_kappa(one[at], other[at]), rows, patient),
        }

    def zone_error(at: NDArray[np.int64]) -> float:
        return mean_absolute_error(zones[at].ravel(), read_zones[at].ravel())

    return {
        "carina": compare(said, read),
        "senior_against_junior": compare(senior, junior),
        "zone_mae": bootstrap(zone_error, rows, patient),
    }


def reader_sum(table: pd.DataFrame, reader: str) -> NDArray[np.float64]:
    """(N,) Brixia score of one reader, sum of six zones."""
    columns = [f"brixia_{reader}_{letter}" for letter in BRIXIA_LETTERS]
    return np.asarray(table[columns].sum(axis=1, skipna=False), np.float64)


def change(judged: Judged) -> dict[str, Any]:
    """Signed change between films of one patient against the readers' change of extent."""
    pairs = patient_pairs(judged.films, judged.read & ~np.isnan(judged.held.extent))
    said = judged.held.extent[pairs[:, 1]] - judged.held.extent[pairs[:, 0]]
    read = judged.extent[pairs[:, 1]] - judged.extent[pairs[:, 0]]
    patient = judged.films.patient[pairs[:, 0]]
    rows = np.arange(len(pairs))
    return {
        "r": bootstrap(lambda at: pearson(said[at], read[at]), rows, patient),
        "spearman": bootstrap(lambda at: spearman(said[at], read[at]), rows, patient),
        "mae": bootstrap(lambda at: mean_absolute_error(said[at], read[at]), rows, patient),
        "direction": bootstrap(
            lambda at: direction(said[at], read[at], CLEAR_CHANGE), rows, patient
        ),
    }


def zone_change(judged: Judged, calibration: Calibration) -> dict[str, Any]:
    """Change of each zone between films of one patient against the two readers' mean change."""
    read = ~judged.films.nih & ~np.isnan(judged.zones).any(axis=1)
    pairs = patient_pairs(judged.films, read & ~np.isnan(judged.held.extent))
    said, truth = (
        (zones[pairs[:, 1]] - zones[pairs[:, 0]]).ravel()
        for zones in (judged.held.zones, judged.zones)
    )
    patient = np.repeat(judged.films.patient[pairs[:, 0]], len(ZONES))
    rows = np.arange(len(said))
    called = np.array(
        [calibration.zone_probability_real(float(one)) > CALLED_CHANGED for one in said]
    )
    inside = np.abs(said - truth) <= calibration.zone_half_width
    same, clear = np.flatnonzero(truth == 0), np.flatnonzero(np.abs(truth) >= 1)
    copies = judged.rows(judged.films.scored)
    moved = judged.held.copy_zones[copies] - judged.held.zones[copies]
    any_called = np.zeros(len(judged.extent))
    any_called[copies] = [
        max(map(calibration.zone_probability_real, one)) > CALLED_CHANGED for one in moved.tolist()
    ]
    return {
        "r": bootstrap(lambda at: pearson(said[at], truth[at]), rows, patient),
        "mae": bootstrap(lambda at: mean_absolute_error(said[at], truth[at]), rows, patient),
        "direction": bootstrap(
            lambda at: direction(said[at], truth[at], CLEAR_CHANGE), rows, patient
        ),
        "coverage": bootstrap(lambda at: float(inside[at].mean()), rows, patient),
        "called_where_readers_saw_none": bootstrap(
            lambda at: float(called[at].mean()), same, patient
        ),
        "called_where_readers_saw_one_point": bootstrap(
            lambda at: float(called[at].mean()), clear, patient
        ),
        "copies_with_a_zone_called": bootstrap(
            lambda at: float(any_called[at].mean()), copies, judged.films.patient
        ),
    }


def coverage(judged: Judged, calibration: Calibration, *, known: bool) -> dict[str, Any]:
    """Share of readers' extents inside the interval; calibrated on other patients' folds."""
    chosen = judged.read & ~np.isnan(judged.held.extent)
    inside = np.full(len(judged.extent), np.nan)
    for fold in np.unique(judged.held.fold[chosen]):
        here = chosen & (judged.held.fold == fold)
        fitted = calibration if known else calibrate(judged.films, judged.held, ~here)
        if fitted == UNKNOWN:
            continue
        for at in np.flatnonzero(here):
            low, high = fitted.interval(float(judged.held.extent[at]))
            inside[at] = float(low <= judged.extent[at] <= high)
    rows = np.flatnonzero(~np.isnan(inside))
    width = [np.subtract(*calibration.interval(float(e))[::-1]) for e in judged.held.extent[rows]]
    return {
        "coverage": bootstrap(lambda at: float(inside[at].mean()), rows, judged.films.patient),
        "median_width": round(float(np.median(width)), 3) if len(rows) else None,
    }


def normals(judged: Judged) -> dict[str, Any]:
    """Extent on NIH films labelled 'No Finding', and apart by view.

    Their labels were mined from reports: many AP films, made at the bedside, show disease.
    """
    chosen, views = judged.films.nih & judged.films.normal, judged.films.table["view"]
    apart = {view: chosen & (views == view).to_numpy() for view in ("PA", "AP")}
    return {
        **floor(judged, chosen),
        **{view: floor(judged, part) for view, part in apart.items() if part.any()},
    }


def floor(judged: Judged, chosen: NDArray[np.bool_]) -> dict[str, Any]:
    """Median and 95th percentile of extent on films that should have none."""
    rows, said, patient = judged.rows(chosen), judged.held.extent, judged.films.patient
    return {
        "median": bootstrap(lambda at: float(np.median(said[at])), rows, patient),
        "p95": bootstrap(lambda at: float(np.percentile(said[at], 95)), rows, patient),
    }


def reprocessed(judged: Judged, calibration: Calibration) -> dict[str, Any]:
    """How far extent moves on a re-processed copy, and how often that is called a change."""
    rows, patient = judged.rows(judged.films.scored), judged.films.patient
    moved = np.abs(judged.held.copy_extent - judged.held.extent)
    called = np.array([calibration.probability_real(float(d)) > CALLED_CHANGED for d in moved])
    return {
        "median": bootstrap(lambda at: float(np.median(moved[at])), rows, patient),
        "p95": bootstrap(lambda at: float(np.percentile(moved[at], 95)), rows, patient),
        "called_changed": bootstrap(lambda at: float(called[at].mean()), rows, patient),
    }


def heat(judged: Judged, data: Path) -> dict[str, Any]:
    """Pixel AUROC of the heat against two radiologists' opacities, inside their lungs; and how
    much of the lungs of normal films it marks.
    """
    clear = judged.rows(judged.films.nih & judged.films.normal)
    marked = marked_share(judged.views, judged.held.heat)
    patient = judged.films.patient
    found: dict[str, Any] = {
        "normals_marked_p95": bootstrap(
            lambda at: float(np.percentile(marked[at], 95)), clear, patient
        )
    }
    if not (data / "radiologist_masks.csv").is_file():
        return found
    names = [str(name) for name in judged.films.table.file]
    auroc = film_aurocs(data, names, judged.held.heat, judged.views)
    rows = np.flatnonzero(~np.isnan(auroc))
    middle = bootstrap(lambda at: float(np.median(auroc[at])), rows, patient)
    mean = bootstrap(lambda at: float(np.mean(auroc[at])), rows, patient)
    return {"median_pixel_auroc": middle, "mean_pixel_auroc": mean, **found}


def mirrored(run: Path) -> dict[str, Any]:
    """Films taken for mirrored, as they are and mirrored; see `models.severity.mirror`."""
    with np.load(run / MIRROR_NAME, allow_pickle=False) as kept:
        limit, patient = thresholds(kept["upright"], kept["fold"]), kept["patient"]
        wrong, right = kept["upright"] > limit, kept["mirrored"] > limit
        severe = kept["extent"] >= SEVERE
    rows = np.arange(len(patient))

    def share(of: NDArray[np.bool_], at: NDArray[np.int64]) -> dict[str, Any]:
        return bootstrap(lambda drawn: float(of[drawn].mean()), at, patient)

    return {
        "found": share(right, rows),
        "found_where_severe": share(right, rows[severe]),
        "refused_by_mistake": share(wrong, rows),
    }


def by_column(judged: Judged, column: str) -> dict[str, Any]:
    """Agreement of extent within each value of a column with 20 films or more."""
    values = judged.films.table[column].fillna("not stated")
    result = {}
    for value in sorted(values[judged.read].unique()):
        chosen = judged.read & (values == value).to_numpy()
        if chosen.sum() >= 20:
            result[str(value)] = agreement(judged, chosen)
    return result


def card_text(card: runtime.ModelCard) -> str:
    """The card for people: markdown with one table of figures."""
    lines = [f"# {card.label}", "", card.task, "", f"Licence: {card.licence}", ""]
    lines += [f"Figures: {card.metrics['ground']}.", f"Split: {card.split}.", ""]
    if len(card.metrics["folds"]) < card.metrics.get("folds_planned", 0):
        done, planned = len(card.metrics["folds"]), card.metrics["folds_planned"]
        lines += [f"Only {done} of {planned} folds were trained: the rest is not measured.", ""]
    lines += [
        "| figure | value | 95 % interval | films or pairs | patients |",
        "|---|---|---|---|---|",
    ]
    lines += [table_row(name, figure) for name, figure in flat_figures(card.metrics)]
    for title, entries in (("Data", card.data), ("Limits", card.limits)):
        lines += ["", f"## {title}", *(f"- {entry}" for entry in entries)]
    return "\n".join([*lines, "", f"Made by: `{card.command}`", ""])


def flat_figures(
    figures: Mapping[str, Any], prefix: str = ""
) -> list[tuple[str, Mapping[str, Any]]]:
    """Every bootstrapped figure of a nested table with its full name."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    for name, value in figures.items():
        if isinstance(value, Mapping) and "low" in value:
            found.append((prefix + name, value))
        elif isinstance(value, Mapping):
            found += flat_figures(value, f"{prefix}{name} / ")
    return found


def table_row(name: str, figure: Mapping[str, Any]) -> str:
    """One figure as a row of the card's table."""
    if figure["value"] is None:
        return f"| {name} | not measured | | {figure['n']} | {figure['patients']} |"
    value, low, high = (f"{figure[key]:.3f}" for key in ("value", "low", "high"))
    return f"| {name} | {value} | {low} to {high} | {figure['n']} | {figure['patients']} |"
