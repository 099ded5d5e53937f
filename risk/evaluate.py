"""Out-of-fold figures of a risk model, their plots, and the model card that carries them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from risk import additive, alarms, data, plots, report, statistics
from risk.basis import Config, Spec
from risk.borrowed import borrow
from risk.choice import choose
from risk.data import Cohort
from risk.fit import fit
from risk.folds import folds, random_folds
from risk.prior import Prior
from risk.published import NEWS2_STEPS, news2_parts
from risk.statistics import Floats
from risk.train import Name, derived, lender, load, settings_for, train, with_local_terms

SAMPLES = 500
MIN_OUTCOMES = 20  # of a group, for figures of its own
PARTITIONS = 1  # other ways to deal the groups out: how much the figure owes to one way
THRESHOLDS: Mapping[Name, Floats] = {
    "ventilation": np.linspace(0.01, 0.20, 39),
    "outpatient": np.linspace(0.02, 0.50, 49),
}


@dataclass(frozen=True, slots=True)
class Judged:
    """A model or a comparator on the same rows: a score, and a probability from held-out fits."""

    name: str
    log_odds: Floats

    @property
    def probability(self) -> Floats:
        """(n,), in [0, 1]."""
        return np.asarray(1 / (1 + np.exp(-self.log_odds)), dtype=np.float64)


def evaluate(
    name: Name, data_path: Path, out: Path, run: Path | None = None, *, quick: bool = False
) -> dict[str, Any]:
    """Cross-validate with whole hospitals (or states) held out, and write card and plots.

    Parameters
    ----------
    data_path : a folder laid out like the project's data, or one CSV or Parquet table.
    out : gets card.json, card.md and PNG plots.
    run : folder with <name>.json from `train`; its card gets the figures. Without it, the model
        is trained into `out`.
    quick : few bootstrap samples, for tests.

    Returns
    -------
    dict
        The figures, each with a 95 % interval from a bootstrap by patient.
    """
    out.mkdir(parents=True, exist_ok=True)
    if run is None:
        train(name, data_path, out, quick=quick)
    path = (run or out) / f"{name}.json"
    table = additive.read(path)
    cohort = load(name, data_path)
    metrics, judged = measure(name, data_path, cohort, quick=quick)
    table = replace(table, card={**table.card, "metrics": metrics})
    table.write(path)
    card = additive.read(path).card
    (out / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    (out / "card.md").write_text(card_text(card), encoding="utf-8")
    plots.draw(out, cohort.label, judged, THRESHOLDS[name])
    plots.contributions(out, table, {t.variable: cohort.rows[t.variable] for t in table.terms})
    report.write(out, card, table.label)
    return metrics


def measure(
    name: Name, data_path: Path, cohort: Cohort, *, quick: bool = False
) -> tuple[dict[str, Any], list[Judged]]:
    """Every figure, and the held-out predictions behind them: the model's, then the comparators'.

    Nothing is read of a trained table: whole hospitals (or states) are held out of fit and choice.
    """
    settings = settings_for(name, quick)
    settings = with_local_terms(name, settings) if data_path.is_file() else settings
    samples = 40 if quick else SAMPLES
    lent = lender(name, settings, data_path, 0)
    prior = lent.prior if lent else None
    model = Judged(name, out_of_fold(settings, cohort, prior=prior))
    judged = [model, *comparators(name, settings, cohort)]
    metrics = figures(name, cohort, judged, samples)
    if lent is not None:
        theirs = derived(name, data.cinc(data.risk_folder(data_path)))
        metrics["without_cinc2012"] = without_the_other_set(settings, cohort, lent.prior, samples)
        metrics["cinc2012"] = by_set(settings, cohort, theirs, samples // 5)
    metrics["auroc_of_other_partitions"] = [
        round(statistics.rank(cohort.label, log_odds).auroc(), 4)
        for log_odds in (
            out_of_fold(settings, cohort, random_folds(cohort.group, settings.folds, seed), prior)
            for seed in range(1 if quick else PARTITIONS)
        )
    ]
    return metrics, judged


def out_of_fold(
    settings: Config,
    cohort: Cohort,
    fold: NDArray[np.int64] | None = None,
    prior: Prior | None = None,
) -> Floats:
    """(n,) log-odds, each from a fit that never saw the row's group, nor chose with it."""
    log_odds = np.zeros(len(cohort))
    fold = folds(cohort.group, settings.folds) if fold is None else fold
    for one in np.unique(fold):
        train = cohort.take(fold != one)
        fitted = fit(choose(settings, train, prior), train, prior=prior)
        log_odds[fold == one] = fitted.log_odds(cohort.rows[fold == one])
    return log_odds


