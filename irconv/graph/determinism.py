"""Which nodes always compute the same outputs from the same inputs."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from irconv.graph.constants import constant_tensor

__all__ = ["dropout_trains", "is_random"]

_RANDOM = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)
_DROPOUT_MODE_INPUT = 2
_DROPOUT_WITH_MODE_INPUT = 12
_DROPOUT_WITH_TEST_ATTRIBUTE = 6


def is_random(node: ir.Node, opsets: Mapping[str, int]) -> bool:
    """Return whether a node of the ONNX domain draws random numbers, even with a fixed seed."""
    if node.domain != "":
        return False
    if node.op_type == "Dropout":
        return dropout_trains(node, opsets)
    return node.op_type in _RANDOM


def dropout_trains(node: ir.Node, opsets: Mapping[str, int]) -> bool:
    """Return whether a ``Dropout`` node drops, or may drop, elements.

    Opset 12 and later: the input ``training_mode``; 7 to 11: never; before: ``is_test`` is 0.
    """
    version = opsets.get("", 1)
    if version <= _DROPOUT_WITH_TEST_ATTRIBUTE:
        attribute = node.attributes.get("is_test")
        return attribute is None or attribute.is_ref() or attribute.as_int() == 0
    if version < _DROPOUT_WITH_MODE_INPUT:
        return False
    if len(node.inputs) <= _DROPOUT_MODE_INPUT or node.inputs[_DROPOUT_MODE_INPUT] is None:
        return False
    mode = constant_tensor(node.inputs[_DROPOUT_MODE_INPUT])
    return mode is None or bool(mode.numpy().any())
