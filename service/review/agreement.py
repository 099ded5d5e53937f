"""How far readers and model agree: error, weighted kappa and overlap, with intervals and counts.

Readers saw the model's answer before they judged it: such agreement is higher than that of two
readers who did not know of each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.severity.zones import ZONES
from service.records import Review, Verdict

DRAWS = 500
SEED = 20261125
FEWEST_PATIENTS = 5  # fewer give no interval worth the name
EVERYBODY = ""  # the reader's name in figures over all readers
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its 95 % interval (bootstrap by patient); None with too few patients."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class ScoreAgreement:
    """Reader against model on one kind of score: "extent" (0-8) or "zones" (0-3, six a film).

    Parameters
    ----------
    mae : mean absolute difference in points. bias : mean of reader less model; positive: the
        reader calls it worse.
    kappa : quadratic weighted kappa of whole scores; None where a side never varies.
    scores : verdicts; `pairs` of them have a value on both sides and make the figures.
    """

    reader: str
    name: str
    films: int
    scores: int
    pairs: int
    accepted: int
    corrected: int
    rejected: int
    mae: Figure | None
    bias: Figure | None
    kappa: Figure | None


@dataclass(frozen=True, slots=True)
class ContourAgreement:
    """Overlap of readers' and model's masks of one structure, of those that readers redrew."""

    reader: str
    structure: str
    films: int
    dice: Figure


@dataclass(frozen=True, slots=True)
class Agreement:
    """All figures; those over all readers first."""

    scores: tuple[ScoreAgreement, ...]
    contours: tuple[ContourAgreement, ...]


@dataclass(frozen=True, slots=True)
class _Pair:
    patient: str
    study: str
    verdict: Verdict
    said: float | None
    value: float | None


def agreement(reviews: Sequence[Review]) -> Agreement:
    """Figures of reviews in force, over all readers and for each."""
    readers = sorted({one.reader for one in reviews})
    scores: list[ScoreAgreement] = []
    contours: list[ContourAgreement] = []
    for reader in (EVERYBODY, *readers):
        own = [one for one in reviews if reader in (EVERYBODY, one.reader)]
        scores += [
            found
            for name, names in (("extent", {"extent"}), ("zones", set(ZONES)))
            if (found := _scores(reader, name, _pairs(own, names))) is not None
        ]
        contours += _contours(reader, own)
    return Agreement(tuple(scores), tuple(contours))


def _pairs(reviews: Iterable[Review], names: set[str]) -> list[_Pair]:
    return [
        _Pair(review.patient_id, review.study_uid, one.verdict, one.said, one.value)
        for review in reviews
        for one in review.scores
        if one.name in names
    ]


def _scores(reader: str, name: str, pairs: list[_Pair]) -> ScoreAgreement | None:
    if not pairs:
        return None
    both = [(p.patient, p.said, p.value) for p in pairs if None not in (p.said, p.value)]
    patients = [patient for patient, *_ in both]
    model = np.array([said for _, said, _ in both], np.float64)
    mine = np.array([value for *_, value in both], np.float64)
    counted = {verdict: sum(p.verdict == verdict for p in pairs) for verdict in _VERDICTS}
    apart = mine - model
    return ScoreAgreement(
        reader=reader,
        name=name,
        films=len({pair.study for pair in pairs}),
        scores=len(pairs),
        pairs=len(both),
        accepted=counted["accepted"],
        corrected=counted["corrected"],
        rejected=counted["rejected"],
        mae=bootstrap(patients, np.abs(apart)[:, None], _mean),
        bias=bootstrap(patients, apart[:, None], _mean),
        kappa=bootstrap(patients, moments(mine, model), _kappa),
    )


_VERDICTS: tuple[Verdict, ...] = ("accepted", "corrected", "rejected")


def _contours(reader: str, reviews: list[Review]) -> list[ContourAgreement]:
    drawn: dict[str, list[tuple[str, float]]] = {}
    for review in reviews:
        for one in review.contours:
            drawn.setdefault(one.name, []).append((review.patient_id, one.dice))
    found = []
    for name, both in sorted(drawn.items()):
        values = np.array([[value] for _, value in both])
        figure = bootstrap([patient for patient, _ in both], values, _mean)
        if figure is not None:
            found.append(ContourAgreement(reader, name, len(both), figure))
    return found


def moments(one: Floats, other: Floats) -> Floats:
    """(n, 5): both whole scores, their squares, the square of their difference."""
    a, b = np.floor(one + 0.5), np.floor(other + 0.5)
    return np.stack([a, b, a**2, b**2, (a - b) ** 2], axis=1)


def _mean(means: Floats) -> Floats:
    return means[:, 0]


def _kappa(means: Floats) -> Floats:
    """1 - observed / expected squared difference (Cohen 1968); NaN where nothing varies."""
    a, b, aa, bb, observed = means.T
    expected = aa + bb - 2 * a * b
    share: Floats = np.divide(
        observed, expected, out=np.full_like(a, np.nan), where=expected > 1e-12
    )
    return 1 - share


def bootstrap(
    patients: Sequence[str], values: Floats, statistic: Callable[[Floats], Floats]
) -> Figure | None:
    """A statistic of means with its interval over resampled patients; None where it has no value.

    Parameters
    ----------
    values : (n, k), one row a score.
    statistic : from (draws, k) means to (draws,).
    """
    if not patients:
        return None
    value = float(statistic(values.mean(axis=0, keepdims=True))[0])
    if math.isnan(value):
        return None
    names, which = np.unique(np.array(patients), return_inverse=True)
    if len(names) < FEWEST_PATIENTS:
        return Figure(value, None, None)
    sums = np.zeros((len(names), values.shape[1] + 1))
    np.add.at(sums, which, np.column_stack([values, np.ones(len(values))]))
    rng = np.random.default_rng(SEED)
    times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=DRAWS)
    drawn = times @ sums
    found = statistic(drawn[:, :-1] / drawn[:, -1:])
    low, high = np.nanpercentile(found, (2.5, 97.5))
    return Figure(value, float(low), float(high))