def comparators(name: Name, settings: Config, cohort: Cohort) -> list[Judged]:
    """The published scores on the same rows, each turned into a probability out of fold.

    Unknown FiO2 counts as room air and an unknown part as normal, as wards read them.
    """
    if name != "ventilation":
        return []
    rows = cohort.rows
    ratio = rows["spo2"].fillna(97.0) / rows["fio2"].fillna(0.21)
    scores = {
        "ROX": -ratio / rows["respiratory_rate"].fillna(18.0),
        "SpO2/FiO2": -ratio,
        "NEWS2": news2_partial(rows),
        "qCSI": qcsi_partial(rows),
    }
    judged = []
    for score, values in scores.items():
        spec = Spec("score", quantiles=2, trend=1)
        plain = replace(settings, terms=(spec,), ridge=0.1, smooth=0.0, choices={})
        column = replace(cohort, rows=pd.DataFrame({"score": values}))
        judged.append(Judged(score, _monotone(out_of_fold(plain, column), values)))
    return judged


def _monotone(log_odds: Floats, values: pd.Series) -> Floats:
    """Break the ties that clamping makes, without changing a probability visibly."""
    order = values.rank().to_numpy(np.float64)
    return np.asarray(log_odds + 1e-7 * order / len(order), dtype=np.float64)


def news2_partial(rows: pd.DataFrame) -> pd.Series:
    """NEWS2 with unknown parts counted as normal and unknown oxygen as room air."""
    names = list(NEWS2_STEPS)
    oxygen = rows["fio2"].fillna(0.21) > 0.21
    totals = []
    for values, breathing in zip(rows[names].to_numpy(float), oxygen, strict=True):
        known = {n: float(v) for n, v in zip(names, values, strict=True) if not np.isnan(v)}
        totals.append(float(sum(news2_parts(dict(known), bool(breathing)).values())))
    return pd.Series(totals, index=rows.index)


def qcsi_partial(rows: pd.DataFrame) -> pd.Series:
    """qCSI with unknown parts as normal; where only FiO2 is known, the flow that would give it."""
    oxygen = rows["fio2"].fillna(0.21)
    flow = rows["oxygen_flow"].fillna(((oxygen - 0.20) / 0.04).where(oxygen > 0.21, 0.0))
    lowest = rows["spo2_min_6h"].fillna(rows["spo2"]).fillna(97.0)
    breaths = rows["respiratory_rate"].fillna(18.0)
    rate_points = 1.0 * (breaths > 22) + 1.0 * (breaths > 28)
    spo2_points = 2.0 * (lowest <= 92) + 3.0 * (lowest <= 88)
    return rate_points + spo2_points + 4.0 * (flow > 2) + 1.0 * (flow > 4)


