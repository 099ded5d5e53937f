from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="left out: torch (the extra [train]) is missing")

from models import runtime  # noqa: E402  # after the check for torch
from models.severity.export import OUTPUTS, card, served, write_onnx  # noqa: E402
from models.severity.net import SeverityNet, expected, shrink  # noqa: E402
from models.severity.sample import sample_film, sample_zones  # noqa: E402
from models.severity.view import CELLS, VIEW_SIZE  # noqa: E402
from models.severity.zones import MIRRORED  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small forwards on shared cores wait for each other's threads longer than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def net() -> SeverityNet:
    torch.manual_seed(0)
    return SeverityNet(pretrained=False).eval()


def test_a_zone_is_read_from_what_lies_under_it(net: SeverityNet) -> None:
    zones = torch.zeros(1, 6, CELLS, CELLS)
    zones[0, 0, :8, :8] = 1.0
    zones[0, 5, -8:, -8:] = 1.0
    fine = torch.rand(1, 64, CELLS, CELLS)
    changed = fine.clone()
    changed[:, :, :8, :8] += 1.0
    rest = (torch.rand(1, 96, 16, 16), torch.rand(1, 1, CELLS, CELLS), zones)
    with torch.no_grad():
        before, after = net.read_zones(fine, *rest), net.read_zones(changed, *rest)
    assert not torch.equal(before[:, 0], after[:, 0])
    torch.testing.assert_close(before[:, 1:], after[:, 1:])


def test_an_expected_score_is_a_fraction_of_its_steps() -> None:
    steps = torch.tensor([[20.0, 20.0, 0.0, -20.0]])
    torch.testing.assert_close(expected(steps), torch.tensor([2.5 / 4]))


def test_folding_and_rounding_leave_the_scores_where_they_were(net: SeverityNet) -> None:
    films, zones = torch.from_numpy(sample_film()), torch.from_numpy(sample_zones())
    with torch.no_grad():
        near = net(films[:, :, 32:-32, 32:-32], zones[:, :, 4:-4, 4:-4])
        mirrored = shrink(zones, CELLS)[:, list(MIRRORED)].flip(3)
        far = net(shrink(films, VIEW_SIZE).flip(3), mirrored)
        plain = (expected(near.extent) + expected(far.extent)) / 2
        ready = served(net)(films, zones)[0]
    torch.testing.assert_close(ready, plain, atol=5e-3, rtol=0)


def test_frozen_parts_keep_their_weights_and_statistics(net: SeverityNet) -> None:
    frozen = SeverityNet(pretrained=False).train()
    frozen.freeze_early(7)
    before = frozen.backbone._blocks[3]._bn1.running_mean.clone()
    views = torch.rand(2, 1, VIEW_SIZE, VIEW_SIZE), torch.rand(2, 6, CELLS, CELLS)
    frozen(*views).extent.sum().backward()
    assert torch.equal(frozen.backbone._blocks[3]._bn1.running_mean, before)
    assert frozen.backbone._conv_stem.weight.grad is None
    assert frozen.backbone._conv_head.weight.grad is not None


@pytest.mark.slow
def test_a_fresh_export_equals_torch_for_any_batch(net: SeverityNet, tmp_path: Path) -> None:
    ready = served(net)
    write_onnx(ready, tmp_path / "model.onnx")
    runtime.write_card(tmp_path, card(tmp_path, "0", {}))
    model = runtime.load(tmp_path)
    order = [0, 1, 1, 0, 0, 1]
    films, zones = sample_film()[order], sample_zones()[order]
    with torch.no_grad():
        wanted = ready(torch.from_numpy(films), torch.from_numpy(zones))
    seen = model.run({"film": films, "zone_masks": zones})
    for name, values in zip(OUTPUTS, wanted, strict=True):
        np.testing.assert_allclose(seen[name], values.numpy(), atol=1e-4, err_msg=name)
