"""Cards, tables and the README word a figure alike."""

from __future__ import annotations

from typing import Any

import pytest

from models.figure import wording


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        (0.123456, "0.123"),
        (1612, "1612"),
        ({"value": 0.5}, "0.5"),
        ({"value": 0.7484, "low": 0.6171, "high": 0.8382}, "0.748 (0.617 to 0.838)"),
        ({"share": 0.25, "low": 0.1, "high": 0.4}, "0.25 (0.1 to 0.4)"),
        ({"value": None, "low": None, "high": None}, "not measured"),
        ({}, "not measured"),
        (None, "not measured"),
    ],
)
def test_a_figure_is_worded_with_its_interval_where_it_has_one(figure: Any, words: str) -> None:
    assert wording(figure) == words