def figures(name: Name, cohort: Cohort, judged: list[Judged], samples: int) -> dict[str, Any]:
    """Every figure of the card."""
    draws = statistics.resample(cohort.patient, samples, seed=1)
    model = judged[0]
    label, p = cohort.label, model.probability
    ranked = {one.name: statistics.rank(label, one.log_odds) for one in judged}

    def paired(other: str) -> statistics.Interval:
        mine, theirs = ranked[model.name], ranked[other]
        return statistics.interval(lambda w: mine.auroc(w) - theirs.auroc(w), draws)

    metrics: dict[str, Any] = {
        "rows": len(cohort),
        "patients": len(np.unique(cohort.patient)),
        "patients_with_outcome": len(np.unique(cohort.patient[label])),
        "groups": len(np.unique(cohort.group)),
        "auroc": statistics.interval(ranked[model.name].auroc, draws).as_dict(),
        "average_precision": statistics.interval(
            ranked[model.name].average_precision, draws
        ).as_dict(),
        "calibration_slope": statistics.interval(
            lambda w: statistics.calibration(label, model.log_odds, w)[1], draws[:200]
        ).as_dict(),
        "expected_over_observed": statistics.interval(
            lambda w: statistics.expected_over_observed(label, p, w), draws
        ).as_dict(),
    }
    metrics["calibration_by_tenth"] = tenths(label, p)
    metrics["comparators"] = {
        one.name: {
            "auroc": statistics.interval(ranked[one.name].auroc, draws).as_dict(),
            "average_precision": round(ranked[one.name].average_precision(), 4),
            "auroc_below_model": paired(one.name).as_dict(),
        }
        for one in judged[1:]
    }
    metrics["decision_curve"] = decision_curve(name, cohort, judged, draws[:200])
    if name == "ventilation" and np.isfinite(cohort.onset).any():
        metrics["at_80_percent_of_onsets"] = alarms.with_intervals(cohort, p, 0.8, samples // 5)
        metrics["auroc_without_last_2_h"] = round(_without_last(cohort, model, 2.0), 4)
        metrics["auroc_first_day"] = round(_at_hours(cohort, model, 0, 24), 4)
        metrics["auroc_after_first_day"] = round(_at_hours(cohort, model, 24, np.inf), 4)
    if name == "outpatient":
        metrics["per_group"] = per_group(cohort, model, draws[:200])
    return metrics


def tenths(label: statistics.Flags, p: Floats) -> dict[str, list[float]]:
    """Mean probability and observed share in each tenth of the rows, lowest first."""
    parts = np.array_split(np.argsort(p, kind="stable"), 10)
    return {
        "predicted": [round(float(p[part].mean()), 5) for part in parts],
        "observed": [round(float(label[part].mean()), 5) for part in parts],
    }


def _without_last(cohort: Cohort, model: Judged, hours: float) -> float:
    """AUROC without the rows just before the onset, where charting may already follow it."""
    keep = cohort.onset - cohort.hour > hours
    return statistics.rank(cohort.label[keep], model.log_odds[keep]).auroc()


def _at_hours(cohort: Cohort, model: Judged, first: float, last: float) -> float:
    """AUROC among the rows of some hours of the stay: what is left when time says little."""
    keep = (cohort.hour > first) & (cohort.hour <= last)
    return statistics.rank(cohort.label[keep], model.log_odds[keep]).auroc()


def decision_curve(
    name: Name, cohort: Cohort, judged: list[Judged], draws: list[Floats]
) -> dict[str, Any]:
    """Net benefit per 1000 rows at some thresholds, and where the model is best.

    `margin_...` is the model's net benefit less the best of acting on everyone and the comparators;
    `least_margin_per_1000` is the least over all thresholds, an `at_..._per_1000` one of them.
    """
    thresholds, label = THRESHOLDS[name], cohort.label

    def margins(weights: Floats | None) -> Floats:
        mine, *theirs = (
            statistics.net_benefit(label, one.probability, thresholds, weights) for one in judged
        )
        everyone = statistics.treat_all(label, thresholds, weights)
        return np.asarray(1000 * (mine - np.max([everyone, *theirs], axis=0)), dtype=np.float64)

    mine = 1000 * statistics.net_benefit(label, judged[0].probability, thresholds)
    found = margins(None)
    drawn = np.array([margins(weights) for weights in draws])
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    shown = np.linspace(0, len(thresholds) - 1, 6).astype(int)
    return {
        "thresholds": [round(float(t), 3) for t in thresholds[shown]],
        "model_per_1000": [round(float(v), 3) for v in mine[shown]],
        "margin_per_1000": [round(float(v), 3) for v in found[shown]],
        "margin_low": [round(float(v), 3) for v in low[shown]],
        "margin_high": [round(float(v), 3) for v in high[shown]],
        "share_of_thresholds_where_best": round(float((found >= 0).mean()), 3),
        "share_of_thresholds_above_no_one": round(float((mine >= 0).mean()), 3),
        "least_margin_per_1000": {
            "value": round(float(found.min()), 4),
            "low": round(float(low[found.argmin()]), 4),
            "high": round(float(high[found.argmin()]), 4),
            "threshold": round(float(thresholds[found.argmin()]), 3),
        },
    }


def per_group(cohort: Cohort, model: Judged, draws: list[Floats]) -> dict[str, Any]:
    """AUROC and expected over observed of each held-out group with 20 outcomes or more."""
    index = np.unique(cohort.group, return_inverse=True)[1]
    kept = np.bincount(index, cohort.label) >= MIN_OUTCOMES
    if not kept.any():
        return {"groups": 0}

    def ratios(weights: Floats | None = None) -> Floats:
        w = np.ones(len(cohort)) if weights is None else weights
        expected = np.bincount(index, w * model.probability)
        return np.asarray(expected[kept] / np.bincount(index, w * cohort.label)[kept])

    areas = [
        statistics.rank(cohort.label[index == one], model.log_odds[index == one]).auroc()
        for one in np.flatnonzero(kept)
    ]
    return {
        "groups": int(kept.sum()),
        "expected_over_observed_median": statistics.interval(
            lambda w: float(np.median(ratios(w))), draws
        ).as_dict(),
        "expected_over_observed_quartiles": [
            round(float(v), 4) for v in np.quantile(ratios(), [0.25, 0.75])
        ],
        "auroc_median": round(float(np.median(areas)), 4),
    }


def without_the_other_set(
    settings: Config, cohort: Cohort, prior: Prior, samples: int
) -> dict[str, Any]:
    """What CinC 2012 gives: the packaged penalties with it and without, hospitals held out."""
    plain = replace(settings, choices={})
    alone = out_of_fold(replace(plain, borrow=0.0), cohort)
    mine = statistics.rank(cohort.label, out_of_fold(plain, cohort, prior=prior))
    theirs = statistics.rank(cohort.label, alone)
    draws = statistics.resample(cohort.patient, samples, seed=1)
    return {
        "auroc": statistics.interval(theirs.auroc, draws).as_dict(),
        "auroc_gained_with_it": statistics.interval(
            lambda w: mine.auroc(w) - theirs.auroc(w), draws
        ).as_dict(),
    }


def by_set(settings: Config, cohort: Cohort, theirs: Cohort, samples: int) -> dict[str, Any]:
    """CinC 2012, each of its sets held out.

    `alone` is the fit on the other set; `model` the eICU fit pulled towards it, with the packaged
    penalties. There is no SpO2, no oxygen and no usable breathing rate, and the coma scale is no
    part of `model`.
    """
    figures: dict[str, Any] = {}
    for number, held in enumerate(("set_a", "set_b")):
        test = theirs.take(theirs.group == number)
        lent = borrow(settings, theirs.take(theirs.group != number), 0)
        pulled = fit(settings, cohort, prior=lent.prior)
        draws = statistics.resample(test.patient, samples, seed=2)
        figures[held] = {
            "rows": len(test),
            "patients_with_outcome": len(np.unique(test.patient[test.label])),
            "alone": _discrimination(test, lent.fitted.log_odds(test.rows), draws),
            "model": _discrimination(test, pulled.log_odds(test.rows), draws),
        }
    return figures


def _discrimination(cohort: Cohort, log_odds: Floats, draws: list[Floats]) -> dict[str, Any]:
    """AUROC, slope and expected over observed, each with its interval."""
    label, p = cohort.label, Judged("", log_odds).probability
    return {
        "auroc": statistics.interval(statistics.rank(label, log_odds).auroc, draws).as_dict(),
        "calibration_slope": statistics.interval(
            lambda w: statistics.calibration(label, log_odds, w)[1], draws[:100]
        ).as_dict(),
        "expected_over_observed": statistics.interval(
            lambda w: statistics.expected_over_observed(label, p, w), draws
        ).as_dict(),
    }


def card_text(card: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    lines = [f"# {card['name']} {card['version']}", "", str(card["task"]), ""]
    for key in ("input", "output", "split", "licence", "command", "sha256"):
        lines.append(f"- **{key}**: {card[key]}")
    lines += ["", "## Data", *(f"- {one}" for one in card["data"])]
    lines += ["", "## Limits", *(f"- {one}" for one in card["limits"])]
    lines += ["", "## Figures", "95 % intervals from a bootstrap by patient.", ""]
    lines += ["| figure | value | interval |", "|---|---|---|", *_figure_rows("", card["metrics"])]
    return "\n".join(lines) + "\n"


def _figure_rows(prefix: str, metrics: Mapping[str, Any]) -> list[str]:
    rows = []
    for key, value in metrics.items():
        title = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping) and "low" in value:
            rows.append(f"| {title} | {value['value']} | {value['low']} to {value['high']} |")
        elif isinstance(value, Mapping):
            rows += _figure_rows(f"{title}: ", value)
        else:
            rows.append(f"| {title} | {value} | |")
    return rows
