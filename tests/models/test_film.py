"""From attenuation to greys."""

import numpy as np
import pytest

from models import film


def test_developing_keeps_the_order_of_densities() -> None:
    attenuation = np.repeat(np.linspace(0, 3, 64, dtype=np.float32)[None], 64, axis=0)
    exposure = film.Exposure(scatter=0.2, noise=0.0, sharpness=0.0, blur_px=0.5)
    pixels = film.develop(attenuation, exposure, np.random.default_rng(0))
    assert np.all(np.diff(pixels, axis=1) >= -1e-5)
    assert pixels[0, 0] < 0.1 < 0.9 < pixels[0, -1]


def test_a_smooth_curve_passes_through_its_points() -> None:
    points = [(0.0, 0.0), (10.0, 5.0), (20.0, 0.0)]
    curve = film.curve(points)
    assert all(any(np.allclose(p, q) for q in curve) for p in points)


@pytest.mark.parametrize("count", [0, 3])
def test_wires_add_and_never_remove(count: int) -> None:
    extra = film.wires(np.random.default_rng(1), (64, 48), count)
    assert extra.shape == (64, 48)
    assert extra.min() >= 0.0
    assert extra.any() == (count > 0)


def test_the_side_marker_is_white_and_at_the_patients_right() -> None:
    marked = film.mark(np.zeros((128, 128), np.float32), np.random.default_rng(0))
    rows, columns = np.nonzero(marked > 0.5)
    assert rows.size
    assert rows.max() < 64
    assert columns.max() < 32


def test_collimation_blackens_the_border_only() -> None:
    collimated = film.collimate(np.ones((100, 100), np.float32), np.random.default_rng(3))
    assert collimated[10:-10, 10:-10].all()
