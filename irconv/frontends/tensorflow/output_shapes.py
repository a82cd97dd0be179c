"""Which dimension of an input a dimension of an output is equal to.

TensorFlow infers shapes while it imports a graph, through computed shapes too. Imported with
two different sizes for every open dimension, none of which equal, an output's dimension that
both times has the size of the same input dimension is called like it. Nothing is run.

This module needs TensorFlow and is imported in the worker process only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from irconv.runtime.base import TensorSpec

__all__ = ["infer_outputs"]

_SIZES = (
    (1009, 1049, 1087, 1117, 1163, 1201, 1249, 1289),
    (2003, 2053, 2087, 2131, 2179, 2221, 2269, 2309),
)
"""Two sizes for each of the first open dimensions: primes, which no computation hits by chance."""


def infer_outputs(
    graph_def: Any, inputs: Mapping[str, TensorSpec], outputs: Sequence[str]
) -> list[list[int | str | None] | None]:
    """Return sizes and names of the outputs' dimensions; None for what is not known.

    Args:
        graph_def: A graph without variables, and without the content of its large constants,
            since it is copied; it is left as it is.
        inputs: What each of its placeholders takes, every open dimension named.
        outputs: Its output tensors.
    """
    named = dict.fromkeys(
        dim for spec in inputs.values() for dim in spec.shape or () if isinstance(dim, str)
    )
    assignments = [dict(zip(named, sizes, strict=False)) for sizes in _SIZES]
    try:
        first, second = (_infer(graph_def, inputs, outputs, sizes) for sizes in assignments)
    except (ValueError, tf.errors.OpError):
        return [None] * len(outputs)
    return [
        None
        if one is None or other is None or len(one) != len(other)
        else [_dim(*pair, assignments) for pair in zip(one, other, strict=True)]
        for one, other in zip(first, second, strict=True)
    ]


def _infer(
    graph_def: Any,
    inputs: Mapping[str, TensorSpec],
    outputs: Sequence[str],
    sizes: Mapping[str, int],
) -> list[list[int | None] | None]:
    copy = type(graph_def)()
    copy.CopyFrom(graph_def)
    for node in copy.node:
        node.attr.pop("_output_shapes", None)
        if node.name in inputs:
            dims = [
                dim if isinstance(dim, int) else sizes.get(str(dim))
                for dim in inputs[node.name].shape or ()
            ]
            node.attr["shape"].shape.CopyFrom(tf.TensorShape(dims).as_proto())
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(copy, name="")
        shapes = [graph.get_tensor_by_name(name).shape for name in outputs]
    return [None if shape.rank is None else shape.as_list() for shape in shapes]


def _dim(
    one: int | None, other: int | None, assignments: Sequence[Mapping[str, int]]
) -> int | str | None:
    for name, size in assignments[0].items():
        if one == size and other == assignments[1][name]:
            return name
    return one if one == other else None
