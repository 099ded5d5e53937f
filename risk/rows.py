"""From a row as it arrives to checked values, and from values to an estimate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from numbers import Real

import numpy as np
import pandas as pd

from risk import sheet
from risk.additive import Z_90, Table, probability
from risk.estimate import Contribution, Estimate, Value, refused
from risk.features import TABLES, BadValue, Variable, base_name, is_missing, normalise
from risk.sheet import Answerable

Derive = Callable[[Mapping[str, Value]], dict[str, Value]]

BLOCK = 20_000  # rows answered at once: a large table is never held as objects
QUOTED = 40  # characters of a wrong value that a message repeats

_WORDS: Mapping[str, str] = {
    "1": "yes",
    "0": "no",
    "true": "yes",
    "false": "no",
    "y": "yes",
    "n": "no",
    "m": "male",
    "f": "female",
}


def check(row: Mapping[str, object], variables: Sequence[Variable]) -> dict[str, Value]:
    """Every variable's value in its own unit, None where it is not known.

    Raises
    ------
    BadValue : an unknown column, a wrong type, an impossible value. The message says what to do.
    """
    checked: dict[str, Value] = {variable.name: None for variable in variables}
    if not row.keys() <= checked.keys():
        known(row, list(checked))
    for variable in variables:
        value = row.get(variable.name)
        if not is_missing(value):
            checked[variable.name] = (_level if variable.levels else _number)(variable, value)
    return checked


def known(found: Iterable[object], names: Sequence[str]) -> None:
    """Raise `BadValue` where a column is not one of `names`."""
    unknown = sorted(str(name) or "one without a name" for name in found if name not in names)
    if unknown:
        near = get_close_matches(unknown[0], names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise BadValue(
            f"expected the columns of `carina risk columns`, found also {', '.join(unknown)}"
            f"{hint}; rename or drop it"
        )


def _level(variable: Variable, value: object) -> str:
    if isinstance(value, (float, np.floating)) and value.is_integer():
        value = int(value)
    word = str(value).strip().lower().replace(" ", "_")
    for candidate in (word, _WORDS.get(word, "")):
        if candidate in variable.levels:
            return candidate
    found = f"{value!r}"[:QUOTED]
    raise BadValue(f"{variable.name}: expected {variable.range}, found {found}; correct it")


def _number(variable: Variable, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (Real, Decimal, str)):
        found = type(value).__name__
        raise BadValue(f"{variable.name}: expected a number, found {found}; correct it")
    try:
        number = float("_" if isinstance(value, str) and "_" in value else value)  # 1_0 is no 10
    except (ValueError, OverflowError):
        found = f"{value!r}"[:QUOTED]
        raise BadValue(
            f"{variable.name}: expected a number, found {found}; correct it or leave it empty"
        ) from None
    return normalise(variable, number)


def estimate(
    table: Table,
    values: Mapping[str, Value],
    missing: tuple[str, ...],
    extra_variance: float = 0.0,
) -> Estimate:
    """Add the terms up, and their variances for the interval.

    The interval adds the variances of the terms as if they were independent: each is that of
    a bootstrap by patient, and a missing value has the spread of what it might have been. So has
    a statistic of 6 hours for which the latest reading stands in.
    """
    stood_in = stand_ins(missing)
    contributions, variance = [], table.baseline_variance + extra_variance
    for term in table.terms:
        log_odds, term_variance = term.at(values[term.variable])
        unsure = term.variable in stood_in
        variance += max(term_variance, term.missing_variance) if unsure else term_variance
        contributions.append(
            Contribution(term.variable, values[term.variable], term.unit, log_odds, term.source)
        )
    total = table.baseline + math.fsum(c.log_odds for c in contributions)
    half = Z_90 * math.sqrt(variance)
    return Estimate(
        "ok",
        "",
        probability(total),
        probability(total - half),
        probability(total + half),
        table.baseline,
        tuple(contributions),
        table.label,
        missing,
    )


def stand_ins(missing: Iterable[str]) -> frozenset[str]:
    """Statistics of 6 hours that nobody gave: at best the latest reading stands in for them."""
    return frozenset(name for name in missing if base_name(name) != name)


def predict_table(
    frame: pd.DataFrame, answerable: Answerable, derive: Derive, table: Table
) -> pd.DataFrame:
    """One answer per row: status, reason, probability, low, high, log_odds_<variable>...

    The same numbers as `estimate` row by row, many rows at once. A bad row is a row with a reason;
    an empty table is an error. `patient`, `hospital` and `label` may stand in the table: with
    `patient` and `hours_in_unit`, hours that stand twice or go backwards are refused.

    Raises
    ------
    BadValue : the table has no rows, a column twice, or one that the model does not know.
    """
    if frame.empty:
        raise BadValue("expected at least one row, found an empty table; check the input file")
    if frame.columns.has_duplicates:
        twice = sorted({str(c) for c in frame.columns[frame.columns.duplicated()]})
        raise BadValue(f"expected each column once, found twice: {', '.join(twice)}; drop one")
    known(frame.columns, [*(v.name for v in TABLES[table.name]), *sheet.LABELS])
    disorder = sheet.disorder(frame)
    inputs = frame.drop(columns=[c for c in sheet.LABELS if c in frame])
    blocks = []
    for start in range(0, len(frame), BLOCK):
        cells = sheet.records(inputs.iloc[start : start + BLOCK])
        reasons, values = disorder[start : start + BLOCK], []
        stood_in: list[frozenset[str]] = []
        for place, row in enumerate(cells):
            found, reason = _tried(answerable, row)
            reasons[place] = reasons[place] or reason
            if not reasons[place]:
                values.append(derive(found))
                stood_in.append(stand_ins(n for n, value in found.items() if value is None))
        blocks.append(_block(reasons, values, stood_in, table))
    return pd.concat(blocks).set_axis(frame.index)


def _tried(answerable: Answerable, row: dict[str, object]) -> tuple[dict[str, Value], str]:
    try:
        return answerable(row)
    except BadValue as error:
        return {}, str(error)


def _block(
    reasons: Sequence[str],
    values: Sequence[Mapping[str, Value]],
    stood_in: Sequence[frozenset[str]],
    table: Table,
) -> pd.DataFrame:
    """Answers of some rows; `values` are those of the rows without a reason, in their order."""
    answered = np.array([not reason for reason in reasons])
    variance = np.full(len(values), table.baseline_variance)
    terms = np.empty((len(values), len(table.terms)))
    for place, term in enumerate(table.terms):
        known = [row[term.variable] for row in values]
        terms[:, place] = term.curve(known)
        unsure = np.array([term.variable in names for names in stood_in], np.bool_)
        found = term.variances(known)
        variance += np.where(unsure, np.maximum(found, term.missing_variance), found)
    totals = [table.baseline + math.fsum(row) for row in terms.tolist()]
    halves = (Z_90 * np.sqrt(variance)).tolist()
    pairs = list(zip(totals, halves, strict=True))
    numbers: dict[str, object] = {
        "probability": [probability(total) for total in totals],
        "low": [probability(total - half) for total, half in pairs],
        "high": [probability(total + half) for total, half in pairs],
        **{f"log_odds_{t.variable}": terms[:, place] for place, t in enumerate(table.terms)},
        "log_odds_baseline": [table.baseline] * len(values),
    }
    block = pd.DataFrame(
        {"status": np.where(answered, "ok", "refused"), "reason": list(reasons)},
    )
    for name, column in numbers.items():
        whole = np.full(len(reasons), math.nan)
        whole[answered] = column
        block[name] = whole
    return block


def refuse_bad(error: BadValue, table: Table) -> Estimate:
    """A refusal that carries the message of a bad value."""
    return refused(str(error), table.label)
