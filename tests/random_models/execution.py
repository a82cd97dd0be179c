"""Running parts of a model in ONNX Runtime while it is still being built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto, helper

__all__ = ["bodies_of", "free_names", "make_model", "open_session", "run_part", "value_info"]

_IR_VERSION = 10


def bodies_of(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs that are attributes of a node."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def free_names(nodes: Sequence[NodeProto], own: set[str]) -> list[str]:
    """Return the names that nodes, or bodies inside them, read from outside, in order."""
    found: dict[str, None] = {}
    known = set(own)
    for node in nodes:
        read = [name for name in node.input if name]
        for body in bodies_of(node):
            inner = {value.name for value in body.input}
            inner |= {tensor.name for tensor in body.initializer}
            read += free_names(body.node, inner)
            made = inner | {name for part in body.node for name in part.output}
            read += [value.name for value in body.output if value.name not in made]
        found.update((name, None) for name in read if name not in known)
        known.update(node.output)
    return list(found)


def value_info(
    name: str, array: np.ndarray, dims: Sequence[int | str] | None = None
) -> onnx.ValueInfoProto:
    """Return the declaration of a tensor like ``array``."""
    dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, dtype, array.shape if dims is None else dims)


def make_model(
    opset: int,
    nodes: Sequence[NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    initializers: Sequence[TensorProto] = (),
    functions: Sequence[FunctionProto] = (),
) -> onnx.ModelProto:
    """Return a model; the domains of its functions are imported."""
    graph = helper.make_graph(
        list(nodes), "random", list(inputs), list(outputs), list(initializers)
    )
    opsets = [helper.make_opsetid("", opset)]
    domains = {function.domain for function in functions} | set(_domains(nodes))
    opsets += [helper.make_opsetid(name, 1) for name in sorted(domains - {""})]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=_IR_VERSION, functions=list(functions)
    )


def _domains(nodes: Sequence[NodeProto]) -> Iterator[str]:
    for node in nodes:
        yield node.domain
        for body in bodies_of(node):
            yield from _domains(body.node)


def open_session(model: onnx.ModelProto) -> Any:
    """Open a model in ONNX Runtime, on one thread and with its own optimizations off."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run_part(
    opset: int,
    nodes: Sequence[NodeProto],
    initializers: Mapping[str, TensorProto],
    functions: Sequence[FunctionProto],
    known: Mapping[str, np.ndarray],
) -> tuple[Any, dict[str, np.ndarray], list[str]]:
    """Open a session for some nodes alone.

    Returns:
        The session, the arrays that it is to be fed, and the names of its outputs.

    Raises:
        Exception: Whatever ONNX Runtime raises for a part that it cannot run.
    """
    feeds = {name: known[name] for name in free_names(nodes, set(initializers))}
    made = [name for node in nodes for name in node.output if name]
    model = make_model(
        opset,
        nodes,
        [value_info(name, array) for name, array in feeds.items()],
        [onnx.ValueInfoProto(name=name) for name in made],
        list(initializers.values()),
        functions,
    )
    return open_session(model), feeds, made
