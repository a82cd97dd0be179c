"""Opening a frozen graph.

This module needs TensorFlow and is imported in the worker process only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from irconv.errors import InputError
from irconv.frontends.factories import first_line
from irconv.frontends.tensorflow.source import FrozenGraph, Source, tensor_spec

__all__ = ["open_graph"]

_WHERE = "frontend tensorflow"


def open_graph(path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> Source:
    """Import a ``GraphDef`` and open the function from some of its nodes to others.

    Args:
        path: The file.
        inputs: Names of tensors, without ``:0``.
        outputs: Likewise.

    Raises:
        InputError: If TensorFlow cannot import it, or a name is not in it.
    """
    graph_def = _read(path)
    fed, fetched = [_tensor(name) for name in inputs], [_tensor(name) for name in outputs]
    try:
        wrapped = tf.compat.v1.wrap_function(
            lambda: tf.graph_util.import_graph_def(graph_def, name=""), []
        )
        tensors = {name: wrapped.graph.get_tensor_by_name(name) for name in (*fed, *fetched)}
        function = wrapped.prune([tensors[name] for name in fed], [tensors[n] for n in fetched])
    except (ValueError, KeyError, TypeError, tf.errors.OpError) as error:
        raise InputError(
            f"TensorFlow {tf.__version__} cannot use the graph: {first_line(error)}",
            where=_WHERE,
            hint="name its nodes by --input and --output-name; custom operators are not loaded",
        ) from error
    return Source(
        tuple(tensor_spec(name, tensors[_tensor(name)]) for name in inputs),
        tuple(outputs),
        lambda values: list(function(*values)),
        lambda: FrozenGraph.of(_read(path), fed, fetched),
    )


def _read(path: Path) -> tf.compat.v1.GraphDef:
    graph_def = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    for node in graph_def.node:
        node.device = ""
    return graph_def


def _tensor(name: str) -> str:
    return name if ":" in name else f"{name}:0"
