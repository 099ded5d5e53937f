"""The command line on drawn films and small tables."""

from __future__ import annotations

import io
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


def test_risk_columns_without_a_name_are_those_of_both_models(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["risk", "columns"]) == 0
    listed = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert list(listed.columns[:4]) == ["name", "unit", "range", "required"]
    assert set(listed["model"]) == {"ventilation", "outpatient"}


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


def made_up_ward(folder: Path, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    spo2 = rng.normal(94, 4, 400).clip(70, 100)
    label = rng.random(400) < 1 / (1 + np.exp(2.5 - 0.25 * (94 - spo2)))
    frame = pd.DataFrame({"spo2": spo2, "fio2": 40, "label": label, "patient": np.arange(400)})
    frame.loc[0, "spo2"] = 900
    frame.to_parquet(folder / f"ward{seed}.parquet")
    return folder / f"ward{seed}.parquet"


def test_a_hospital_recalibrates_measures_and_uses_its_own_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = made_up_ward(tmp_path, 1), made_up_ward(tmp_path, 2)
    own = tmp_path / "own"
    assert main(["recalibrate", "ventilation", "--data", str(first), "--out", str(own)]) == 0
    said = capsys.readouterr().out
    assert "out of sample" in said
    assert {path.name for path in own.iterdir()} == {
        "ventilation.json",
        "ventilation.previous.json",
        "recalibration.json",
        "left_out.csv",
    }
    model, out = str(own / "ventilation.json"), tmp_path / "measured"
    measure = ["evaluate", "ventilation", "--data", str(second), "--out", str(out)]
    assert main([*measure, "--model", model]) == 0
    assert (out / "report.html").is_file()
    pd.read_parquet(second)[["spo2"]].to_csv(tmp_path / "t.csv", index=False)
    table = str(tmp_path / "t.csv")
    for name, options in (("old", []), ("new", ["--model", model])):
        to = str(tmp_path / f"{name}.csv")
        assert main(["risk", "ventilation", table, "-o", to, *options]) == 0
    old, new = (pd.read_csv(tmp_path / f"{n}.csv")["probability"] for n in ("old", "new"))
    assert (old != new).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recalibrate", "ventilation", "--data", "few.csv", "--out", "o"], "give more data"),
        (["train", "ventilation", "--data", "few.csv", "--out", "o"], "give more data"),
        (["train", "ventilation", "--data", "empty", "--out", "o"], "expected eicu_demo"),
        (["train", "ventilation", "--data", "few.csv", "--out", "few.csv"], "expected a folder"),
        (["evaluate", "ventilation", "--data", "none.csv"], "found nothing there"),
        (["evaluate", "ventilation", "--data", "bad.csv", "--out", "o"], "found semicolons"),
        (["risk", "ventilation", "few.csv", "-o", "few.csv"], "found the table itself"),
        (["risk", "ventilation", "few.csv", "-o", "empty"], "found a folder"),
        (["risk", "outpatient", "few.csv", "-o", "o", "--model", "few.csv"], "coefficient table"),
    ],
)
def test_what_the_risk_commands_cannot_do_is_wrong_usage(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.csv").write_text("spo2;label;patient\n95;0;1\n")
    rows = "".join(f"{90 + n},{n % 2},{n}\n" for n in range(8))
    (tmp_path / "few.csv").write_text("spo2,label,patient\n" + rows)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_risks_are_written_as_parquet_where_the_name_says_so(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("spo2,respiratory_rate\n95,20\n300,20\n")
    out = tmp_path / "o.parquet"
    assert main(["risk", "ventilation", str(tmp_path / "t.csv"), "-o", str(out)]) == 0
    assert pd.read_parquet(out)["status"].tolist() == ["ok", "refused"]
