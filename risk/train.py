"""Fitting the served coefficient tables, on the public data or on a hospital's own table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from risk import additive, data, deterioration, films, outpatient, sheet
from risk.additive import Table, Term
from risk.basis import Config, Spec, config
from risk.borrowed import Borrowed, Kept, borrow, gcs_term, kept
from risk.choice import choose
from risk.data import Cohort
from risk.export import independence, no_surer_than_normal, rescale, to_table
from risk.features import TABLES, BadValue
from risk.fit import fit

Name = Literal["ventilation", "outpatient"]
FEWEST_OUTCOMES = 10  # patients of either kind in a table of one's own; a hundred are far better
DERIVED_UNITS = {
    "sf_ratio": "%",
    "rox": "%.min",
    "age_with_pneumonia": "a",
    "days_with_pneumonia": "d",
}


def train(
    name: Name, data_path: Path, out: Path, *, quick: bool = False, scores: Path | None = None
) -> Table:
    """Fit one model and write `out`/<name>.json.

    Parameters
    ----------
    data_path : a folder laid out like the project's data, or one CSV or Parquet table of your
        own (`carina risk columns` and `label`, `patient`, optionally `hospital`).
    quick : few bootstrap samples, for tests.
    scores : CSV of held-out severity predictions (`file`, `extent`) for the severity term, as
        `python -m benchmarks.severity_held_out` writes it; without it, one of that name in the
        data folder, or else the readers' extent.

    Raises
    ------
    BadValue : the table cannot be used; the message says why.
    """
    settings = settings_for(name, quick)
    cohort = load(name, data_path)
    local = data_path.is_file()
    if local:
        _enough(cohort)
    table = tabulate(name, settings, cohort, data_path, scores or films.scores_beside(data_path))
    table.write(out / f"{name}.json")
    if cohort.left_out is not None:
        sheet.write_left_out(cohort.left_out, out)
    if name == "outpatient" and not local:
        folder = data.risk_folder(data_path)
        deterioration.write(
            deterioration.from_publication(folder / "published"), out / "four_c_deterioration.json"
        )
    return additive.read(out / f"{name}.json")


def _enough(cohort: Cohort) -> None:
    """Turn down a table of one's own from which nothing can be learned."""
    kinds = [len(np.unique(cohort.patient[kind])) for kind in (cohort.label, ~cohort.label)]
    if min(kinds) < FEWEST_OUTCOMES:
        raise BadValue(
            f"{cohort.name}: expected {FEWEST_OUTCOMES} patients or more with and without the "
            f"outcome, found {kinds[0]} and {kinds[1]}; give more data, or keep the shipped model"
        )


def settings_for(name: Name, quick: bool) -> Config:
    """The packaged settings, cut short for a quick run: few bootstraps, penalties as they are."""
    settings = config(name)
    return replace(settings, bootstraps=3, choices={}) if quick else settings


def load(name: Name, path: Path) -> Cohort:
    """The cohort of one model with its derived columns."""
    if path.is_file():
        cohort = data.table(name, path)
    elif name == "ventilation":
        cohort = data.eicu(data.risk_folder(path))
    else:
        cohort = data.mexico(data.risk_folder(path))
    return derived(name, cohort)


def derived(name: Name, cohort: Cohort) -> Cohort:
    """Add SpO2/FiO2, ROX, confusion, as serving does for each row."""
    rows = cohort.rows.copy()
    if name == "outpatient":
        flow, gcs = pd.to_numeric(rows["oxygen_flow"]), pd.to_numeric(rows["gcs"])
        words = flow.gt(0).map({True: "oxygen", False: "room_air"}).where(flow.notna(), None)
        rows["oxygen"] = rows["oxygen"].where(rows["oxygen"].notna(), words)
        ill = rows["pneumonia"] == "yes"
        for variable, inside in outpatient.WITH_PNEUMONIA.items():
            rows[inside] = rows[variable].where(ill)
        rows["confusion"] = gcs.lt(15).map({True: "yes", False: "no"}).where(gcs.notna(), None)
        return replace(cohort, rows=rows)
    flow = pd.to_numeric(rows["oxygen_flow"])
    from_flow = (0.20 + 0.04 * flow).clip(upper=0.60).where(flow >= 0.25, 0.21)
    rows["fio2"] = rows["fio2"].where(rows["fio2"].notna(), from_flow.where(flow.notna()))
    rows["sf_ratio"] = rows["spo2"] / rows["fio2"]
    rows["rox"] = rows["sf_ratio"] / rows["respiratory_rate"]
    return replace(cohort, rows=rows)


