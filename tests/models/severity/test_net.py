from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="left out: torch (the extra [train]) is missing")

from models import runtime  # noqa: E402  # after the check for torch
from models.severity.export import OUTPUTS, card, served, write_onnx  # noqa: E402
from models.severity.net import MARGIN, VIEW_SIZE, SeverityNet, shrink, usual_places  # noqa: E402
from models.severity.sample import sample_film  # noqa: E402
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


def test_the_activation_map_is_exact(net: SeverityNet) -> None:
    with torch.no_grad():
        seen = net(torch.rand(2, 1, VIEW_SIZE, VIEW_SIZE))
    torch.testing.assert_close(seen.activation.mean(dim=(1, 2)), seen.extent, atol=1e-5, rtol=0)


def test_the_places_of_the_zones_are_mirror_images() -> None:
    places = usual_places()
    torch.testing.assert_close(places.flip(2), places[list(MIRRORED)])


def test_folding_and_rounding_leave_the_scores_where_they_were(net: SeverityNet) -> None:
    films = torch.from_numpy(sample_film())
    with torch.no_grad():
        views = [shrink(films), shrink(torch.nn.functional.pad(films, (MARGIN,) * 4))]
        views += [view.flip(3) for view in views]
        plain = torch.stack([net(view).extent for view in views]).mean(dim=0)
        ready = served(net)(films)[0]
    torch.testing.assert_close(ready, plain, atol=5e-3, rtol=0)


def test_frozen_parts_keep_their_weights_and_statistics(net: SeverityNet) -> None:
    frozen = SeverityNet(pretrained=False).train()
    frozen.freeze_early(7)
    before = frozen.backbone._blocks[3]._bn1.running_mean.clone()
    frozen(torch.rand(2, 1, VIEW_SIZE, VIEW_SIZE)).extent.sum().backward()
    assert torch.equal(frozen.backbone._blocks[3]._bn1.running_mean, before)
    assert frozen.backbone._conv_stem.weight.grad is None
    assert frozen.backbone._conv_head.weight.grad is not None


@pytest.mark.slow
def test_a_fresh_export_equals_torch_for_any_batch(net: SeverityNet, tmp_path: Path) -> None:
    ready = served(net, (0.1, 1.0))
    write_onnx(ready, tmp_path / "model.onnx")
    runtime.write_card(tmp_path, card(tmp_path, "0", {}))
    model = runtime.load(tmp_path)
    films = np.concatenate([sample_film(), sample_film()[::-1], sample_film()])
    with torch.no_grad():
        wanted = ready(torch.from_numpy(films))
    seen = model.run({"film": films})
    for name, values in zip(OUTPUTS, wanted, strict=True):
        np.testing.assert_allclose(seen[name], values.numpy(), atol=1e-4, err_msg=name)
