"""What every form of a TensorFlow model comes down to, and freezing it into one graph.

This module needs TensorFlow and is imported in the worker process only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from irconv.errors import Diagnostic, UnsupportedError
from irconv.frontends.factories import first_line
from irconv.frontends.tensorflow.fields import Message
from irconv.frontends.tensorflow.graph_def import read_graph
from irconv.runtime.base import TensorSpec

__all__ = ["FrozenGraph", "Source", "freeze", "tensor_spec"]

_WHERE = "frontend tensorflow"
_WRITES = re.compile(r"Assign\w*|Resource(?:Scatter|Apply|SparseApply|StridedSliceAssign)\w*")


@dataclass(frozen=True)
class FrozenGraph:
    """A graph without variables.

    Attributes:
        graph_def: The ``GraphDef``; its functions are inlined as far as they can be.
        inputs: Its input tensors, in the order of the source's inputs.
        outputs: Its output tensors, in the order of the source's outputs.
    """

    graph_def: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


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

    Raises:
        UnsupportedError: If the function writes to variables, or needs a resource that is none.
    """
    _check_state(function)
    try:
        frozen = convert_variables_to_constants_v2(
            function, lower_control_flow=False, aggressive_inlining=True
        )
    except (ValueError, tf.errors.OpError) as error:
        raise UnsupportedError(
            "onnx",
            [
                Diagnostic(
                    "RESOURCE",
                    "TensorFlow cannot put everything that the model holds into its graph: "
                    + first_line(error),
                    way_out="save it without lookup tables and other resources than variables",
                )
            ],
            where=_WHERE,
        ) from error
    return FrozenGraph(
        frozen.graph.as_graph_def(),
        tuple(tensor.name for tensor in frozen.inputs),
        tuple(tensor.name for tensor in frozen.outputs),
    )


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
