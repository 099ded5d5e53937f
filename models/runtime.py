"""The only user of the inference engine: an ONNX file and its card in, a function on arrays out."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

WEIGHTS_NAME = "model.onnx"
CARD_NAME = "card.json"
MOST_THREADS = 4  # a film is small: more threads wait for each other


class WeightsError(Exception):
    """Weights or card are missing, damaged or do not belong together."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model is, what it was made from, how well it does and where it must not be used.

    Parameters
    ----------
    sha256 : of the weights file, checked at load.
    data : each source with its licence.
    metrics : figures, written only by the model's evaluate().
    parameters : numbers that predict needs (thresholds, interval widths).
    """

    name: str
    version: str
    sha256: str
    task: str
    input: str
    output: str
    data: tuple[str, ...]
    licence: str
    split: str
    limits: tuple[str, ...]
    command: str
    metrics: Mapping[str, Any]
    parameters: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Name, version and the first eight digits of the weights' sha256."""
        return f"{self.name}-{self.version}+{self.sha256[:8]}"


def read_card(folder: Path) -> ModelCard:
    """Read `folder`/card.json.

    Raises
    ------
    WeightsError : no such file, or not a card.
    """
    path = folder / CARD_NAME
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(
            f"expected a model card {CARD_NAME} in {folder}, found none: "
            "install the weights again or train the model"
        ) from None
    except ValueError as error:
        raise WeightsError(f"expected JSON in {path}, found {error}: restore the card") from None
    wanted = {field.name for field in fields(ModelCard)}
    if not isinstance(raw, dict) or set(raw) != wanted:
        found = sorted(raw) if isinstance(raw, dict) else type(raw).__name__
        raise WeightsError(
            f"expected the fields {sorted(wanted)} in {path}, found {found}: restore the card"
        )
    lists = {name: tuple(raw[name]) for name in ("data", "limits")}
    return ModelCard(**{**raw, **lists})


def write_card(folder: Path, card: ModelCard) -> None:
    """Write `folder`/card.json, whole or not at all."""
    path = folder / CARD_NAME
    part = path.with_suffix(".part")
    text = json.dumps(asdict(card), indent=2, ensure_ascii=False, allow_nan=False)
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Model:
    """A compiled network; `run` may be called from any thread.

    Parameters
    ----------
    card : the card that the weights were checked against.
    compiled : the network as the engine holds it.
    """

    def __init__(self, card: ModelCard, compiled: openvino.CompiledModel) -> None:
        self.card = card
        self._compiled = compiled
        self._inputs = frozenset(one.get_any_name() for one in compiled.inputs)
        self._outputs = tuple(one.get_any_name() for one in compiled.outputs)
        self._idle: list[openvino.InferRequest] = []
        self._lock = threading.Lock()

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Run the network.

        Parameters
        ----------
        inputs : arrays by the names that the network gives its inputs, batch first.

        Raises
        ------
        ValueError : other inputs than the network's.
        """
        if set(inputs) != self._inputs:
            raise ValueError(
                f"expected the inputs {sorted(self._inputs)}, found {sorted(inputs)}: "
                "name each input of the network once"
            )
        request = self._borrow()
        try:
            request.infer({name: np.ascontiguousarray(inputs[name]) for name in inputs})
            return {
                name: np.array(request.get_tensor(name).data, np.float32) for name in self._outputs
            }
        finally:
            with self._lock:
                self._idle.append(request)

    def _borrow(self) -> openvino.InferRequest:
        """An idle request, or a new one: a request serves one thread at a time."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._compiled.create_infer_request()


_LOADED: dict[Path, Model] = {}
_LOADING = threading.Lock()


def load(folder: Path) -> Model:
    """Load `folder`/model.onnx against `folder`/card.json; once in a process.

    Raises
    ------
    WeightsError : a file is missing, or the weights are not those of the card.
    """
    key = folder.resolve()
    with _LOADING:
        if key not in _LOADED:
            _LOADED[key] = _compile(folder)
        return _LOADED[key]


def _compile(folder: Path) -> Model:
    card = read_card(folder)
    path = folder / WEIGHTS_NAME
    if not path.is_file():
        raise WeightsError(
            f"expected {WEIGHTS_NAME} in {folder}, found none: install the weights again"
        )
    found = file_sha256(path)
    if found != card.sha256:
        raise WeightsError(
            f"expected sha256 {card.sha256} for {path}, found {found}: the weights were changed "
            "or damaged; restore the pair of weights and card"
        )
    core = openvino.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",  # bfloat16 moves a score by more than its rounding
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": str(threads()),
    }
    return Model(card, core.compile_model(core.read_model(path), "CPU", settings))


def threads() -> int:
    """Threads for one network: the cores that this process may use, four at most."""
    return max(1, min(MOST_THREADS, len(os.sched_getaffinity(0))))
