"""A picture of change shows colour only where something changed and the alignment is trusted."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from registration.change import ChangeMap
from service.api.pictures import aligned_png, change_png

FILM = np.full((200, 240), 0.5, np.float32)


def coloured(png: bytes) -> NDArray[np.bool_]:
    """Where a picture is not grey; the words below are left out."""
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int)
    assert picture.shape == (*FILM.shape, 3)
    return np.asarray(np.ptp(picture[:120], axis=-1) > 8, np.bool_)


def test_a_refused_alignment_and_an_unchanged_pair_leave_the_film_grey() -> None:
    empty = ChangeMap(np.zeros_like(FILM), (), 0.5)
    assert not coloured(change_png(FILM, None, "misaligned: right_lung")).any()
    assert not coloured(change_png(FILM, empty)).any()


def test_denser_is_orange_and_clearer_is_blue_where_the_map_says_so() -> None:
    found = np.zeros_like(FILM)
    found[20:60, 20:80], found[20:60, 140:200] = 0.6, -0.6
    png = change_png(FILM, ChangeMap(found, (), 0.5))
    assert (coloured(png) <= (found[:120] != 0)).all()
    picture = np.asarray(Image.open(io.BytesIO(png)), int)
    assert picture[22, 22, 0] > picture[22, 22, 2]
    assert picture[22, 142, 0] < picture[22, 142, 2]


def test_the_lungs_of_the_current_film_are_outlined_on_the_aligned_prior() -> None:
    lungs = np.zeros(FILM.shape, bool)
    lungs[20:100, 40:100] = True
    drawn = coloured(aligned_png(FILM, lungs))
    assert drawn[20, 60]
    assert drawn[60, 40]
    assert not drawn[60, 70]
    assert not drawn[10, 10]
