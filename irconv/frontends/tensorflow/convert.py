"""From a frozen graph to an ONNX file with the source's names.

This module needs TensorFlow and tf2onnx and is imported in the worker process only.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import tensorflow as tf
from tf2onnx import optimizer, tf_loader
from tf2onnx.tfonnx import process_tf_graph

from irconv.errors import Diagnostic, UnsupportedError
from irconv.frontends.factories import first_line
from irconv.frontends.interface import all_values, name_interface, strip_metadata
from irconv.frontends.tensorflow.constants import hide, show, take_out
from irconv.frontends.tensorflow.converters import HANDLERS
from irconv.frontends.tensorflow.layout import compose_transposes
from irconv.frontends.tensorflow.output_shapes import infer_outputs
from irconv.frontends.tensorflow.repairs import repair
from irconv.frontends.tensorflow.source import FrozenGraph
from irconv.frontends.tensorflow.tensordot import simplify_tensordots
from irconv.frontends.tensorflow.transposes import OPTIMIZERS
from irconv.frontends.tensorflow.weights import to_ir
from irconv.graph.serialize import save_model
from irconv.graph.walk import all_nodes
from irconv.passes.base import PassContext
from irconv.passes.infer_shapes import InferShapes
from irconv.runtime.base import TensorSpec
from irconv.runtime.values import numpy_dtype

__all__ = ["to_onnx"]

_WHERE = "frontend tensorflow"
_INLINE_LIMIT = 1 << 20
_SHAPE = 1 << 10
"""Constants of at most this many bytes may be shapes, which tf2onnx looks at."""
_NOT_INLINED = ("_XlaMustCompile", "_noinline")


def to_onnx(
    frozen: FrozenGraph,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[str],
    path: Path,
    opset: int,
) -> None:
    """Write a frozen graph as ONNX.

    Args:
        frozen: The graph.
        inputs: Its inputs, in order, with a size or a name for every dimension.
        outputs: A name for each of its outputs.
        path: The ``.onnx`` file to write; large weights go beside it.
        opset: The opset to write.

    Raises:
        UnsupportedError: If an operator has no translation to ONNX, with every node of it.
    """
    fed = {
        tensor.partition(":")[0]: spec for tensor, spec in zip(frozen.inputs, inputs, strict=True)
    }
    _check_dtypes(frozen.graph_def)
    with _errors() as errors, tf.device("/cpu:0"):
        graph_def, values = _simplified(_prepared(frozen.graph_def, fed), frozen)
        with tf.Graph().as_default() as graph:
            tf.graph_util.import_graph_def(graph_def, name="")
            converted = process_tf_graph(
                graph,
                opset=opset,
                input_names=list(frozen.inputs),
                output_names=list(frozen.outputs),
                const_node_values=values,
                custom_op_handlers=dict(HANDLERS),
                continue_on_error=True,
            )
        model = to_ir(_optimized(converted))
    _check_operators(model, opset, errors)
    _order_inputs(model, frozen.inputs, inputs)
    name_interface(model, [spec.name for spec in inputs], outputs)
    compose_transposes(model)
    _set_dimensions(model, inputs, infer_outputs(graph_def, fed, frozen.outputs))
    strip_metadata(model)
    save_model(model, path, inline_limit=_INLINE_LIMIT)


def _simplified(graph_def: Any, frozen: FrozenGraph) -> tuple[Any, dict[str, bytes]]:
    """Run TensorFlow's graph optimizer, which folds constants and inlines functions.

    Returns:
        The graph without the content of large constants, and that content by node.
    """
    simplify_tensordots(graph_def)
    hidden = hide(graph_def, frozen.weights)
    with tf.Graph().as_default():
        tf.graph_util.import_graph_def(graph_def, name="")
        graph_def = tf_loader.tf_optimize(list(frozen.inputs), list(frozen.outputs), graph_def)
    show(graph_def, hidden)
    return graph_def, frozen.weights | take_out(graph_def, _SHAPE)


def _optimized(graph: Any) -> Any:
    """Run tf2onnx's optimizers on its graph.

    Each of them ends by writing every node to protobuf, weights included, which nothing reads
    before the model is made; that is left out.
    """
    graph.update_proto = lambda storage=None: None
    graph = optimizer.optimize_graph(graph, catch_errors=False, optimizers=OPTIMIZERS)
    vars(graph).pop("update_proto", None)
    return graph


def _check_dtypes(graph_def: Any) -> None:
    """Refuse what tf2onnx writes as another dtype: it takes bfloat16 for float16."""
    diagnostics = [
        Diagnostic(
            "UNSUPPORTED_DTYPE",
            "tf2onnx does not know bfloat16",
            node=node.name,
            op=f"tensorflow::{node.op}",
            way_out="save the model with the dtype policy float32",
        )
        for node in graph_def.node
        if any(value.type == tf.bfloat16.as_datatype_enum for value in node.attr.values())
    ]
    if diagnostics:
        raise UnsupportedError("onnx", diagnostics, where=_WHERE)


def _prepared(graph_def: Any, fed: Mapping[str, TensorSpec]) -> Any:
    """Return the graph with sizes of inputs put in and everything open to inlining."""
    for function in graph_def.library.function:
        for name in _NOT_INLINED:
            function.attr.pop(name, None)
        for node in function.node_def:
            _open_to_inlining(node)
    for node in graph_def.node:
        _open_to_inlining(node)
        if node.name in fed:
            _make_input(node, fed[node.name])
        elif node.op == "PlaceholderWithDefault":
            node.op = "Identity"
            dtype = node.attr["dtype"].type
            node.attr.clear()
            node.attr["T"].type = dtype
    return graph_def


def _open_to_inlining(node: Any) -> None:
    for name in _NOT_INLINED:
        node.attr.pop(name, None)


def _make_input(node: Any, spec: TensorSpec) -> None:
    shape = tf.TensorShape([dim if isinstance(dim, int) else None for dim in spec.shape or ()])
    node.op = "Placeholder"
    del node.input[:]
    node.attr.clear()
    node.attr["dtype"].type = tf.as_dtype(spec.dtype).as_datatype_enum
    node.attr["shape"].shape.CopyFrom(shape.as_proto())


class _Errors(logging.Handler):
    """Keeps what tf2onnx says of nodes that it could not convert."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.by_node: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Note the exception of a node."""
        if record.exc_info and record.exc_info[1] and isinstance(record.args, tuple):
            self.by_node[str(record.args[0])] = first_line(record.exc_info[1])


