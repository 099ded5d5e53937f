"""The command line on drawn films and small tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from models import phantom
from models.structures.anatomy import STRUCTURES
from service.__main__ import main


def film(path: Path, seed: int, pose: int = 0, extent: float = 0.0) -> Path:
    drawn = phantom.draw(seed, extent=extent, size=512, pose=pose)
    Image.fromarray((drawn.pixels * 255).astype(np.uint8)).save(path)
    return path


def test_align_writes_what_the_contract_names(tmp_path: Path) -> None:
    prior, current = film(tmp_path / "p.png", 5, 1), film(tmp_path / "c.png", 5, 2, extent=3.0)
    out = tmp_path / "out"
    status = main(["align", str(prior), str(current), "-o", str(out)])
    summary = json.loads((out / "alignment.json").read_text())
    assert status == (0 if summary["status"] == "ok" else 1)
    assert {
        "status",
        "reason",
        "dice_before",
        "dice_after",
        "folding_fraction",
        "seconds_label",
        "seconds_align",
        "change",
    } <= set(summary)
    arrays = np.load(out / "arrays.npz")
    assert arrays["labels_prior"].shape == arrays["labels_current"].shape == (20, 512, 512)
    assert arrays["labels_prior"].dtype == bool
    assert arrays["field_px"].shape == (2, 512, 512)
    assert arrays["warped_prior"].dtype == np.float32
    assert tuple(arrays["structures"]) == STRUCTURES
    for name in ("prior", "current", "aligned", "difference"):
        with Image.open(out / f"{name}.png") as picture:
            assert picture.size == (512, 512)


def test_align_of_a_blank_film_is_refused_with_the_code_and_which_film(tmp_path: Path) -> None:
    blank = tmp_path / "blank.png"
    Image.new("L", (512, 512), 90).save(blank)
    current = film(tmp_path / "c.png", 5)
    assert main(["align", str(blank), str(current), "-o", str(tmp_path / "out")]) == 1
    summary = json.loads((tmp_path / "out" / "alignment.json").read_text())
    assert (summary["status"], summary["reason"]) == ("refused", "blank")
    assert "prior film" in summary["message"]
    assert summary["change"] is None


def test_align_of_a_missing_film_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["align", str(tmp_path / "none.dcm"), str(tmp_path / "no.dcm"), "-o", "x"]) == 2
    assert "no such file" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ventilation", "outpatient"])
def test_risk_columns_name_unit_range_and_whether_required(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["risk", "columns", name]) == 0
    header = capsys.readouterr().out.split("\n")[0]
    assert {"name", "unit", "required"} <= set(header.split(","))


def test_risk_of_a_table_adds_up_to_the_log_odds(tmp_path: Path) -> None:
    table, out = tmp_path / "t.csv", tmp_path / "o.csv"
    rows = {
        "age_years": [70, 40],
        "heart_rate": [110, 75],
        "respiratory_rate": [30, 14],
        "spo2": [88, 98],
    }
    pd.DataFrame(rows).to_csv(table, index=False)
    assert main(["risk", "ventilation", str(table), "-o", str(out)]) == 0
    found = pd.read_csv(out)
    assert list(found.columns[:5]) == ["status", "reason", "probability", "low", "high"]
    total = found.filter(regex="^log_odds_").sum(axis=1)
    probability = found["probability"]
    np.testing.assert_allclose(total, np.log(probability / (1 - probability)), atol=1e-8)


def test_risk_of_an_empty_table_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.csv").write_text("age_years,spo2\n")
    assert main(["risk", "ventilation", str(tmp_path / "t.csv"), "-o", str(tmp_path / "o")]) == 2
    assert capsys.readouterr().err.startswith("carina: ")


def test_an_unknown_command_is_wrong_usage() -> None:
    with pytest.raises(SystemExit) as stop:
        main(["guess"])
    assert stop.value.code == 2
