"""From a fit to the table of numbers that is served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risk.additive import Table, Term
from risk.fit import Basis, Config, Fit

Floats = NDArray[np.float64]


def to_table(
    name: str,
    settings: Config,
    fitted: Fit,
    units: Mapping[str, str],
    source: str,
    card: Mapping[str, Any],
) -> Table:
    """The fitted model as numbers at knots, each curve centred on the training rows.

    A missing value's variance is that of its own number, plus the spread of the curve (what the
    value might have been), and never less than that of any known value.
    """
    baseline, terms = fitted.weights[0], []
    draws = fitted.replicates[:, 0].copy()
    start = 1
    for one in fitted.bases:
        block = slice(start, start + one.width)
        shift = fitted.means[block.start - 1 : block.stop - 1]
        offset = float(shift @ fitted.weights[block])
        offsets = fitted.replicates[:, block] @ shift
        baseline, draws = baseline + offset, draws + offsets
        terms.append(_exported(one, fitted, block, offset, offsets, units, source))
        start = block.stop
    return Table(name, settings.version, float(baseline), float(draws.var()), tuple(terms), card)


def _exported(
    one: Basis,
    fitted: Fit,
    block: slice,
    offset: float,
    offsets: Floats,
    units: Mapping[str, str],
    source: str,
) -> Term:
    curve, absent = one.at_knots(fitted.weights[block])
    drawn = [one.at_knots(weights) for weights in fitted.replicates[:, block]]
    variance = (np.array([c for c, _ in drawn]) - offsets[:, None]).var(axis=0)
    absent_variance = (np.array([a for _, a in drawn]) - offsets).var()
    spread = absent_variance + curve.var()
    words = bool(one.spec.levels)
    return Term(
        one.spec.variable,
        units.get(one.spec.variable, ""),
        source,
        () if words else tuple(float(k) for k in one.edges),
        one.spec.levels,
        tuple(float(v) for v in np.round(curve - offset, 6)),
        tuple(float(v) for v in np.round(variance, 6)),
        round(absent - offset, 6),
        round(float(max(spread, variance.max() * 1.02)), 6),
    )
