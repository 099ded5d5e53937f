from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from models import runtime
from models.runtime import ModelCard, WeightsError


def doubling_network() -> bytes:
    """y = x + x, batch first, any batch."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "double", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(doubling_network())
    card = ModelCard(
        name="double",
        version="1.2.3",
        sha256=runtime.file_sha256(tmp_path / "model.onnx"),
        task="doubling",
        input="x",
        output="y",
        data=("none",),
        licence="none",
        split="none",
        limits=("numbers only",),
        command="none",
        metrics={},
        parameters={"threshold": 0.5},
    )
    runtime.write_card(tmp_path, card)
    return tmp_path


def test_a_card_survives_writing_and_reading(folder: Path) -> None:
    card = runtime.read_card(folder)
    runtime.write_card(folder, card)
    assert runtime.read_card(folder) == card


def test_the_label_names_model_version_and_weights(folder: Path) -> None:
    card = runtime.read_card(folder)
    assert re.fullmatch(r"double-1\.2\.3\+[0-9a-f]{8}", card.label)
    assert card.label != replace(card, sha256="f" * 64).label


def test_a_network_runs_and_is_loaded_once(folder: Path) -> None:
    model = runtime.load(folder)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(model.run({"x": x})["y"], 2 * x)
    assert runtime.load(folder) is model


def test_results_are_copies_that_later_runs_leave_alone(folder: Path) -> None:
    model = runtime.load(folder)
    first = model.run({"x": np.ones((1, 3), np.float32)})["y"]
    model.run({"x": np.zeros((1, 3), np.float32)})
    np.testing.assert_array_equal(first, np.full((1, 3), 2.0, np.float32))


def test_threads_share_one_model_without_mixing_their_films(folder: Path) -> None:
    model = runtime.load(folder)

    def double(number: int) -> bool:
        x = np.full((1, 3), number, np.float32)
        return bool((model.run({"x": x})["y"] == 2 * x).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(double, range(200)))


def test_other_inputs_are_refused_by_name(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"expected the inputs \['x'\], found \['film'\]"):
        runtime.load(folder).run({"film": np.ones((1, 3), np.float32)})


def test_changed_weights_are_refused(folder: Path) -> None:
    weights = bytearray((folder / "model.onnx").read_bytes())
    weights[-1] ^= 1
    (folder / "model.onnx").write_bytes(weights)
    with pytest.raises(WeightsError, match=r"expected sha256 .* found .* restore"):
        runtime.load(folder)


def test_missing_weights_are_named(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    with pytest.raises(WeightsError, match=r"expected model\.onnx"):
        runtime.load(folder)


def test_a_missing_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"expected a model card card\.json"):
        runtime.load(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"name": "double"})])
def test_a_file_that_is_no_card_is_refused(folder: Path, text: str) -> None:
    (folder / "card.json").write_text(text)
    with pytest.raises(WeightsError, match="restore the card"):
        runtime.read_card(folder)


def test_threads_are_bounded() -> None:
    assert 1 <= runtime.threads() <= runtime.MOST_THREADS
