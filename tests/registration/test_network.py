"""The network's parts: proposals point the right way and training goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
import pytest

torch = pytest.importorskip("torch")

from registration.export import write_onnx  # noqa: E402
from registration.net import CHANNELS, Velocity, build, proposals  # noqa: E402
from registration.pair import SIZE  # noqa: E402
from registration.warp import warp  # noqa: E402

from .test_affine import chest  # noqa: E402


def stack() -> np.ndarray:
    film = np.full((1, 64, 64), 0.5, np.float32)
    return np.concatenate([film, np.tile(chest(), (3, 1, 1))]).astype(np.float32)


def test_a_proposal_points_to_where_the_structures_lie() -> None:
    moving = stack()
    shift = np.zeros((2, 64, 64), np.float32)
    shift[0] = 0.7
    fixed = np.stack([warp(one, shift) for one in moving])
    found = proposals(torch.from_numpy(moving[None]), torch.from_numpy(fixed[None]))[-1][0].numpy()
    inside = moving[1] > 0.2
    assert 0.4 < found[0][inside].mean() < 1.0
    assert abs(found[1][inside].mean()) < 0.15


def test_equal_sides_are_proposed_to_stay() -> None:
    both = torch.from_numpy(stack()[None])
    for flow in proposals(both, both):
        assert float(flow.abs().max()) < 1e-6


@pytest.mark.filterwarnings("ignore:monai.networks.blocks.Warp")
def test_a_batch_gives_what_its_pairs_give_one_by_one() -> None:
    torch.manual_seed(0)
    net = Velocity(build((8, 8, 8, 8), (8,))).eval()
    moving, fixed = torch.rand(2, 2, CHANNELS, SIZE, SIZE)
    with torch.no_grad():
        together = net(moving, fixed)
        alone = torch.cat([net(moving[i : i + 1], fixed[i : i + 1]) for i in range(2)])
    assert together.shape == (2, 2, SIZE, SIZE)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-3)


@pytest.mark.filterwarnings("ignore")  # the exporter's own
def test_the_exported_network_sees_both_sides_as_torch_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Velocity(build((8, 8, 8, 8), (8,))).eval()
    write_onnx(net, tmp_path / "model.onnx")
    served = openvino.Core().compile_model(
        str(tmp_path / "model.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    shift = np.zeros((2, SIZE, SIZE), np.float32)
    shift[1] = 1.5
    moving = np.repeat(np.repeat(stack(), 2, axis=1), 2, axis=2)
    fixed = np.stack([warp(one, shift) for one in moving])
    found = served({"moving": moving[None], "fixed": fixed[None]})["velocity"]
    with torch.no_grad():
        expected = net(torch.from_numpy(moving[None]), torch.from_numpy(fixed[None])).numpy()
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(found, expected, atol=1e-3)
