"""An exported network says what it computes and nothing of the machine it was made on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.conftest import ROOT

torch = pytest.importorskip("torch", reason="left out: torch is not installed (extra [train])")

from models import onnx_file  # noqa: E402  # needs torch

SHIPPED = [
    *sorted(ROOT.glob("models/*/weights/model.onnx")),
    ROOT / "registration" / "weights" / "model.onnx",
]


@pytest.mark.parametrize("path", SHIPPED, ids=[p.parent.parent.name for p in SHIPPED])
def test_a_shipped_network_carries_no_source_lines(path: Path) -> None:
    data = path.read_bytes()
    assert b"site-packages" not in data
    assert b'.py", line' not in data


def test_large_weights_are_stored_in_16_bits_and_the_file_is_whole(tmp_path: Path) -> None:
    net = torch.nn.Linear(64, 64).eval()
    example = torch.rand(1, 64)
    model = onnx_file.export(net, (example,), ("x",), ("y",))
    onnx_file.store_in_16_bits(model)
    onnx_file.write(model, tmp_path / "model.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    stored = onnx.load(tmp_path / "model.onnx").graph.initializer
    assert {t.data_type for t in stored if np.prod(t.dims) >= 256} == {onnx.TensorProto.FLOAT16}
    assert b"site-packages" not in (tmp_path / "model.onnx").read_bytes()
