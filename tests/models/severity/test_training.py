from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="left out: torch (the extra [train]) is missing")

from models.severity import loss  # noqa: E402  # after the check for torch
from models.severity.augment import augment, mirror_zones  # noqa: E402
from models.severity.data import (  # noqa: E402
    PICTURE,
    PLACES,
    Films,
    batches,
    folds,
    impute,
    of_the_start,
    read_films,
)
from models.severity.held_out import calibrate, nothing, patient_pairs  # noqa: E402
from models.severity.train import (  # noqa: E402
    Lesson,
    epoch_films,
    plans,
    read_config,
    schedule,
)
from models.severity.train import targets as targets_of  # noqa: E402


@pytest.fixture(scope="module")
def films(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Films:
    return read_films(data, tmp_path_factory.mktemp("cache"))


def test_a_folder_without_a_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected radiographs\.csv"):
        read_films(tmp_path, tmp_path)


def test_a_film_without_lungs_is_left_out_and_named(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = pd.read_csv(data / "radiographs.csv").head(3)
    table["file"] = [str(data / name) for name in table.file]
    Image.fromarray(np.full((256, 256), 90, np.uint8)).save(tmp_path / "empty.png")
    table.loc[1, "file"] = str(tmp_path / "empty.png")
    table.to_csv(tmp_path / "radiographs.csv", index=False)
    films = read_films(tmp_path, tmp_path / "cache")
    assert films.pictures.shape[0] == len(films.table) == 2
    assert list(films.table.index) == [0, 1]
    assert "empty.png" in caplog.text


def test_normals_are_zero_and_unread_films_unknown(films: Films) -> None:
    assert (films.extent[films.nih] == 0).all()
    assert (films.zones[films.nih] == 0).all()
    assert np.isnan(films.extent[~films.nih][::3]).all()
    assert films.scored.sum() == 12 - int((films.scored[:12] == 0).sum())
    assert not (films.normal & films.abnormal).any()


def test_no_patient_is_in_two_folds(films: Films) -> None:
    fold = folds(films, 3, seed=1)
    for name in np.unique(films.patient):
        assert len(np.unique(fold[films.patient == name])) == 1
    assert set(fold) == {0, 1, 2}
    np.testing.assert_array_equal(fold, folds(films, 3, seed=1))


def test_a_fold_network_never_sees_its_patients(films: Films) -> None:
    config = replace(read_config(), folds=3, members=2)
    fold = folds(films, config.folds, config.seed)
    made = {plan.name: set(films.patient[plan.train]) for plan in plans(films, config)}
    assert len(made["final-0"]) == len(set(films.patient))
    for k in range(3):
        scored = set(films.patient[(fold == k) & ~films.nih])
        for member in range(2):
            assert not scored & made[f"fold{k}-{member}"]


def test_normals_are_held_out_of_every_network_but_the_shipped(films: Films) -> None:
    config = replace(read_config(), folds=3)
    kept = set(films.patient[films.nih & ~of_the_start(films, config.seed)])
    assert kept
    for plan in plans(films, config):
        if not plan.name.startswith("final"):
            assert not kept & set(films.patient[plan.train])


def test_the_common_start_sees_no_film_that_readers_scored(films: Films) -> None:
    start = plans(films, read_config())[0]
    assert start.painted_only
    assert films.nih[start.train].all()


def test_every_epoch_has_a_rate_for_every_step(films: Films) -> None:
    config = replace(read_config(), batch=4)
    for plan in plans(films, config)[:2]:
        lesson = Lesson(films, targets_of(films, plan.train), plan, config)
        rates = schedule(lesson)
        assert len(rates) == plan.course.epochs
        assert max(map(max, rates)) == pytest.approx(plan.course.peak_rate, rel=0.1)
        assert rates[-1][-1] < 0.05 * plan.course.peak_rate


def test_only_normal_films_are_painted(films: Films) -> None:
    config = read_config()
    for plan in plans(films, config)[:2]:
        lesson = Lesson(films, targets_of(films, plan.train), plan, config)
        chosen, painted = epoch_films(lesson, np.random.default_rng(0))
        assert films.normal[painted].all()
        assert len(np.unique(chosen)) == len(chosen)


def test_missing_scores_are_filled_from_the_other_score_and_trusted_less() -> None:
    known = np.linspace(0, 1, 20, dtype=np.float32)
    wanted = (0.8 * known).astype(np.float32)
    gaps = wanted.copy()
    gaps[5] = np.nan
    both = np.flatnonzero(~np.isnan(gaps))
    filled, trust = impute(gaps, known, both)
    assert filled[5] == pytest.approx(wanted[5], abs=1e-4)
    assert trust[5] < 1.0 == trust[6]


def test_films_of_one_patient_share_a_batch() -> None:
    patient = np.repeat(np.arange(16), 2)
    cut = batches(np.arange(32), patient, 8, np.random.default_rng(0))
    assert sorted(np.concatenate(cut)) == list(range(32))
    for batch in cut:
        names, counts = np.unique(patient[batch], return_counts=True)
        assert (counts == 2).all(), names


def test_views_repeat_with_their_seed_and_keep_their_range(films: Films) -> None:
    chosen, painted = np.arange(9, 15), np.arange(9, 15) >= 12
    once, again = (augment(films, chosen, painted, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(once.films, again.films)
    assert once.films.shape == (6, 1, 256, 256)
    assert once.zones.shape == (6, 6, 32, 32)
    for part in (once.films, once.zones):
        assert float(part.min()) >= 0.0
        assert float(part.max()) <= 1.0
    assert not np.isnan(once.painted_zones[painted]).any()
    assert np.isnan(once.painted_extent[~painted]).all()


def test_squares_hold_the_lungs(films: Films) -> None:
    assert films.pictures.shape == (24, PICTURE, PICTURE)
    assert films.places.shape == (24, 6, PLACES, PLACES)
    filled = (films.places > 127).sum(axis=(1, 2, 3)) / PLACES**2
    assert ((filled > 0.08) & (filled < 0.35)).all()


def test_mirroring_twice_gives_the_zones_back() -> None:
    zones = np.arange(12, dtype=np.float32).reshape(2, 6)
    flipped = np.array([True, False])
    once = mirror_zones(zones, flipped)
    np.testing.assert_array_equal(once[0], [3, 4, 5, 0, 1, 2])
    np.testing.assert_array_equal(mirror_zones(once, flipped), zones)


def test_pairs_of_a_patient_run_from_earlier_to_later(films: Films) -> None:
    pairs = patient_pairs(films, ~films.nih)
    assert len(pairs) == 6
    day = films.table.day.to_numpy()
    assert (day[pairs[:, 0]] < day[pairs[:, 1]]).all()


def test_a_calibration_needs_films(films: Films) -> None:
    held = nothing(np.zeros(len(films.patient), np.int64))
    assert calibrate(films, held).interval(1.0) == (0.0, 8.0)


def test_distances_of_the_wanted_size_cost_nothing() -> None:
    extent = torch.tensor([0.0, 0.25, 1.0])
    embedding = torch.stack([extent * 8.0, torch.zeros(3)], dim=1)
    trust = torch.ones(3)
    assert float(loss.distance_regression(embedding, extent, trust)) == pytest.approx(0, abs=1e-6)
    assert float(loss.distance_regression(embedding * 0, extent, trust)) > 0.1


def test_unknown_scores_teach_nothing() -> None:
    unknown = torch.full((4,), math.nan)
    said = torch.rand(4, requires_grad=True)
    trust, patient = torch.ones(4), torch.zeros(4, dtype=torch.int64)
    for value in (
        loss.regression(said, unknown, trust),
        loss.signed_pairs(said, unknown, patient, trust),
        loss.distance_regression(said[:, None], unknown, trust),
    ):
        assert float(value.detach()) == 0.0
        (gradient,) = torch.autograd.grad(value, said, retain_graph=True)
        assert bool(torch.isfinite(gradient).all())


def test_signed_pairs_see_the_sign_and_only_one_patient() -> None:
    target = torch.tensor([0.1, 0.5, 0.9])
    patient = torch.tensor([1, 1, 2])
    trust = torch.ones(3)
    right = loss.signed_pairs(target + 0.2, target, patient, trust)
    swapped = loss.signed_pairs(target[[1, 0, 2]], target, patient, trust)
    assert float(right) == pytest.approx(0.0, abs=1e-6)
    assert float(swapped) == pytest.approx(0.64, abs=1e-5)


def test_contrast_pulls_likes_together_and_pushes_others_apart() -> None:
    abnormal = torch.tensor([False, False, True, True])
    apart = torch.tensor([[0.0], [0.0], [8.0], [8.0]])
    assert float(loss.contrastive(apart, abnormal, 8.0)) < 0.01
    assert float(loss.contrastive(apart[[0, 2, 1, 3]], abnormal, 8.0)) > 0.5


def test_places_weigh_the_lungs_and_skip_what_nobody_drew() -> None:
    drawn = torch.zeros(2, 4, 4)
    drawn[0, :2] = 1.0
    drawn[1] = math.nan
    lungs = torch.ones(2, 4, 4)
    right = torch.where(drawn > 0.5, 9.0, -9.0)
    assert float(loss.places(right, drawn, lungs)) < 0.01
    assert float(loss.places(-right, drawn, lungs)) > 1.0
    unknown = torch.full((2, 4, 4), math.nan)
    assert float(loss.places(right, unknown, lungs)) == 0.0


def test_an_ordinal_score_costs_least_at_its_own_steps() -> None:
    target, trust = torch.tensor([0.5]), torch.ones(1)
    steps = torch.tensor([[9.0, 9.0, 9.0, 9.0, -9.0, -9.0, -9.0, -9.0]])
    assert float(loss.ordinal(steps, target, trust)) < 0.01
    assert float(loss.ordinal(steps, target + 0.25, trust)) > 0.5
