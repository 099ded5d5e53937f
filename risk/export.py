"""From a fit to the table of numbers that is served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from risk.additive import Table, Term
from risk.basis import Basis, Config, design
from risk.fit import Fit
from risk.normal import NORMAL
from risk.outpatient import WITH_PNEUMONIA

Floats = NDArray[np.float64]


def to_table(
    name: str, settings: Config, fitted: Fit, units: Mapping[str, str], source: str
) -> Table:
    """The fitted model as numbers at knots, each curve centred on the training rows.

    Returns
    -------
    Table
        Without a card. A missing value's variance is that of its own number plus the spread of
        the curve (what the value might have been), and never less than that of a normal value.
    """
    baseline, draws = float(fitted.weights[0]), fitted.replicates[:, 0].copy()
    terms = []
    for one, block in zip(fitted.bases, fitted.blocks(), strict=True):
        shift = fitted.means[block]
        offset = float(shift @ fitted.weights[1:][block])
        offsets = fitted.replicates[:, 1:][:, block] @ shift
        baseline, draws = baseline + offset, draws + offsets
        terms.append(_exported(one, fitted, block, (offset, offsets), units, source))
    return no_surer_than_normal(
        Table(name, settings.version, baseline, float(draws.var()), tuple(terms), {})
    )


def no_surer_than_normal(table: Table) -> Table:
    """Raise what "not known" is unsure of above what any normal value is.

    Then a normal value that is added never widens the interval. What has a second curve with
    pneumonia is compared with both together, as both appear with the value.
    """
    by_name = {term.variable: term for term in table.terms}
    terms = []
    for term in table.terms:
        second = by_name.get(WITH_PNEUMONIA.get(term.variable, ""))
        least = 1.02 * (_normal(term) + (_normal(second) if second else 0.0)) + 1e-6
        exists = term.variable not in WITH_PNEUMONIA.values() and term.missing_variance > 0
        terms.append(
            replace(term, missing_variance=round(max(term.missing_variance, least), 9))
            if exists
            else term
        )
    return replace(table, terms=tuple(terms))


def _normal(term: Term) -> float:
    """The largest variance of a normal value; of any value where nothing says what is normal."""
    if term.levels or term.variable not in NORMAL:
        return max(term.variance)
    low, high = NORMAL[term.variable]
    within = [low, high, *(knot for knot in term.knots if low < knot < high)]
    return max(term.at(value)[1] for value in within)


def independence(table: Table, fitted: Fit, rows: pd.DataFrame) -> float:
    """How much larger the bootstrap variance of whole rows is than the sum over their terms.

    Correlated terms share their errors; the sum counts those twice or not at all. `rescale`
    with this ratio makes the mean variance over the training rows that of the bootstrap.
    """
    columns = design(fitted.bases, rows)
    drawn = fitted.replicates[:, :1] + fitted.replicates[:, 1:] @ columns.T
    whole = float(drawn.var(axis=0).mean())
    parts = [float(t.variances(rows[t.variable].tolist()).mean()) for t in table.terms]
    return whole / (table.baseline_variance + sum(parts))


def rescale(table: Table, ratio: float) -> Table:
    """Multiply every variance of the table."""
    terms = tuple(
        Term(
            t.variable,
            t.unit,
            t.source,
            t.knots,
            t.levels,
            t.log_odds,
            tuple(round(ratio * v, 9) for v in t.variance),
            t.missing_log_odds,
            round(ratio * t.missing_variance, 9),
        )
        for t in table.terms
    )
    return Table(
        table.name,
        table.version,
        table.baseline,
        ratio * table.baseline_variance,
        terms,
        table.card,
    )


def _exported(  # noqa: PLR0917  # one call, every part of a term
    one: Basis,
    fitted: Fit,
    block: slice,
    offsets: tuple[float, Floats],
    units: Mapping[str, str],
    source: str,
) -> Term:
    offset, offset_draws = offsets
    curve, absent = one.at_knots(fitted.weights[1:][block])
    drawn = [one.at_knots(weights) for weights in fitted.replicates[:, 1:][:, block]]
    variance = (np.array([c for c, _ in drawn]) - offset_draws[:, None]).var(axis=0)
    absent_variance = float((np.array([a for _, a in drawn]) - offset_draws).var())
    # A curve with a trend has its normal value at one end, any other in the middle.
    inner = len(variance) > 3 and not one.spec.trend
    usual = variance[1:-1] if inner else variance
    unknown = max(absent_variance + float(curve.var()), 1.02 * float(usual.max())) + 1e-6
    words = bool(one.spec.levels)
    return Term(
        one.spec.variable,
        units.get(one.spec.variable, ""),
        source,
        () if words else tuple(float(k) for k in one.edges),
        one.spec.levels,
        tuple(float(v) for v in np.round(curve - offset, 6)),
        tuple(float(v) for v in np.round(variance, 9)),
        round(absent - offset, 6),
        0.0 if one.spec.within else round(unknown, 9),
    )
