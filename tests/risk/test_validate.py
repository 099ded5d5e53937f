"""A finished model on rows that it never saw: figures, plots, one page that needs nothing else."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from risk import additive
from risk.features import BadValue
from risk.recalibrate import recalibrate
from risk.validate import validate
from tests.risk.test_train import local_table

PLOTS = ("roc", "precision_recall", "calibration", "decision_curve", "contributions")


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured")
    frame = local_table(5, 500)
    frame.loc[7, "spo2"] = 950
    frame.to_csv(folder / "ward.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def measured(ward: Path) -> additive.Table:
    shipped = additive.shipped("ventilation")
    return validate("ventilation", shipped, ward / "ward.csv", ward / "out", quick=True)


def test_the_shipped_model_is_measured_as_it_is(ward: Path, measured: additive.Table) -> None:
    assert measured.label == additive.shipped("ventilation").label
    card = json.loads((ward / "out" / "card.json").read_text())
    assert card["metrics"]["rows"] == 499
    assert card["measured_on"] == "local table ward"
    assert "only where no row was in its fit" in card["split"]
    assert (ward / "out" / "left_out.csv").is_file()
    for name in PLOTS:
        assert (ward / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_says_what_was_measured_and_needs_no_other_file(
    ward: Path, measured: additive.Table
) -> None:
    page = BeautifulSoup((ward / "out" / "report.html").read_text(), "html.parser")
    text = page.get_text(" ", strip=True)
    assert "Research use only. Not a medical device." in text
    assert measured.label in text
    assert "499" in text
    assert "local table ward" in text
    for limit in measured.card["limits"]:
        assert " ".join(limit.split()) in " ".join(text.split())
    auroc = measured.card["metrics"]["auroc"]
    assert f"{auroc['value']:.3f}" in text
    assert f"{auroc['low']:.3f} to {auroc['high']:.3f}" in text
    pictures = [str(one["src"]) for one in page.find_all("img")]
    assert len(pictures) == len(PLOTS)
    for source in pictures:
        head, data = source.split(",", 1)
        assert head == "data:image/png;base64"
        assert base64.b64decode(data).startswith(b"\x89PNG")
    assert not page.find_all(["script", "link"])
    assert all(one.get("alt") for one in page.find_all("img"))


def test_a_model_is_not_measured_on_the_rows_that_it_was_fitted_on(tmp_path: Path) -> None:
    frame = local_table(5, 300)
    frame.to_parquet(tmp_path / "ward.parquet")
    new = recalibrate(additive.shipped("ventilation"), frame)
    with pytest.raises(BadValue, match="found those very rows"):
        validate("ventilation", new, tmp_path / "ward.parquet", tmp_path / "out", quick=True)


def test_an_outpatient_model_is_measured_too(tmp_path: Path) -> None:
    frame = local_table(6, 400).drop(columns=["hospital", "heart_rate"])
    frame.to_csv(tmp_path / "clinic.csv", index=False)
    shipped = additive.shipped("outpatient")
    found = validate(
        "outpatient",
        shipped,
        tmp_path / "clinic.csv",
        tmp_path / "out",
        quick=True,
    )
    assert found.card["metrics"]["rows"] == 400
    assert "None was computed" in (tmp_path / "out" / "report.html").read_text()