def tabulate(
    name: Name,
    settings: Config,
    cohort: Cohort,
    data_path: Path,
    scores: Path | None = None,
) -> Table:
    """Fit on `cohort` and add the terms that were fitted or published elsewhere."""
    local = data_path.is_file()
    settings = with_local_terms(name, settings) if local else settings
    lent = lender(name, settings, data_path, settings.bootstraps)
    settings = choose(settings, cohort, lent.prior if lent else None)
    fitted = fit(settings, cohort, settings.bootstraps, lent.prior if lent else None)
    source = "local data" if local else SOURCES[name]
    table = to_table(name, settings, fitted, units(name), source)
    table = rescale(table, independence(table, fitted, cohort.rows))
    extra: tuple[Term, ...] = ()
    parameters: dict[str, Any] = {}
    if lent is not None:
        table = replace(table, terms=named_after(table.terms, lent, settings))
        held = kept(settings, cohort, lent, settings.bootstraps)
        extra, parameters = ventilation_apart(data_path, scores, lent, held)
    elif not local:
        extra, parameters = outpatient_apart(data_path, scores)
    if name == "outpatient":
        parameters.setdefault("pneumonia_threshold_extent", data.DEFAULT_THRESHOLD)
    card = card_for(name, settings, cohort, local, parameters)
    return no_surer_than_normal(replace(table, terms=(*table.terms, *extra), card=card))


def lender(name: Name, settings: Config, data_path: Path, bootstraps: int) -> Borrowed | None:
    """What CinC 2012 lends the ventilation model; None for the others and for local data."""
    if name != "ventilation" or data_path.is_file():
        return None
    theirs = derived(name, data.cinc(data.risk_folder(data_path)))
    return borrow(settings, theirs, bootstraps)


def named_after(terms: tuple[Term, ...], lent: Borrowed, settings: Config) -> tuple[Term, ...]:
    """The terms, those that were pulled towards the other set's curves saying so."""
    if settings.borrow <= 0:
        return terms
    both = f"{SOURCES['ventilation']}, pulled towards PhysioNet/CinC 2012 (ODC-BY 1.0)"
    return tuple(replace(t, source=both) if t.variable in lent.shared else t for t in terms)


SOURCES: Mapping[Name, str] = {
    "ventilation": "eICU demo, 131 hospitals (ODbL 1.0)",
    "outpatient": "Mexican Ministry of Health open data, 2020-05-15",
}


def with_local_terms(name: Name, settings: Config) -> Config:
    """A hospital's own table may know what the public sets do not: those terms are fitted too."""
    own = {
        "ventilation": (
            Spec("gcs", knots=(3.0, 8.0, 12.0, 14.0, 15.0), trend=-1),
            Spec("severity_extent", knots=(0.0, 2.0, 4.0, 6.0, 8.0), trend=1),
        ),
        "outpatient": (
            Spec("respiratory_rate", quantiles=4),
            Spec("spo2", quantiles=4, trend=-1),
            Spec("urea", quantiles=4),
            Spec("crp", quantiles=4, trend=1),
            Spec("lymphocytes", quantiles=4),
            Spec("oxygen", levels=("room_air", "oxygen")),
            Spec("confusion", levels=("no", "yes")),
        ),
    }[name]
    version = f"{settings.version}.local"
    return replace(settings, terms=(*settings.terms, *own), version=version)


def units(name: Name) -> dict[str, str]:
    """Unit of every variable of one model, derived ones too."""
    return {**{v.name: v.unit for v in TABLES[name]}, **DERIVED_UNITS}


def outpatient_apart(
    data_path: Path, scores: Path | None
) -> tuple[tuple[Term, ...], dict[str, Any]]:
    """The published terms of the outpatient model, and what the card says of them."""
    points = deterioration.from_publication(data.risk_folder(data_path) / "published")
    parameters: dict[str, Any] = {
        "pneumonia_threshold_extent": films.pneumonia_threshold(data_path, scores),
        "log_odds_per_4c_point": round(points.log_odds_per_point(), 6),
    }
    return deterioration.terms(points), parameters


def ventilation_apart(
    data_path: Path, scores: Path | None, lent: Borrowed, held: Kept
) -> tuple[tuple[Term, ...], dict[str, Any]]:
    """The terms of coma scale and film, which were fitted apart, and what the card says of them."""
    weight = films.severity_weight(data_path, scores)
    parameters = {
        "cinc2012_share_kept": round(held.share, 4),
        "cinc2012_share_kept_standard_error": round(held.standard_error, 4),
        "cinc2012_ridge": lent.settings.ridge,
        "cinc2012_smooth": lent.settings.smooth,
        **weight.for_the_card(),
    }
    return (gcs_term(lent, held), films.severity_term(weight)), parameters


