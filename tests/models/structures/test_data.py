"""Labelled films: packing, splitting, moving film and masks together."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from models.structures import augment
from models.structures.config import read_config
from models.structures.data import (
    LabelledFilm,
    fold_of,
    placed,
    real_films,
    split_lungs,
    unlabelled_films,
    without_fold,
)
from models.structures.projections import pack, unpack


def one_film(seed: int = 0) -> LabelledFilm:
    """A film that is white exactly where its right lung is."""
    masks = np.zeros((20, 90, 70), bool)
    masks[0, 20:60, 15:50] = True
    film = (masks[0] * 255).astype(np.uint8)
    known = np.zeros(20, np.float32)
    known[0] = 1.0
    return LabelledFilm("one", "P", "radiologist", film, pack(masks), known, None)


@settings(max_examples=20, deadline=None)
@given(masks=arrays(bool, (20, 4, 5)))
def test_packing_masks_loses_nothing(masks: NDArray[np.bool_]) -> None:
    assert np.array_equal(unpack(pack(masks)), masks)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_film_and_masks_move_together(seed: int) -> None:
    frame, words, inside = placed(one_film(), np.random.default_rng(seed), 64)
    lung = unpack(words)[0]
    assert frame.shape == words.shape == inside.shape == (64, 64)
    assert np.mean((frame > 0.5) != lung) < 0.02
    assert not frame[~inside].any()


def test_the_larger_two_pieces_are_the_lungs_and_the_right_one_comes_first() -> None:
    union = np.zeros((40, 60), bool)
    union[5:30, 5:25] = union[5:30, 35:55] = union[35, 3] = True
    sides = split_lungs(union)
    assert sides is not None
    assert np.nonzero(sides["right_lung"])[1].max() < np.nonzero(sides["left_lung"])[1].min()
    assert not (sides["right_lung"] | sides["left_lung"])[35, 3]


def test_lungs_that_touch_cannot_be_told_apart() -> None:
    union = np.zeros((40, 60), bool)
    union[5:30, 5:55] = True
    assert split_lungs(union) is None


def test_a_patient_is_always_in_the_same_fold_and_never_on_both_sides() -> None:
    films = [one_film()]
    fold = fold_of("P", 4)
    assert without_fold(films, fold, 4) == []
    assert without_fold(films, (fold + 1) % 4, 4) == films
    assert {fold_of(f"C{k}", 4) for k in range(100)} == {0, 1, 2, 3}


@pytest.mark.parametrize("seed", range(5))
def test_other_greys_stay_greys_and_the_bars_stay_black(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inside = np.zeros((64, 64), bool)
    inside[:, 10:50] = True
    frame = np.where(inside, rng.uniform(size=(64, 64)), 0.0).astype(np.float32)
    changed = augment.regreyed(augment.cluttered(frame, rng), inside, rng)
    assert changed.dtype == np.float32
    assert changed.min() >= 0.0
    assert changed.max() <= 1.0
    assert not changed[~inside].any()


def test_painted_opacities_only_whiten_and_only_near_the_lungs() -> None:
    lungs = np.zeros((2, 64, 64), bool)
    lungs[0, 10:50, 5:28] = lungs[1, 10:50, 36:60] = True
    frame = np.full((64, 64), 0.2, np.float32)
    painted = augment.opacified(frame, lungs, np.random.default_rng(1))
    assert (painted >= frame - 1e-6).all()
    assert painted[lungs.any(0)].mean() > 0.25
    assert np.allclose(painted[:4], 0.2, atol=1e-3)


def test_the_shipped_recipe_is_read() -> None:
    assert read_config().folds > 1
    assert read_config(quick=True).cycle_steps == [1, 1]


def test_the_films_of_the_other_source_carry_no_truth(shared_data: Path, tmp_path: Path) -> None:
    lines = (shared_data / "radiographs.csv").read_text().splitlines()
    chosen = [line for line in lines[1:] if ",nih," in line][:1] + lines[1:2]
    (tmp_path / "radiographs.csv").write_text("\n".join([lines[0], *chosen]) + "\n")
    (tmp_path / "radiographs").symlink_to(shared_data / "radiographs")
    (film,) = unlabelled_films(tmp_path, 96)
    assert max(film.film.shape) == 96
    assert film.words.shape == film.film.shape
    assert not film.known.any()
    frame, words, _ = placed(film, np.random.default_rng(0), 64)
    assert frame.any()
    assert not words.any()


def test_real_films_carry_only_the_truth_that_was_drawn(shared_data: Path, tmp_path: Path) -> None:
    lines = (shared_data / "radiographs.csv").read_text().splitlines()
    masked = [line for line in lines[1:] if ",True," in line][:2]
    (tmp_path / "radiographs.csv").write_text("\n".join([lines[0], *masked]) + "\n")
    for name in ("radiographs", "masks", "radiologist_masks.csv"):
        (tmp_path / name).symlink_to(shared_data / name)
    films = [film for film in real_films(tmp_path, 128) if film.source == "v7"]
    assert films
    for film in films:
        assert max(film.film.shape) == 128
        assert np.flatnonzero(film.known).tolist() == [0, 1, 17, 18]  # lungs and hemidiaphragms
        assert not unpack(film.words)[2:17].any()
