"""A tiny training, to see that it runs, resumes and reproduces what it serves."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="left out: the extra [train] is not installed")

from models import runtime
from models.quality import examples
from models.quality.kinds import KINDS
from models.quality.train import least_frontal


@pytest.fixture
def film():
    rows, columns = np.mgrid[:120, :100]
    return ((rows + 2 * columns) / 320).astype(np.float32)


def test_every_way_to_make_an_example_gives_a_film(film):
    rng = np.random.default_rng(0)
    makers = {name: maker for name, (_, _, maker) in examples.SPOILED.items()}
    makers |= {"as sent": examples.as_sent, "part": examples.other_part}
    makers |= {"photograph": examples.photograph}
    for name, maker in makers.items():
        made = maker(film, rng)
        assert made.dtype == np.float32, name
        assert made.ndim == 2, name
        assert 0 <= made.min() <= made.max() <= 1, name
    for drawn in (examples.limb(rng), examples.texture(rng)):
        assert 0 <= drawn.min() <= drawn.max() <= 1


def test_the_same_seed_makes_the_same_example(film):
    one, two = (examples.as_sent(film, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_kinds_of_spoiled_films_are_kinds():
    assert {kind for kind, _, _ in examples.SPOILED.values()} <= set(KINDS[1:])


def test_the_threshold_accepts_the_share_asked_for():
    probabilities = np.linspace(0, 1, 1001, dtype=np.float32)
    assert (probabilities >= least_frontal(probabilities, 0.9)).mean() == pytest.approx(
        0.9, abs=2e-3
    )
    assert least_frontal(np.ones(10, np.float32), 0.9) == 0.5


@pytest.mark.slow
def test_a_quick_training_gives_weights_that_load(shared_data, tmp_path):
    from models.quality.train import train

    train(shared_data, tmp_path, quick=True)
    model = runtime.load(tmp_path)
    out = model.run({"film": np.zeros((2, 1, 160, 160), np.float32)})
    assert out["kinds"].shape == (2, 4)
    assert (tmp_path / "held_out.npz").is_file()