def card_for(
    name: Name, settings: Config, cohort: Cohort, local: bool, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """The model card without figures; `evaluate` alone writes those."""
    facts = CARDS[name]
    groups = len(np.unique(cohort.group))
    return {
        "name": name,
        "version": settings.version,
        "task": facts["task"],
        "input": f"one row with the columns of `carina risk columns {name}`",
        "output": "probability with a 90 % interval, contributions in log-odds",
        "data": [f"local table {cohort.name}"] if local else facts["data"],
        "licence": "as the local data" if local else "coefficients: as the sources allow, research",
        "split": f"{settings.folds} folds, {groups} {facts['group']} kept whole",
        "limits": local_limits(name) if local else facts["limits"],
        "command": f"carina train {name} --data DATA -o OUT",
        "metrics": {},
        "parameters": {
            **parameters,
            "rows": len(cohort),
            "rows_left_out": 0 if cohort.left_out is None else len(cohort.left_out),
            "patients": len(np.unique(cohort.patient)),
            "events": len(np.unique(cohort.patient[cohort.label])),
            **({"rows_sha256": data.fingerprint(cohort)} if local else {}),
            "settings": settings.as_dict(),
        },
    }


def local_limits(name: Name) -> list[str]:
    """What must be known of a model that a hospital fitted on its own table."""
    return [
        "Fitted on one local table: valid where and while patients, charting and treatment are as "
        "they were there. Measure it again on later rows before it is relied on.",
        "Figures are out of fold on that table; with few outcomes they are uncertain, see the "
        "intervals.",
        "The label is what the table calls it; nobody checked it.",
        "No term knows a treatment limit."
        if name == "ventilation"
        else "Terms of variables that the table lacks are zero.",
    ]


CARDS: Mapping[Name, Mapping[str, Any]] = {
    "ventilation": {
        "task": "probability that invasive ventilation starts within 12 hours, not ventilated now",
        "group": "hospitals",
        "data": [
            "eICU Collaborative Research Database demo (ODbL 1.0): every term without another name",
            "PhysioNet/CinC Challenge 2012 (ODC-BY 1.0): the term of the Glasgow coma scale, and "
            "what circulation, kidney and blood terms are pulled towards (setting borrow)",
            "COVID-19 image collection, Cohen et al. 2020: the term of the film's severity",
        ],
        "limits": [
            "Adults in intensive care in the United States, 2014-2015; not tested on a ward.",
            "The onset of ventilation comes from several records of unequal quality; those from "
            "respiratory care are often 4 to 7 hours earlier than the bedside chart.",
            "The weight of severity was fitted apart, on films of published cases, most of them "
            "severe (severity_slopes): it starts from intubation, age and sex adjusted, keeps the "
            "share that is left in earliest films with the projection adjusted for, is pulled to "
            "zero, and half is taken off for its overlap with SpO2 by choice. Intensive care, the "
            "other outcome, would weigh more; it is not what this model predicts.",
            "The term of the coma scale was fitted apart on another set and scaled by the share of "
            "that set's curves that holds here (cinc2012_share_kept); it never stood beside SpO2.",
            "No term knows a treatment limit: a patient who is not to be intubated has no onset.",
            "Penalties are chosen within the training hospitals of each fold, and knots are round "
            "numbers, but the list of variables, the rule of choosing and where it starts were "
            "settled after looks at held-out figures of these rows (six variants: AUROC 0.771 to "
            "0.781; four fixed sets of penalties: 0.750 to 0.785). Expect somewhat less elsewhere; "
            "auroc_of_other_partitions shows how much the deal of the hospitals matters.",
            "CinC 2012 changes little for hospitals of the eICU demo: see without_cinc2012, whose "
            "penalties are the packaged ones, not chosen anew in each fold.",
            "Hours in the unit carry much of the discrimination: without them it is lower.",
            "Not valid for children, or after extubation.",
        ],
    },
    "outpatient": {
        "task": "probability of intensive care, intubation or death after a clinic visit",
        "group": "states",
        "data": [
            "Mexican Ministry of Health open data of 2020-05-15, admissions to 2020-04-30",
            f"vital signs, urea, CRP, lymphocytes: {deterioration.CITATION}",
            "pneumonia threshold: Brixia and geographic extent of the Cohen collection",
        ],
        "limits": [
            "Suspected COVID-19 in spring 2020; later variants and vaccination are not in it.",
            "Includes people admitted on the day; pneumonia was known to the physician.",
            "The lowest risks come out too high by a third or more, those of gradient boosting on "
            "the same folds as well: see calibration_by_tenth. The second curves of sex, test and "
            "contact were added for that, after one look at these figures.",
            "Vital signs and blood tests come from published points for inpatients, not from "
            "this set; blood pressure, heart rate and temperature have no term.",
            "Coded yes-no comorbidities; unknown is treated as missing.",
        ],
    },
}
