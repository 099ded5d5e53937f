"""A model file of one's own is checked before it is served."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from risk import additive, local
from risk.additive import Table, TableError

SHIPPED = {name: additive.shipped(name) for name in local.NAMES}


@pytest.mark.parametrize("name", local.NAMES)
def test_a_written_model_is_read_again(tmp_path: Path, name: str) -> None:
    SHIPPED[name].write(tmp_path / "m.json")
    assert local.read(name, tmp_path / "m.json").label == SHIPPED[name].label


def first_term(**changed: Any) -> Callable[[Table], Table]:
    def change(table: Table) -> Table:
        return replace(table, terms=(replace(table.terms[0], **changed), *table.terms[1:]))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: replace(t, name="outpatient"), "expected a model named ventilation"),
        (first_term(variable="mood"), "found mood"),
        (first_term(knots=(80.0, 60.0, 20.0)), "rising knots"),
        (first_term(variance=(-1.0,)), "rising knots"),
    ],
)
def test_a_model_that_cannot_be_served_is_refused(
    tmp_path: Path, change: Callable[[Table], Table], message: str
) -> None:
    change(SHIPPED["ventilation"]).write(tmp_path / "m.json")
    with pytest.raises(TableError, match=message):
        local.read("ventilation", tmp_path / "m.json")


def test_a_number_that_is_none_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    SHIPPED["ventilation"].write(tmp_path / "m.json")
    found = json.loads((tmp_path / "m.json").read_text())
    found["terms"][0]["log_odds"][0] = math.nan
    (tmp_path / "m.json").write_text(json.dumps(found))
    for path, message in (
        (tmp_path / "m.json", "expected"),
        (tmp_path, "found a folder"),
        (tmp_path / "none.json", "FileNotFoundError"),
    ):
        with pytest.raises(TableError, match=message):
            local.read("ventilation", path)


def test_a_changed_number_is_noticed(tmp_path: Path) -> None:
    SHIPPED["outpatient"].write(tmp_path / "m.json")
    text = (tmp_path / "m.json").read_text().replace('"baseline": -', '"baseline": -1', 1)
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(TableError, match="was changed"):
        local.read("outpatient", tmp_path / "m.json")
