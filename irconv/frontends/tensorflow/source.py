"""What every form of a TensorFlow model comes down to, and freezing it into one graph.

This module needs TensorFlow and is imported in the worker process only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import tensorflow as tf
from tf2onnx import tf_loader

from irconv.errors import Diagnostic, UnsupportedError
from irconv.frontends.factories import first_line
from irconv.frontends.tensorflow.constants import take_out
from irconv.frontends.tensorflow.fields import Message
from irconv.frontends.tensorflow.graph_def import read_graph
from irconv.runtime.base import TensorSpec

__all__ = ["FrozenGraph", "Source", "freeze", "tensor_spec"]

_WHERE = "frontend tensorflow"
_WEIGHT = 1 << 18
"""Constants of more bytes are weights that TensorFlow need not fold."""
_WRITES = re.compile(r"Assign\w*|Resource(?:Scatter|Apply|SparseApply|StridedSliceAssign)\w*")


@dataclass(frozen=True)
class FrozenGraph:
    """A graph without variables.

    Attributes:
        graph_def: The ``GraphDef``; its functions are inlined as far as they can be. Weights are
            constants without content: TensorFlow would copy them several times, and a message
            holds 2 GB.
        weights: The content of those constants by node.
        inputs: Its input tensors, in the order of the source's inputs.
        outputs: Its output tensors, in the order of the source's outputs.
    """

    graph_def: Any
    weights: dict[str, bytes]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, graph_def: Any, inputs: Sequence[str], outputs: Sequence[str]) -> Self:
        """Take the weights out of a graph; it is emptied, and a copy is kept."""
        weights = take_out(graph_def, _WEIGHT)
        copy = type(graph_def)()
        copy.CopyFrom(graph_def)
        return cls(copy, weights, tuple(inputs), tuple(outputs))


@dataclass(frozen=True)
class Source:
    """A model as its author saved it.

    Attributes:
        inputs: Its inputs under the names that the author knows; an open dimension is None.
        outputs: The names of its outputs.
        call: Runs the model itself on tensors in the order of the inputs.
        freeze: Turns it into one graph without variables.
        notes: What was changed, in plain words.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    call: Callable[[Sequence[tf.Tensor]], Sequence[tf.Tensor]]
    freeze: Callable[[], FrozenGraph]
    notes: list[str] = field(default_factory=list)


def tensor_spec(name: str, spec: Any) -> TensorSpec:
    """Return name, dtype and shape of anything that TensorFlow gives a dtype and a shape."""
    shape = tf.TensorShape(spec.shape)
    dims = None if shape.rank is None else tuple(shape.as_list())
    return TensorSpec(name, tf.as_dtype(spec.dtype).name, dims)


def freeze(function: Any) -> FrozenGraph:
    """Put the values of variables into the graph of a concrete function.

    TensorFlow's own ``convert_variables_to_constants_v2`` does the same and then builds a
    function of the result, which for a large model takes most of its time and memory.

    Raises:
        UnsupportedError: If the function writes to variables, or needs a resource that is none.
    """
    _check_state(function)
    try:
        graph_def = tf_loader.convert_variables_to_constants_large_model(function)
    except (ValueError, tf.errors.OpError) as error:
        raise _has_resource(first_line(error)) from error
    captured = {id(tensor) for tensor in function.graph.internal_captures}
    inputs = tuple(tensor.name for tensor in function.inputs if id(tensor) not in captured)
    fed = {name.partition(":")[0] for name in inputs}
    for node in graph_def.node:
        if (
            node.op == "Placeholder"
            and node.name not in fed
            and node.attr["dtype"].type
            in (tf.resource.as_datatype_enum, tf.variant.as_datatype_enum)
        ):
            raise _has_resource(f"{node.name} is no variable")
    outputs = [tensor.name for tensor in function.outputs]
    return FrozenGraph.of(tf_loader.fix_freezing_errors_part2(graph_def), inputs, outputs)


def _has_resource(reason: str) -> UnsupportedError:
    diagnostic = Diagnostic(
        "RESOURCE",
        f"TensorFlow cannot put everything that the model holds into its graph: {reason}",
        way_out="save it without lookup tables and other resources than variables",
    )
    return UnsupportedError("onnx", [diagnostic], where=_WHERE)


def _check_state(function: Any) -> None:
    """Refuse a function that keeps something from one call to the next: ONNX has no state."""
    message = function.graph.as_graph_def().SerializeToString()
    graph = read_graph(Message.of(memoryview(message)))
    writes = [node for node in graph.behind(graph.nodes) if _WRITES.fullmatch(node.op)]
    if writes:
        raise UnsupportedError(
            "onnx",
            [
                Diagnostic(
                    "STATE",
                    "it writes to a variable, so that a call changes what the next one gives",
                    node=node.name,
                    op=node.op,
                    way_out="save the model so that state is an input and an output",
                )
                for node in writes
            ],
            where=_WHERE,
        )
