"""Figures of agreement against slow obvious twins."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.records import ContourReview, Review, ScoreReview
from service.review.agreement import FEWEST_PATIENTS, Agreement, agreement

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def review(patient: int, said: float, value: float | None, reader: str = "a") -> Review:
    verdict = "rejected" if value is None else "accepted" if value == said else "corrected"
    score = ScoreReview("left_lower", verdict, said, value)
    return Review(f"{reader}{patient}", f"s{patient}", f"p{patient}", "r", None, reader, NOW, "m",
                  (score,), (ContourReview("heart", "k", 0.9),))  # fmt: skip


def overall(found: Agreement) -> object:
    return next(one for one in found.scores if not one.reader)


def twin_kappa(a: list[int], b: list[int]) -> float:
    """Cohen's weighted kappa, from the table of both readers."""
    table = np.zeros((4, 4))
    for one, other in zip(a, b, strict=True):
        table[one, other] += 1 / len(a)
    weights = (np.arange(4)[:, None] - np.arange(4)) ** 2
    return float(
        1 - (weights * table).sum() / (weights * np.outer(table.sum(1), table.sum(0))).sum()
    )


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=30))
def test_error_and_kappa_are_those_of_the_textbook(pairs: list[tuple[int, int]]) -> None:
    found = overall(agreement([review(i, s, v) for i, (s, v) in enumerate(pairs)]))
    model, mine = [s for s, _ in pairs], [v for _, v in pairs]
    assert found.mae.value == pytest.approx(np.mean(np.abs(np.subtract(mine, model))))
    assert found.bias.value == pytest.approx(np.mean(np.subtract(mine, model)))
    if len(set(model)) > 1 or len(set(mine)) > 1 or model[0] != mine[0]:
        assert found.kappa.value == pytest.approx(twin_kappa(mine, model))
    else:
        assert found.kappa is None


def test_intervals_hold_the_figure_and_need_patients() -> None:
    many = [review(i, i % 4, (i * 7) % 4) for i in range(24)]
    found = overall(agreement(many))
    for figure in (found.mae, found.bias, found.kappa):
        assert figure.low < figure.value < figure.high
    few = overall(agreement(many[: FEWEST_PATIENTS - 1]))
    assert few.mae.low is None


def test_rejected_scores_are_counted_and_not_compared() -> None:
    found = overall(agreement([review(1, 2, None), review(2, 2, 2), review(3, 1, 2)]))
    assert (found.scores, found.pairs) == (3, 2)
    assert (found.accepted, found.corrected, found.rejected) == (1, 1, 1)


def test_each_reader_has_figures_beside_those_of_all() -> None:
    found = agreement([review(1, 2, 3, "a"), review(1, 2, 2, "b")])
    assert [(one.reader, one.mae.value) for one in found.scores if one.mae] == [
        ("", 0.5), ("a", 1.0), ("b", 0.0),
    ]  # fmt: skip
    assert [(one.reader, one.films, one.dice.value) for one in found.contours] == [
        ("", 2, 0.9), ("a", 1, 0.9), ("b", 1, 0.9),
    ]  # fmt: skip


def test_without_reviews_there_are_no_figures() -> None:
    assert agreement([]) == Agreement((), ())
