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
    score,
    score_many,
)
from models.severity.sample import SAMPLE_NAME, sample_film, sample_zones
from models.severity.view import view_of
from models.severity.zones import MIRRORED, ZONES
from models.structures.predict import label


@pytest.fixture(scope="module")
def films() -> list[Radiograph]:
    return [phantom.draw(seed, extent).radiograph() for seed, extent in ((1, 0.0), (2, 5.0))]


@pytest.fixture(scope="module")
def scores(films: list[Radiograph]) -> list[Severity]:
    return score_many(films)


def test_the_exported_network_says_what_torch_said() -> None:
    seen = runtime.load(WEIGHTS).run({"film": sample_film(), "zone_masks": sample_zones()})
    with np.load(WEIGHTS / SAMPLE_NAME, allow_pickle=False) as said:
        assert set(said.files) == set(seen)
        for name in said.files:
            np.testing.assert_allclose(seen[name], said[name], atol=2e-4, rtol=1e-3, err_msg=name)


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
    views = [view_of(film.pixels, label(film)) for film in films]
    squares, zones = np.stack([v.film for v in views])[:, None], np.stack([v.zones for v in views])
    model = runtime.load(WEIGHTS)
    together = model.run({"film": squares, "zone_masks": zones})
    for at in range(len(views)):
        alone = model.run({"film": squares[at : at + 1], "zone_masks": zones[at : at + 1]})
        for name, values in alone.items():
            np.testing.assert_allclose(together[name][at], values[0], atol=1e-4, err_msg=name)


def test_a_mirrored_film_is_refused(films: list[Radiograph]) -> None:
    for film in films:
        with pytest.raises(Refusal, match="found the film mirrored") as refused:
            score(Radiograph(np.ascontiguousarray(film.pixels[:, ::-1])))
        assert refused.value.code == "unlike_training"


def test_mirrored_views_swap_their_zones_and_keep_their_extent() -> None:
    network, swapped, kept = runtime.load(WEIGHTS), [], []
    for seed in (2, 3, 4, 5):
        film = phantom.draw(seed, 5.0).radiograph()
        seen = view_of(film.pixels, label(film))
        square, zones = seen.film[None, None], seen.zones[None]
        plain = network.run({"film": square, "zone_masks": zones})
        turned = network.run(
            {"film": square[..., ::-1], "zone_masks": zones[:, list(MIRRORED), :, ::-1]}
        )
        # the near view is read as it is and the far one mirrored: near, not exact
        np.testing.assert_allclose(turned["extent"], plain["extent"], atol=0.12)
        np.testing.assert_allclose(turned["mirrored"], -plain["mirrored"], rtol=0.5)
        swapped.append(np.abs(turned["zones"][:, list(MIRRORED)] - plain["zones"]).mean())
        kept.append(np.abs(turned["zones"] - plain["zones"]).mean())
    assert np.mean(swapped) < 0.07
    assert np.mean(swapped) < np.mean(kept) / 3


def test_the_heat_map_lies_on_the_film(films: list[Radiograph], scores: list[Severity]) -> None:
    wide = Radiograph(np.ascontiguousarray(films[1].pixels[40:-60, :]))
    for film, one in ((films[1], scores[1]), (wide, score(wide))):
        heat = one.heat_on_film()
        assert heat.shape == film.pixels.shape
        assert heat.dtype == np.float32
        assert 0 <= heat.min() <= heat.max() <= 1


def test_the_zones_are_the_thirds_of_the_lungs_that_were_labelled(
    films: list[Radiograph], scores: list[Severity]
) -> None:
    masks = scores[0].zone_masks()
    assert masks.shape == (6, *films[0].pixels.shape)
    assert not (masks.sum(axis=0) > 1).any()
    structures = label(films[0])
    for lung, thirds in zip(("right_lung", "left_lung"), masks.reshape(2, 3, -1), strict=True):
        drawn = structures.mask(lung).ravel()
        together = thirds.any(axis=0)
        assert 2 * (drawn & together).sum() / (drawn.sum() + together.sum()) > 0.97


def test_a_film_that_was_labelled_already_scores_alike(
    films: list[Radiograph], scores: list[Severity]
) -> None:
    assert score(films[1], label(films[1])).extent == scores[1].extent
    with pytest.raises(ValueError, match="label this film"):
        score(Radiograph(films[1].pixels[:-9]), label(films[1]))


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


def test_the_change_of_each_zone_is_current_minus_prior(scores: list[Severity]) -> None:
    there = change(*scores)
    assert [one.zone for one in there.zones] == list(ZONES)
    for one, then, now in zip(there.zones, scores[0].zones, scores[1].zones, strict=True):
        assert one.change == pytest.approx(now - then)
        assert -3 <= one.low <= one.change <= one.high <= 3
        assert 0 <= one.probability_real <= 1
    assert all(one.probability_real == 0 for one in change(scores[0], scores[0]).zones)


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
