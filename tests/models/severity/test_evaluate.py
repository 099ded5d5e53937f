from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="left out: torch (the extra [train]) is missing")

from models import runtime  # noqa: E402  # after the check for torch
from models.severity import figures  # noqa: E402
from models.severity.data import folds, of_the_start, read_films  # noqa: E402
from models.severity.evaluate import evaluate, flat_figures  # noqa: E402
from models.severity.explanation import film_aurocs  # noqa: E402
from models.severity.export import card  # noqa: E402
from models.severity.interval import UNKNOWN, calibration_to_parameters  # noqa: E402
from models.severity.serving import Served, read_served  # noqa: E402

RECIPE = {"folds": 3, "members": 1, "seed": 5, "embedding": 64}


@pytest.fixture
def run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished training whose fold networks have already said what they say."""
    monkeypatch.setattr(figures, "DRAWS", 40)
    films = read_films(data, tmp_path / "cache")
    views = read_served(data, films, tmp_path / "cache")
    rng = np.random.default_rng(0)
    fold = folds(films, RECIPE["folds"], RECIPE["seed"])
    learned = of_the_start(films, RECIPE["seed"])
    for k in range(RECIPE["folds"]):
        chosen = np.flatnonzero((fold == k) & (films.scored | films.normal) & ~learned)
        torch.save({"finished": k != 2}, tmp_path / f"fold{k}-0.pt")
        extent = np.clip(np.nan_to_num(films.extent[chosen]) * 8 + rng.normal(0, 0.3), 0, 8)
        np.savez(
            tmp_path / f"fold{k}-0.predictions.npz",
            views=" ".join(one.digest(chosen) for one in views),
            extent=extent,
            zones=np.tile(extent[:, None] / 8 * 3, 6),
            copy_extent=extent + 0.1,
            copy_zones=np.tile(extent[:, None] / 8 * 3, 6) + 0.05,
            heat=rng.random((len(chosen), 40, 40)),
        )
    sides = rng.normal(size=12)
    np.savez(tmp_path / "mirror.npz", upright=sides, mirrored=sides + 20.0,
             patient=np.arange(12), fold=np.arange(12) % 3, extent=np.arange(12.0))  # fmt: skip
    (tmp_path / "model.onnx").write_bytes(b"not needed here")
    parameters = {**calibration_to_parameters(UNKNOWN), "training": RECIPE}
    runtime.write_card(tmp_path, card(tmp_path, "0", parameters))
    return tmp_path


def test_evaluation_writes_card_table_and_plots(data: Path, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "card"
    table = evaluate(data, out, run=run)
    assert table["ground"].startswith("held out")
    assert table["folds"] == [0, 1]  # the third network has not finished
    assert table["extent_240"]["r"]["n"] < 8
    assert table["mirrored"]["found"]["value"] == 1.0
    assert table["mirrored"]["refused_by_mistake"]["value"] < 0.5
    assert table["change"]["spearman"]["value"] is None  # too few pairs say nothing
    assert runtime.read_card(out).metrics == json.loads(json.dumps(table))
    text = (out / "card.md").read_text(encoding="utf-8")
    for name, _ in flat_figures(table):
        assert f"| {name} |" in text
    for picture in ("agreement.png", "error.png", "normals.png"):
        assert (out / picture).read_bytes().startswith(b"\x89PNG")


def test_shipped_figures_say_that_the_films_may_be_known(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "DRAWS", 5)
    table = evaluate(data, tmp_path)
    assert "may have been trained on" in table["ground"]


def test_heat_on_the_drawn_opacity_scores_one(tmp_path: Path) -> None:
    from PIL import Image

    grid = np.mgrid[0:90, 0:90] // 10
    lungs, opaque = np.ones((90, 90), bool), (grid[0] < 3) & (grid[1] < 4)
    names = ["right_lung", "left_lung", "consolidation"]
    lines = ["radiograph,structure,mask"]
    for name, mask in zip(names, (lungs, lungs, opaque), strict=True):
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / f"{name}.png")
        lines.append(f"a.jpg,{name},{name}.png")
    (tmp_path / "radiologist_masks.csv").write_text("\n".join(lines))
    shape = [90, 90, 90, 90, 0, 0]  # the view is the whole film
    views = Served(np.zeros((3, 90, 90), np.uint8), np.zeros((3, 6, 9, 9), np.uint8),
                   np.array([shape] * 3))  # fmt: skip
    heat = np.zeros((3, 9, 9))
    heat[0, :3, :4] = 1.0
    heat[1] = 1.0 - heat[0]
    aurocs = film_aurocs(tmp_path, ["a.jpg", "a.jpg", "b.jpg"], heat, views)
    assert aurocs[0] == pytest.approx(1.0, abs=0.02)
    assert aurocs[1] == pytest.approx(0.0, abs=0.02)
    assert np.isnan(aurocs[2])
