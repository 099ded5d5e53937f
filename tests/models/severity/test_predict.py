from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models import phantom, runtime
from models.radiograph import Radiograph, read_file
from models.refusal import Refusal
from models.severity.predict import (
    WEIGHTS,
    Severity,
    change,
    framed,
    score,
    score_many,
)
from models.severity.sample import SAMPLE_NAME, sample_film
from models.severity.zones import MIRRORED, ZONES


@pytest.fixture(scope="module")
def films() -> list[Radiograph]:
    return [phantom.draw(seed, extent).radiograph() for seed, extent in ((1, 0.0), (2, 5.0))]


@pytest.fixture(scope="module")
def scores(films: list[Radiograph]) -> list[Severity]:
    return score_many(films)


def test_the_exported_network_says_what_torch_said() -> None:
    seen = runtime.load(WEIGHTS).run({"film": sample_film()})
    with np.load(WEIGHTS / SAMPLE_NAME, allow_pickle=False) as said:
        assert set(said.files) == set(seen)
        for name in said.files:
            np.testing.assert_allclose(seen[name], said[name], atol=2e-4, err_msg=name)


def test_weights_are_small_enough_to_ship() -> None:
    assert sum(file.stat().st_size for file in WEIGHTS.iterdir()) < 20e6


def test_a_score_is_complete_and_on_its_scales(scores: list[Severity]) -> None:
    for one in scores:
        assert 0 <= one.extent_low <= one.extent <= one.extent_high <= 8
        assert len(one.zones) == len(ZONES)
        assert all(0 <= zone <= 3 for zone in one.zones)
        assert one.brixia == pytest.approx(sum(one.zones))
        assert one.pxs > 0
        assert one.model.startswith("severity-")


def test_many_films_score_as_one_by_one(films: list[Radiograph], scores: list[Severity]) -> None:
    for film, together in zip(films, scores, strict=True):
        alone = score(film)
        assert alone.extent == together.extent
        assert alone.zones == together.zones
        np.testing.assert_array_equal(alone.heat, together.heat)


def test_a_batch_gives_what_single_films_give(films: list[Radiograph]) -> None:
    squares = np.stack([framed(film)[1] for film in films])[:, None]
    model = runtime.load(WEIGHTS)
    together = model.run({"film": squares})
    for at, square in enumerate(squares):
        alone = model.run({"film": square[None]})
        for name, values in alone.items():
            np.testing.assert_allclose(together[name][at], values[0], atol=1e-4, err_msg=name)


def test_a_mirrored_film_swaps_its_zones_and_keeps_its_extent(
    films: list[Radiograph], scores: list[Severity]
) -> None:
    flipped = score(Radiograph(np.ascontiguousarray(films[1].pixels[:, ::-1])))
    # the frame of a square film mirrors exactly, and the network averages both views
    assert flipped.extent == pytest.approx(scores[1].extent, abs=0.02)
    wanted = np.array(scores[1].zones)[list(MIRRORED)]
    np.testing.assert_allclose(flipped.zones, wanted, atol=0.02)
    np.testing.assert_allclose(flipped.heat, scores[1].heat[:, ::-1], atol=0.02)


def test_the_heat_map_lies_on_the_film(films: list[Radiograph], scores: list[Severity]) -> None:
    wide = Radiograph(np.ascontiguousarray(films[1].pixels[40:-60, :]))
    for film, one in ((films[1], scores[1]), (wide, score(wide))):
        heat = one.heat_on_film()
        assert heat.shape == film.pixels.shape
        assert heat.dtype == np.float32
        assert 0 <= heat.min() <= heat.max() <= 1


def test_brightness_and_contrast_of_the_file_do_not_matter(
    films: list[Radiograph], scores: list[Severity]
) -> None:
    dim = replace(films[1], pixels=films[1].pixels * np.float32(0.5) + np.float32(0.2))
    assert score(dim).extent == pytest.approx(scores[1].extent, abs=0.01)


@pytest.mark.parametrize("shade", [0.0, 0.5, 1.0])
def test_a_blank_film_is_refused(shade: float) -> None:
    with pytest.raises(Refusal) as refused:
        score(Radiograph(np.full((256, 256), shade, np.float32)))
    assert refused.value.code == "blank"


@pytest.mark.parametrize(
    "pixels", [np.full((64, 64), np.nan, np.float32), np.zeros((1, 64, 64), np.float32)]
)
def test_pixels_that_are_no_film_raise(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected finite pixels"):
        score(Radiograph(pixels))


def test_no_change_between_a_film_and_itself(scores: list[Severity]) -> None:
    same = change(scores[1], scores[1])
    assert same.extent_change == 0.0
    assert same.probability_real == 0.0
    assert same.low <= 0.0 <= same.high


def test_change_is_current_minus_prior(scores: list[Severity]) -> None:
    there, back = change(*scores), change(*reversed(scores))
    assert there.extent_change == pytest.approx(scores[1].extent - scores[0].extent)
    assert there.extent_change == -back.extent_change
    assert there.probability_real == back.probability_real
    assert -8 <= there.low <= there.extent_change <= there.high <= 8


def test_scores_of_different_weights_are_not_compared(scores: list[Severity]) -> None:
    with pytest.raises(ValueError, match="score both films again"):
        change(scores[0], replace(scores[1], model="severity-0.0.1+00000000"))


def test_predicting_does_not_import_torch() -> None:
    code = "import models.severity.predict, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_card_names_what_a_reader_must_know() -> None:
    card = runtime.read_card(WEIGHTS)
    assert any("Cohen" in entry for entry in card.data)
    assert any("not a medical device" in limit for limit in card.limits)
    assert "patient" in card.split


def test_real_severe_films_score_above_real_normal_ones(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "radiographs.csv")
    severe = table[table.geographic_0_8 >= 6].file.head(6)
    normal = table[(table.source == "nih") & (table.finding == "No Finding")].file.head(6)
    high, low = (
        [score(read_file(shared_data / name)) for name in part] for part in (severe, normal)
    )
    assert np.median([one.extent for one in high]) > np.median([one.extent for one in low]) + 3
    assert np.median([one.pxs for one in high]) > np.median([one.pxs for one in low]) + 1
    assert np.median([one.heat.max() for one in low]) < 0.5
