"""A trained network as an ONNX file: exported, made small, without traces of the machine."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

LEAST_FOR_16_BIT = 256  # biases and constants stay in 32 bits


def export(
    net: nn.Module,
    examples: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic_shapes: dict[str, Any] | None = None,
) -> onnx.ModelProto:
    """The graph of `net` in evaluation, with named inputs and outputs.

    Raises
    ------
    RuntimeError : the exporter gave no program.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
        program = torch.onnx.export(
            net,
            examples,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dynamic_shapes,
            dynamo=True,
            optimize=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("expected the exporter to return a program, found none")
    return program.model_proto


def store_in_16_bits(model: onnx.ModelProto) -> None:
    """Store large float weights in 16 bits, cast back to 32 where they are used."""
    casts = []
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < LEAST_FOR_16_BIT:
            continue
        wide, narrow = tensor.name, f"{tensor.name}_16"
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), narrow))
        casts.append(onnx.helper.make_node("Cast", [narrow], [wide], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.value_info[:]  # shapes of the weights are inferred again at load


def write(model: onnx.ModelProto, path: Path) -> None:
    """Check `model` and write it, whole or not at all, without the exporter's source lines."""
    forget_sources(model)
    onnx.checker.check_model(model)
    part = path.with_suffix(".part")
    part.write_bytes(model.SerializeToString())
    part.replace(path)


def forget_sources(model: onnx.ModelProto) -> None:
    """Take out what the exporter noted of the machine: paths and stack traces."""
    graph = model.graph
    noted = (*graph.node, *graph.value_info, *graph.input, *graph.output, graph, model)
    for one in noted:
        del one.metadata_props[:]
