"""How well films are aligned: known deformations, dated films, disease that must stay, the gate.

Every film is labelled anew, as in service, and every pair goes through `align` itself. Every
figure is of patients that training never saw. Intervals: bootstrap over patients.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk  # noqa: N813  # its own usual name
from numpy.typing import NDArray
from PIL import Image

from models import frame, runtime
from models.radiograph import Radiograph, read_file
from models.refusal import Refusal
from models.severity.figures import bootstrap
from registration import trials
from registration.card import write
from registration.held_out import dated_pairs, unseen
from registration.predict import WEIGHTS, align

SEED = 3
DEFORMED = 24  # films moved by known fields
PAINTED = 24  # normal films with an opacity in one copy
WRONGED = 12  # pairs of each kind that the gate shall refuse
Case = tuple[str, Any]
"""Patient and what the trial is given."""


def evaluate(
    data: Path, out: Path, *, run: Path | None = None, share: float = 1.0
) -> dict[str, Any]:
    """The figures of the shipped (or `run`'s) network on unseen patients; writes out/card.*.

    Parameters
    ----------
    share : of the films and pairs that are used; below one for a quick look.
    """
    folder = run or WEIGHTS
    metrics = measure(data, folder, share)
    out.mkdir(parents=True, exist_ok=True)
    if folder.resolve() != out.resolve():
        shutil.copyfile(folder / runtime.WEIGHTS_NAME, out / runtime.WEIGHTS_NAME)
    write(out, replace(runtime.read_card(folder), metrics=metrics))
    return metrics


def measure(data: Path, weights: Path, share: float = 1.0) -> dict[str, Any]:
    """The four tables, method by method."""
    table = pd.read_csv(data / "radiographs.csv", dtype={"patient": str})
    rows = table[unseen(table)].sample(frac=1, random_state=SEED)
    one_each = rows.groupby("patient").head(1)
    normal = one_each[one_each["finding"] == "No Finding"]
    dated = dated_pairs(rows.sort_index())
    with ProcessPoolExecutor(runtime.threads(), get_context("spawn"), _one_thread) as pool:

        def through(trial: Callable[..., Any], cases: Sequence[Case]) -> list[tuple[str, Any]]:
            kept = cases[: max(2, round(share * len(cases)))]
            found = pool.map(partial(_tried, trial), [case for _, case in kept])
            both = zip([patient for patient, _ in kept], found, strict=True)
            return [(patient, one) for patient, one in both if one]

        deformed = through(partial(_deformed, data, weights), _numbered(one_each[:DEFORMED], 1000))
        painted = through(partial(_painted, data, weights), _numbered(normal[:PAINTED], 2000))
        pairs = [(str(table["patient"][b]), (table["file"][a], table["file"][b])) for a, b in dated]
        compared = through(partial(_compared, data, weights), pairs)
        wrong = {
            kind: through(
                partial(_wronged, data, weights, kind), pairs[:: max(1, len(pairs) // WRONGED)]
            )
            for kind in (*trials.WRONG, "hip or leg")
        }
    return {
        "known_deformations": known_figures(deformed),
        "same_patient_pairs": pair_figures(compared),
        "disease_kept": disease_figures(painted),
        "refused": refusal_figures(deformed, compared, painted, wrong),
    }


def _one_thread() -> None:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _numbered(rows: pd.DataFrame, first: int) -> list[Case]:
    return [
        (patient, (file, first + number))
        for number, (patient, file) in enumerate(zip(rows["patient"], rows["file"], strict=True))
    ]


def _tried(trial: Callable[[Any], Any], case: Any) -> Any:
    """None for a film that cannot be read or labelled."""
    try:
        return trial(case)
    except Refusal:
        return None


def _deformed(data: Path, weights: Path, case: tuple[str, int]) -> Any:
    return trials.known_deformation(read_file(data / case[0]), case[1], weights)


def _painted(data: Path, weights: Path, case: tuple[str, int]) -> Any:
    return trials.disease_kept(read_file(data / case[0]), case[1], weights)


def _compared(data: Path, weights: Path, case: tuple[str, str]) -> Any:
    films = [read_file(data / file) for file in case]
    masks = [_drawn_lungs(data, file, film) for file, film in zip(case, films, strict=True)]
    both = None if masks[0] is None or masks[1] is None else (masks[0], masks[1])
    return trials.same_patient(trials.pair(films[0], films[1]), weights, both)


def _drawn_lungs(data: Path, file: str, film: Radiograph) -> NDArray[np.float32] | None:
    """(H, W): the lungs that V7 drew on a film, where they did."""
    path = data / "masks" / "v7_lungs" / f"{Path(file).stem}.png"
    if not path.is_file():
        return None
    mask = np.asarray(Image.open(path).convert("L"), np.float32) / np.float32(255)
    return frame.resize(mask, (film.pixels.shape[0], film.pixels.shape[1]))


def _wronged(data: Path, weights: Path, kind: str, case: tuple[str, str]) -> dict[str, bool]:
    """Whether a current film that must not be compared is refused."""
    prior, current = (read_file(data / file) for file in case)
    if kind in trials.WRONG:
        current = trials.WRONG[kind](current)
    else:
        others = [
            path
            for path in sorted((data / "dicom").iterdir())
            if any(part in path.stem.lower() for part in ("hip", "leg"))
        ]
        current = read_file(others[len(case[1]) % len(others)])
    return {"refused": align(prior, current, weights=weights).status != "ok"}


Named = list[tuple[str, Any]]
"""Patient and what a trial found, pair by pair."""


def _figure(
    patients: Iterable[str],
    values: Sequence[Any],
    statistic: Callable[[NDArray[np.float64]], float] = lambda v: float(np.mean(v)),
) -> dict[str, Any]:
    """A statistic over pairs (numbers, or arrays that are joined) with its 95 % interval."""
    rows = np.arange(len(values))
    who = pd.factorize(np.array(list(patients)))[0].astype(np.int64)

    def of(chosen: NDArray[np.int64]) -> float:
        return statistic(np.concatenate([np.atleast_1d(values[i]) for i in chosen]))

    return bootstrap(of, rows, who)


def _median(values: NDArray[np.float64]) -> float:
    return float(np.median(values))


def _quantile(share: float) -> Callable[[NDArray[np.float64]], float]:
    return lambda values: float(np.quantile(values, share))


def known_figures(found: Named) -> dict[str, Any]:
    """Landmark error in per cent of width, folded pixels, inverse consistency in film pixels."""
    who = [patient for patient, _ in found]
    table: dict[str, Any] = {}
    for name in found[0][1][1] if found else ():
        errors = [one[1][name] for _, one in found]
        numbers = [one[0][name] for _, one in found]
        table[name] = {
            "median_percent_of_width": _figure(who, errors, _median),
            "p95_percent_of_width": _figure(who, errors, _quantile(0.95)),
            "folded_pixels": sum(one["folded_pixels"] for one in numbers),
        }
        if "inverse_p95_px" in numbers[0]:
            table[name] |= {
                f"inverse_{part}_px": _figure(who, [n[f"inverse_{part}_px"] for n in numbers], most)
                for part, most in (("median", _median), ("p95", _quantile(0.95)))
            }
    return table


def pair_figures(found: Named) -> dict[str, Any]:
    """Dice of lungs and mediastinum; the share of pairs better than the affine."""
    who = [patient for patient, _ in found]
    table: dict[str, Any] = {}
    for name in found[0][1] if found else ():
        numbers = [one[name] for _, one in found]
        dice = [one["dice"] for one in numbers]
        beyond = [float(d > one["affine"]["dice"]) for d, (_, one) in zip(dice, found, strict=True)]
        drawn = [
            (patient, one[name]["drawn_lungs_dice"])
            for patient, one in found
            if "drawn_lungs_dice" in one[name]
        ]
        table[name] = {
            "dice": _figure(who, dice),
            "better_than_affine": _figure(who, beyond),
            "drawn_lungs_dice": _figure([p for p, _ in drawn], [d for _, d in drawn]),
            "folded_pixels": sum(one["folded_pixels"] for one in numbers),
        }
        if name not in ("identity", "affine"):
            moved = [one["beyond_affine_percent_of_width"] for one in numbers]
            table[name]["p95_beyond_affine_percent_of_width"] = _figure(who, moved, _median)
    for name, row in table.items():
        for other in ("simpleitk_bspline", "simpleitk_demons"):
            if name.startswith("carina"):
                gain = [one[name]["dice"] - one[other]["dice"] for _, one in found]
                row[f"gain_over_{other}"] = _figure(who, gain)
    return table


def disease_figures(found: Named) -> dict[str, Any]:
    """False change removed against the affine; the opacity's mass and area in the difference."""
    who = [patient for patient, _ in found]
    table: dict[str, Any] = {}
    for name in found[0][1] if found else ():
        removed = [
            1 - one[name]["false_change"] / one["affine"]["false_change"] for _, one in found
        ]
        mass = [one[name]["mass_ratio"] for _, one in found]
        area = [one[name]["area_ratio"] for _, one in found]
        table[name] = {
            "false_change_removed_against_affine": _figure(who, removed, _median),
            "mass_ratio": _figure(who, mass, _median),
            "mass_within_10_percent": _figure(who, [float(abs(m - 1) <= 0.10) for m in mass]),
            "area_ratio": _figure(who, area, _median),
            "area_within_15_percent": _figure(who, [float(abs(a - 1) <= 0.15) for a in area]),
        }
    return table


def refusal_figures(
    deformed: Named, compared: Named, painted: Named, wrong: dict[str, Named]
) -> dict[str, Any]:
    """Share of pairs that the gate refuses: good ones by mistake, wrong ones rightly."""
    good = {
        "known deformations": [(p, one[0]["carina"]["refused"]) for p, one in deformed],
        "dated films of one patient": [(p, one["carina"]["refused"]) for p, one in compared],
        "copies with an opacity": [(p, one["carina"]["refused"]) for p, one in painted],
    }
    bad = {
        f"wrong: {kind}": [(p, float(one["refused"])) for p, one in found]
        for kind, found in wrong.items()
    }
    return {
        kind: {"refused": _figure([p for p, _ in rows], [v for _, v in rows])}
        for kind, rows in (good | bad).items()
    }
