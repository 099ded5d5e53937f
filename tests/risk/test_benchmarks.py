from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import outpatient, ventilation
from benchmarks.bars import Bar, figure_at
from risk.additive import shipped


@pytest.mark.parametrize(
    ("name", "bars"), [("ventilation", ventilation.BARS), ("outpatient", outpatient.BARS)]
)
def test_the_shipped_card_has_a_figure_for_every_bar(name: str, bars: tuple[Bar, ...]) -> None:
    metrics = shipped(name).card["metrics"]
    assert [bar.title for bar in bars if "value" not in figure_at(metrics, bar.path)] == []


def test_the_tables_say_what_is_reached_and_what_was_not_measured() -> None:
    said = ventilation.lines({"auroc": {"value": 0.7, "low": 0.6, "high": 0.8}})
    assert "| 0.7 (0.6 to 0.8) | not measured | >= 0.77 | missed |" in said[2]
    assert all("not measured" in line for line in said[3:9])
    assert "| tenth | predicted | observed |" in outpatient.lines(outpatient.BARS, {})


def test_words_become_columns_whose_gaps_stay_gaps() -> None:
    rows = pd.DataFrame({"age": [1.0, np.nan], "smoking": ["yes", None], "empty": [None, None]})
    rows.loc[2] = [3.0, "no", None]
    found = outpatient.peer_columns(rows)
    assert found.shape == (3, 2)
    assert found[:, 1].tolist() == pytest.approx([1.0, np.nan, 0.0], nan_ok=True)
