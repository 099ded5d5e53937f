from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="left out: torch (the extra [train]) is missing")

from models.frame import resize  # after the check for torch
from models.radiograph import read_file
from models.severity.data import Films, read_films
from models.severity.serving import read_served, reprocess
from models.severity.view import view_of
from models.structures.predict import label


@pytest.fixture(scope="module")
def films(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Films:
    return read_films(data, tmp_path_factory.mktemp("cache"), limit=2)


def test_figures_are_of_the_views_that_serving_hands_over(
    data: Path, films: Films, tmp_path: Path
) -> None:
    views, copies = read_served(data, films, tmp_path)
    for at, name in enumerate(films.table.file):
        film = read_file(data / str(name))
        wanted = view_of(film.pixels, label(film))
        np.testing.assert_allclose(views.films[at] / 255, wanted.film, atol=0.003)
        np.testing.assert_allclose(views.zones[at] / 255, wanted.zones, atol=0.003)
        assert views.frame(at) == wanted.frame
    assert copies.films.shape == views.films.shape
    again, _ = read_served(data, films, tmp_path)
    np.testing.assert_array_equal(again.films, views.films)


def test_a_reprocessed_film_still_shows_the_film() -> None:
    rows, columns = np.mgrid[0:300, 0:260] / 300
    film = Image.fromarray((120 + 100 * np.sin(5 * rows) * np.cos(4 * columns)).astype(np.uint8))
    small = resize(np.asarray(film, np.float32), (24, 24)).ravel()
    for seed in range(24):
        copy = reprocess(film, np.random.default_rng(seed))
        seen = resize(np.asarray(copy.convert("L"), np.float32), (24, 24)).ravel()
        assert np.corrcoef(small, seen)[0, 1] > 0.4
