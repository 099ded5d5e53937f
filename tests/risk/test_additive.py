from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from models.runtime import ModelCard
from risk.additive import Table, TableError, Term, probability, read, shipped

CURVE = Term(
    "spo2", "%", "test", (80.0, 90.0, 100.0), (), (1.0, 0.0, -1.0), (0.1, 0.2, 0.1), 0.5, 0.9
)
WORD = Term("sex", "", "test", (), ("female", "male"), (0.0, 0.3), (0.0, 0.1), 0.1, 0.2)
TABLE = Table("test", "0.1.0", -2.0, 0.1, (CURVE, WORD), {"task": "none"})


def test_a_curve_is_linear_between_knots_and_flat_outside() -> None:
    assert CURVE.at(85.0)[0] == pytest.approx(0.5)
    assert CURVE.at(10.0)[0] == 1.0
    assert CURVE.at(120.0)[0] == -1.0
    assert CURVE.at(None) == (0.5, 0.9)
    assert WORD.at("male") == (0.3, 0.1)


def test_many_values_at_once_are_the_same_as_one_by_one() -> None:
    values = [81.0, 95.0, float("nan"), 200.0]
    singly = [CURVE.at(None if np.isnan(v) else v) for v in values]
    assert CURVE.curve(values).tolist() == [a for a, _ in singly]
    assert CURVE.variances(values).tolist() == [b for _, b in singly]
    assert WORD.curve(["male", None]).tolist() == [0.3, 0.1]
    assert WORD.variances(["male", None]).tolist() == [0.1, 0.2]
    rows = TABLE.log_odds({"spo2": [85.0, None], "sex": ["male", "female"]})
    assert rows.tolist() == pytest.approx([-2.0 + 0.5 + 0.3, -2.0 + 0.5])


def test_a_table_survives_the_file(tmp_path: Path) -> None:
    TABLE.write(tmp_path / "t.json")
    again = read(tmp_path / "t.json")
    assert (again.terms, again.baseline, again.label) == (TABLE.terms, TABLE.baseline, TABLE.label)
    assert again.card["sha256"] == TABLE.digest()


@pytest.mark.parametrize("what", ["baseline", "log_odds", "source", "missing_log_odds"])
def test_a_changed_number_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "t.json"
    TABLE.write(path)
    found = json.loads(path.read_text())
    if what == "baseline":
        found["baseline"] += 1e-9
    elif what == "log_odds":
        found["terms"][0]["log_odds"][1] = 0.25
    elif what == "source":
        found["terms"][0]["source"] = "elsewhere"
    else:
        found["terms"][1]["missing_log_odds"] = 0.0
    path.write_text(json.dumps(found))
    with pytest.raises(TableError, match="the file was changed"):
        read(path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"name": "x"}'])
def test_what_is_not_a_table_is_refused_with_what_to_do(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(text)
    with pytest.raises(TableError, match="train it again"):
        read(path)
    with pytest.raises(TableError, match="train it again"):
        read(tmp_path / "none.json")


def test_figures_in_the_card_do_not_change_the_identity_of_the_numbers() -> None:
    assert replace(TABLE, card={"metrics": {"auroc": 1}}).digest() == TABLE.digest()


@pytest.mark.parametrize("name", ["ventilation", "outpatient"])
def test_a_shipped_table_has_a_whole_card_with_figures(name: str) -> None:
    table = shipped(name)
    assert set(table.card) == {field.name for field in fields(ModelCard)}
    assert {"low", "value", "high"} == set(table.card["metrics"]["auroc"])
    assert table.card["data"]
    assert table.card["limits"]
    assert all(v >= 0 for term in table.terms for v in term.variance)


def test_the_logistic_function_does_not_overflow() -> None:
    assert probability(0.0) == 0.5
    assert probability(-800.0) == pytest.approx(0.0)
    assert probability(800.0) == pytest.approx(1.0)