@contextlib.contextmanager
def _errors() -> Iterator[dict[str, str]]:
    """Collect by node why tf2onnx failed, and keep its log quiet."""
    handler = _Errors()
    logger = logging.getLogger("tf2onnx")
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield handler.by_node
    finally:
        logger.removeHandler(handler)


def _check_operators(model: ir.Model, opset: int, errors: dict[str, str]) -> None:
    """Refuse nodes that are still TensorFlow's."""
    diagnostics = [
        Diagnostic(
            "UNSUPPORTED_OP",
            errors.get(node.name or "", "tf2onnx has no translation of this operator to ONNX"),
            node=node.name or "",
            op=f"tensorflow::{node.op_type}",
            way_out="build that part of the model from other operators",
        )
        for node in all_nodes(model)
        if not (node.domain in ("", "ai.onnx") and onnx.defs.has(node.op_type, opset))
    ]
    if diagnostics:
        raise UnsupportedError("onnx", diagnostics, where=_WHERE)
    model.opset_imports.pop("ai.onnx.ml", None)


def _order_inputs(model: ir.Model, wanted: Sequence[str], specs: Sequence[TensorSpec]) -> None:
    """Put the inputs into the source's order, and those back that nothing reads."""
    found = {value.name: value for value in model.graph.inputs}
    del model.graph.inputs[:]
    for name, spec in zip(wanted, specs, strict=True):
        value = found.get(name)
        if value is None:
            dtype = ir.DataType.from_numpy(numpy_dtype(spec.dtype))
            value = ir.Value(name=name, type=ir.TensorType(dtype))
        model.graph.inputs.append(value)


def _set_dimensions(
    model: ir.Model,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[list[int | str | None] | None],
) -> None:
    """Give dimensions the source's names, forget those that tf2onnx made up, and infer all."""
    for value in all_values(model):
        if value.shape is not None and not value.is_initializer():
            value.shape = ir.Shape([dim if isinstance(dim, int) else None for dim in value.shape])
    for value, spec in zip(model.graph.inputs, inputs, strict=True):
        value.shape = ir.Shape(list(spec.shape or ()))
    for value, dims in zip(model.graph.outputs, outputs, strict=True):
        if dims is not None:
            value.shape = ir.Shape(dims)
    InferShapes().run(model, PassContext())
    if repair(model):
        for node in all_nodes(model):
            for value in node.outputs:
                value.shape = value.shape if value.is_graph_output() else None
        InferShapes().run(model, PassContext())
