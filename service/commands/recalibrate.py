"""`carina recalibrate ventilation|outpatient --data TABLE --out DIR [--model FILE]`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from risk import sheet
from risk.additive import Table, TableError
from risk.features import BadValue
from service.commands.train import chosen, tell_left_out
from service.errors import UsageError

FIGURES = {
    "calibration_slope": "calibration slope (1 is perfect)",
    "expected_over_observed": "expected / observed (1 is perfect)",
    "brier_score": "Brier score (lower is better)",
}


def run(name: str, data: Path, out: Path, model: Path | None) -> int:
    """Fit intercept and slope on local outcomes; the old model is kept beside the new one.

    Raises
    ------
    UsageError : the table or the model cannot be used, or there are too few outcomes.
    """
    from risk.recalibrate import answered, refit  # noqa: PLC0415  # brings scipy

    if out.exists() and not out.is_dir():
        raise UsageError(f"expected a folder for --out, found the file {out}: give another name")
    try:
        old = chosen(name, model)
        rows = answered(old, sheet.read(data), data.name)
        new = refit(old, rows, data.name)
    except (BadValue, TableError) as error:
        raise UsageError(str(error)) from error
    if model is not None and model.resolve() == (out / f"{name}.json").resolve():
        raise UsageError(
            f"expected another folder for --out, found that {model} would be overwritten: the old "
            "model must stay"
        )
    old.write(out / f"{name}.previous.json")
    new.write(out / f"{name}.json")
    found = new.card["metrics"]["recalibration"]
    (out / "recalibration.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if rows.cohort.left_out is not None:
        sheet.write_left_out(rows.cohort.left_out, out)
    print(words(old, new))
    print(f"new model -> {out / f'{name}.json'}, old model -> {out / f'{name}.previous.json'}")
    tell_left_out(new, out)
    return 0


def words(old: Table, new: Table) -> str:
    """Before and after on the same rows, the after out of sample, and whether it was worth it."""
    found, parameters = new.card["metrics"]["recalibration"], new.card["parameters"]
    lines = [
        f"{old.label} -> {new.label}, on {parameters['recalibration_rows']} rows, "
        f"{parameters['recalibration_patients_with_outcome']} patients with the outcome",
        f"intercept {_shown(parameters['recalibration_intercept'])}, "
        f"slope {_shown(parameters['recalibration_slope'])}",
    ]
    for key, name in FIGURES.items():
        before, after = found["before"][key], found["after_out_of_sample"][key]
        lines.append(f"{name}: before {_shown(before)}, after, out of sample {_shown(after)}")
    saved = found["surprise_saved"]
    gain = f"{_shown(saved)} of the mean negative log-likelihood"
    if saved["low"] > 0:
        lines.append(f"the new model fits these patients better: it saves {gain}")
    else:
        lines.append(f"no clear gain, keep the old model: the new one saves {gain}")
    return "\n".join(lines)


def _shown(figure: Mapping[str, float]) -> str:
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"
