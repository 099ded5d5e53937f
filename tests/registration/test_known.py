"""Known deformations are what they say, and the figures drawn from them add up."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from models import phantom
from registration import known
from registration.evaluate import disease_figures, known_figures, pair_figures
from registration.held_out import dated_pairs, unseen
from registration.warp import folding_fraction, identity_grid, sample, warp


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_a_known_deformation_moves_and_never_folds(seed: int) -> None:
    field = known.draw((160, 128), np.random.default_rng(seed)).field_px()
    assert folding_fraction(field) == 0
    assert 0.2 < np.hypot(*field).mean() < 0.3 * 128


def test_a_copy_is_the_film_seen_through_its_mapping() -> None:
    film = phantom.draw(3, size=256).radiograph()
    copy = known.copy(film, np.random.default_rng(1))
    moved = warp(film.pixels, copy.mapping.field_px())
    assert np.corrcoef(moved.ravel(), copy.film.pixels.ravel())[0, 1] > 0.95


def test_over_two_copies_and_back_is_the_way_between_them() -> None:
    rng = np.random.default_rng(4)
    first, second = (known.draw((160, 160), rng) for _ in range(2))
    there, back = known.chain(first, second), known.chain(second, first)
    grid = identity_grid((160, 160))
    again = grid + there + np.stack([sample(part, grid + there, edge=True) for part in back])
    off = np.hypot(*(again - grid))[40:-40, 40:-40]
    assert off.max() < 0.5


def test_an_opacity_lies_where_lungs_are() -> None:
    lungs = np.zeros((64, 64), np.float32)
    lungs[20:40, 10:25] = 1
    opacity = known.blob(lungs, (128, 128), np.random.default_rng(2))
    centre = np.argwhere(opacity == opacity.max()).mean(axis=0) / 2
    assert lungs[int(centre[0]), int(centre[1])] == 1
    assert not known.blob(lungs * 0, (128, 128), np.random.default_rng(2)).any()


def test_another_day_is_cut_and_another_console_keeps_the_shape() -> None:
    film = phantom.draw(3, size=256).radiograph()
    moved = known.another_day(film, np.random.default_rng(1))
    height, width = film.pixels.shape
    assert all(
        0.9 * full < part <= full
        for full, part in zip((height, width), moved.pixels.shape, strict=True)
    )
    exposed = known.console(moved.pixels, np.random.default_rng(2))
    assert exposed.shape == moved.pixels.shape
    assert np.corrcoef(exposed.ravel(), moved.pixels.ravel())[0, 1] > 0.95


def test_an_opacity_veils_dark_places_more_and_bright_ones_not_at_all() -> None:
    film = np.array([[0.1, 0.5, 0.95]], np.float32)
    rise = known.veiled(film, np.ones_like(film), 0.5) - film
    assert np.allclose(rise, [[0.4, 0.2, 0.0]], atol=1e-6)


def table() -> pd.DataFrame:
    names = ["a", "a", "b", "b", "a", *(f"c{n}" for n in range(200))]
    days = [3.0, 1.0, 2.0, None, 7.0, *[None] * 200]
    return pd.DataFrame({"patient": names, "day": days})


def test_every_patient_with_several_dated_films_is_unseen_and_of_the_others_some() -> None:
    rows = table()
    kept = unseen(rows)
    assert kept[rows["patient"] == "a"].all()
    assert kept.groupby(rows["patient"]).nunique().max() == 1
    assert 10 < kept[5:].sum() < 60


def test_a_pair_is_the_last_two_dated_films_of_a_patient_in_order() -> None:
    assert dated_pairs(table()) == [(0, 4)]


def numbers(dice: float, change: float) -> dict[str, dict[str, float]]:
    both = {"dice": dice, "folded_pixels": 0.0, "refused": 0.0, "false_change": change}
    both |= {"mass_ratio": 1.0, "area_ratio": 1.0, "beyond_affine_percent_of_width": 1.0}
    return {
        "affine": {**both, "dice": 0.9, "false_change": 0.1},
        "simpleitk_bspline": both,
        "simpleitk_demons": both,
        "carina": {**both, "dice": dice + 0.01},
    }


def test_figures_count_what_is_better_than_the_affine() -> None:
    found = [(str(n), numbers(0.95 if n < 9 else 0.8, 0.04)) for n in range(10)]
    pairs = pair_figures(found)
    assert pairs["carina"]["better_than_affine"]["value"] == 0.9
    assert np.isclose(pairs["carina"]["gain_over_simpleitk_demons"]["value"], 0.01)
    kept = disease_figures(found)
    assert np.isclose(kept["carina"]["false_change_removed_against_affine"]["value"], 0.6)


def test_errors_of_all_landmarks_are_taken_together() -> None:
    trial = ({"carina": {"folded_pixels": 2.0}}, {"carina": np.arange(11.0)})
    found = known_figures([(str(n), trial) for n in range(10)])["carina"]
    assert found["median_percent_of_width"]["value"] == 5.0
    assert found["folded_pixels"] == 20
