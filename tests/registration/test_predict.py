"""The shipped registration network on drawn patients."""

from __future__ import annotations

import json

import numpy as np
import pytest

from models import phantom, runtime
from models.radiograph import Radiograph
from models.refusal import Refusal
from models.severity.predict import Severity
from models.structures.predict import Structures
from registration import predict
from registration.predict import WEIGHTS, Alignment, align
from registration.warp import identity_grid, sample, warp


@pytest.fixture(scope="module")
def aligned() -> tuple[phantom.Phantom, phantom.Phantom, Alignment]:
    prior = phantom.draw(5, size=512, pose=1)
    current = phantom.draw(5, extent=3.0, size=640, pose=2)
    return prior, current, align(prior.radiograph(), current.radiograph())


def test_arrays_lie_on_the_grids_of_their_films(
    aligned: tuple[phantom.Phantom, phantom.Phantom, Alignment],
) -> None:
    prior, current, found = aligned
    assert found.field_px.shape == (2, *current.pixels.shape)
    assert found.inverse_px.shape == (2, *prior.pixels.shape)
    assert found.warped_prior.shape == found.difference.shape == current.pixels.shape
    assert found.field_px.dtype == found.warped_prior.dtype == np.float32


def test_the_warped_prior_is_the_prior_sampled_by_the_field(
    aligned: tuple[phantom.Phantom, phantom.Phantom, Alignment],
) -> None:
    prior, _, found = aligned
    again = warp(prior.radiograph().pixels, found.field_px)
    np.testing.assert_array_equal(again, found.warped_prior)


def test_the_alignment_does_not_fold_and_its_inverse_undoes_it(
    aligned: tuple[phantom.Phantom, phantom.Phantom, Alignment],
) -> None:
    _, current, found = aligned
    assert found.folding_fraction == 0
    grid = identity_grid(current.pixels.shape)
    there = grid + found.field_px
    back = there + np.stack([sample(part, there, edge=True) for part in found.inverse_px])
    off = np.hypot(*(back - grid))[160:-160, 160:-160]
    assert np.median(off) < 0.5
    assert off.max() < 3


def test_a_film_aligned_to_itself_shows_no_change() -> None:
    film = phantom.draw(8, size=512).radiograph()
    found = align(film, film)
    assert found.status == "ok", found.reason
    assert np.hypot(*found.field_px).mean() < 3
    assert np.abs(found.difference).mean() < 0.01


def test_the_card_names_data_terms_limits_and_figures_from_the_command() -> None:
    card = runtime.read_card(WEIGHTS)
    assert card.metrics, "evaluate has not been run"
    assert card.data
    assert card.limits
    json.dumps(dict(card.metrics))


def test_a_film_that_looks_mirrored_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(film: Radiograph, structures: Structures) -> Severity:
        raise Refusal("unlike_training", "expected the heart on the patient's left")

    monkeypatch.setattr(predict, "score", refused)
    film = phantom.draw(3, size=256).radiograph()
    found = align(film, film)
    assert found.status == "refused"
    assert found.reason.startswith("implausible: prior film: expected the heart")
    assert found.change is None


def test_scores_that_were_handed_in_come_back_and_make_the_same_map() -> None:
    prior, current = (phantom.draw(3, size=256, pose=pose).radiograph() for pose in (0, 1))
    alone = align(prior, current)
    assert alone.severities is not None
    given = align(prior, current, severities=alone.severities)
    assert given.severities is alone.severities
    assert alone.change is not None
    assert given.change is not None
    assert np.array_equal(alone.change.map, given.change.map)
