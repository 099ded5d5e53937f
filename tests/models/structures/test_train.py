"""Loss, network and export; the exported file answers like torch."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="left out: training needs the extra [train]")
pytest.importorskip("monai", reason="left out: training needs the extra [train]")

from models import runtime  # noqa: E402  # after the skip
from models.structures.data import dice  # noqa: E402
from models.structures.evaluate import Overlap, _metrics, interval  # noqa: E402
from models.structures.export import served, write_onnx  # noqa: E402
from models.structures.loss import structure_loss  # noqa: E402
from models.structures.net import FRAME_SIZE, StructuresNet  # noqa: E402
from models.structures.train import taught  # noqa: E402


def test_what_is_not_known_does_not_count() -> None:
    logits = torch.zeros(1, 2, 8, 8)
    truth = torch.zeros(1, 2, 8, 8)
    known = torch.tensor([[1.0, 0.0]])
    before = structure_loss(logits, truth, known)
    logits[:, 1] = 50.0
    assert torch.isclose(before, structure_loss(logits, truth, known))


def test_a_perfect_outline_costs_almost_nothing() -> None:
    truth = torch.zeros(1, 1, 16, 16)
    truth[:, :, 4:10, 4:10] = 1.0
    logits = 40.0 * truth - 20.0
    assert structure_loss(logits, truth, torch.ones(1, 1)) < 1e-3
    assert structure_loss(-logits, truth, torch.ones(1, 1)) > 1.0


def test_the_exported_network_answers_like_torch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = served(StructuresNet(pretrained=False).state_dict())
    write_onnx(net, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").stat().st_size < 20e6
    card = json.loads((Path(runtime.__file__).parent / "structures/weights/card.json").read_text())
    card["sha256"] = runtime.file_sha256(tmp_path / "model.onnx")
    (tmp_path / "card.json").write_text(json.dumps(card))
    films = np.random.default_rng(0).uniform(size=(3, 1, FRAME_SIZE, FRAME_SIZE)).astype(np.float32)
    exported = runtime.load(tmp_path).run({"film": films})["probabilities"]
    assert exported.shape == (3, 20, FRAME_SIZE // 2, FRAME_SIZE // 2)
    assert np.abs(exported - net.read(films)).max() < 1e-3


class _Surely(torch.nn.Module):
    """A teacher that is sure of structure 0 and sees nothing else."""

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        logits = torch.full((len(frame), 3, 4, 4), -6.0)
        logits[:, 0, :2] = 6.0
        return logits


def test_the_teacher_fills_what_is_unknown_and_says_nothing_where_it_finds_nothing() -> None:
    truth = torch.zeros(2, 3, 4, 4)
    truth[1, 0, 3] = 1.0
    known = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    filled, weights = taught(_Surely(), torch.zeros(2, 1, 8, 8), truth, known, 0.3)
    assert filled[0, 0, 0].min() > 0.99
    assert torch.equal(filled[1, 0], truth[1, 0])
    assert weights[0].tolist() == pytest.approx([0.3, 0.0, 0.0])
    assert weights[1].tolist() == [1.0, 0.0, 0.0]


def test_films_whose_truth_is_whole_need_no_teacher() -> None:
    truth, known = torch.rand(2, 3, 4, 4), torch.ones(2, 3)
    filled, weights = taught(_Surely(), torch.zeros(2, 1, 8, 8), truth, known, 0.3)
    assert torch.equal(filled, truth)
    assert torch.equal(weights, known)


def test_dice_counts_the_overlap_twice() -> None:
    one, other = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert dice(one, other) == 1.0
    one[:2], other[1:3] = True, True
    assert dice(one, other) == pytest.approx(0.5)


def test_the_interval_holds_the_mean_and_widens_with_fewer_patients() -> None:
    values = list(np.random.default_rng(0).uniform(0.8, 1.0, 40))
    low, high = interval(values, [str(k) for k in range(40)])
    assert low < np.mean(values) < high
    low_few, high_few = interval(values, [str(k % 4) for k in range(40)])
    assert high_few - low_few > 0
    assert interval([0.9] * 5, list("abcde")) == pytest.approx((0.9, 0.9))


def test_severe_and_mild_films_are_reported_apart() -> None:
    overlaps = [
        Overlap("v7", "lungs", "a", 0.9, 6.0),
        Overlap("v7", "lungs", "b", 0.95, 1.0),
        Overlap("projection", "heart", "1", 0.8, None),
    ]
    figures = _metrics(overlaps)
    assert figures["dice"]["v7: lungs, severe films"]["value"] == 0.9
    assert figures["dice"]["v7: lungs, mild films"]["value"] == 0.95
    assert figures["dice"]["v7: lungs"]["films"] == 2
    assert figures["dice"]["projection: mean of structures"]["value"] == 0.8
