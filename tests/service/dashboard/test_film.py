"""Films on their way to the browser keep what they hold."""

from __future__ import annotations

import gzip
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from service.dashboard import film
from service.errors import InvalidObjectError
from tests.service.dashboard.pictures import png

SHAPES = arrays.array_shapes(min_dims=2, max_dims=2, max_side=20)


@given(arrays.arrays(np.uint16, SHAPES))
def test_sixteen_bits_survive_the_way(pixels: np.ndarray) -> None:
    packed = film.raw(png(pixels))
    back = np.frombuffer(gzip.decompress(packed.gzipped), "<u2")
    np.testing.assert_array_equal(back.reshape(packed.height, packed.width), pixels)


@given(arrays.arrays(np.uint8, SHAPES))
def test_eight_bits_fill_the_same_scale(pixels: np.ndarray) -> None:
    packed = film.raw(png(pixels))
    back = np.frombuffer(gzip.decompress(packed.gzipped), "<u2")
    np.testing.assert_array_equal(back, pixels.astype(np.uint16).ravel() * 257)


@given(st.sampled_from([(10, 10), (3000, 40), (1, 2500)]), st.integers(0, 65535))
def test_a_preview_fits_the_page_whatever_the_film_is(shape: tuple[int, int], value: int) -> None:
    small = Image.open(io.BytesIO(film.preview(png(np.full(shape, value, np.uint16)))))
    assert max(small.size) <= film.PREVIEW_SIDE
    assert small.mode == "L"


@pytest.mark.parametrize(
    ("note", "spacing"),
    [
        ({"spacing_mm": [0.2, 0.1]}, (0.2, 0.1)),
        ({"spacing_mm": None}, None),
        ({"spacing_mm": [0, 0.1]}, None),
        ({}, None),
    ],
)
def test_spacing_is_taken_only_where_it_is_known(
    note: dict[str, object], spacing: tuple[float, float] | None
) -> None:
    found = film.size(json.dumps(note).encode(), lambda: png(np.zeros((3, 4), np.uint16)))
    assert found == film.FilmSize(4, 3, spacing)


def test_bytes_that_are_no_picture_are_an_error_that_says_so() -> None:
    with pytest.raises(InvalidObjectError, match="expected a film as PNG"):
        film.raw(b"not a picture")
