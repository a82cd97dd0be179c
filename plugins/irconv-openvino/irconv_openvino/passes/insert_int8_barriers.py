"""Operators that keep OpenVINO from moving a dequantization where it goes wrong.

OpenVINO runs quantized operators in integers by moving DequantizeLinear behind them. OpenVINO
2026.4 computes wrong numbers in three places:

* the result of an integer product or convolution without bias that several nodes read is scaled
  once for each of them;
* zeros around the data of an AveragePool that counts its padding (``count_include_pad=1``) are
  taken for the number 0 in place of the zero point;
* a Transpose beside a 1x1 convolution with dequantized weights is taken for one between NCHW and
  NHWC, whatever its permutation.

``LeakyRelu`` with ``alpha = 1`` gives back each number as it is, and no dequantization is moved
behind it, so the operators before it stay in integers and the numbers are right.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.graph.names import NameAllocator
from irconv.graph.walk import all_nodes
from irconv.passes.base import Pass, PassContext, PassResult
from irconv_openvino.passes.quantization import is_operator, quantized_sources, zero_point_of

__all__ = ["InsertInt8Barriers"]

_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_BIAS = 2
_TO_NCHW, _TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


@dataclass(frozen=True)
class InsertInt8Barriers(Pass):
    """Insert ``LeakyRelu <alpha = 1>`` where OpenVINO would move a dequantization wrongly.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[1, 2, 4, 4] x) => (float[1, 2, 4, 4] y)
        <float s = {0.5}, uint8 z = {100}>
        {
            q = QuantizeLinear(x, s, z)
            d = DequantizeLinear(q, s, z)
            y = AveragePool <count_include_pad = 1, kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (d)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[1, 2, 4, 4] x) => (float[1, 2, 4, 4] y)
        <float s = {0.5}, uint8 z = {100}>
        {
            q = QuantizeLinear(x, s, z)
            d = DequantizeLinear(q, s, z)
            d_barrier = LeakyRelu <alpha = 1.0> (d)
            y = AveragePool <count_include_pad = 1, kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (
                d_barrier)
        }
    """

    name: ClassVar[str] = "insert-int8-barriers"
    after: ClassVar[tuple[str, ...]] = ("rewrite-int8-concat",)

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Look at every product, convolution and AveragePool; linear in nodes."""
        del context
        names = NameAllocator(model)
        inserted: Counter[str] = Counter()
        for node in list(all_nodes(model)):
            before, behind = _places(node)
            for barred in [value for value in (before, behind) if value is not None]:
                if barred is before:
                    _before(node, barred, names)
                else:
                    _behind(barred, names)
                inserted[node.op_type] += 1
        return PassResult(bool(inserted), {"inserted": dict(sorted(inserted.items()))})


def _places(node: ir.Node) -> tuple[ir.Value | None, ir.Value | None]:
    """Return the input before which, and the output behind which, a barrier must stand."""
    if is_operator(node, "AveragePool"):
        return (node.inputs[0] if _pads_wrongly(node) else None), None
    if not is_operator(node, *_PRODUCTS):
        return None, None
    behind = _is_shared(node)
    before = False
    if _has_pointwise_int8_weight(node) and not _reads_integers(node):
        before = _permutes(_source(node.inputs[0]), _TO_NCHW)
        behind = behind or any(_permutes(user, _TO_NHWC) for user, _ in node.outputs[0].uses())
    return (node.inputs[0] if before else None), (node.outputs[0] if behind else None)


def _pads_wrongly(node: ir.Node) -> bool:
    pads = node.attributes.get_ints("pads", ())
    padded = any(pads) or node.attributes.get_string("auto_pad", "NOTSET").startswith("SAME")
    if not padded or not node.attributes.get_int("count_include_pad", 0):
        return False
    return not all(_is_symmetric(source) for source in quantized_sources(node.inputs[0]))


def _is_symmetric(node: ir.Node) -> bool:
    zero_point = zero_point_of(node)
    return zero_point is None or _all_zero(zero_point)


def _all_zero(value: ir.Value) -> bool:
    tensor = constant_tensor(value)
    return tensor is not None and not tensor.numpy().any()


def _is_shared(node: ir.Node) -> bool:
    """Return whether several nodes read a product of integers that has no bias."""
    result = node.outputs[0]
    readers = [user for user, _ in result.uses()]
    if len(readers) + result.is_graph_output() < 2:
        return False
    if all(is_operator(user, "QuantizeLinear") for user in readers):
        return False
    if not quantized_sources(node.inputs[0]) or not _is_dequantized(node.inputs[1]):
        return False
    bias = node.inputs[_BIAS] if len(node.inputs) > _BIAS else None
    return bias is None or _is_zero_bias(bias)


def _is_dequantized(value: ir.Value | None) -> bool:
    if value is None:
        return False
    return is_operator(value.producer(), "DequantizeLinear") or bool(quantized_sources(value))


def _is_zero_bias(bias: ir.Value) -> bool:
    producer = bias.producer()
    if producer is not None and is_operator(producer, "DequantizeLinear"):
        data = producer.inputs[0]
        return data is not None and _all_zero(data)
    return _all_zero(bias)


def _has_pointwise_int8_weight(node: ir.Node) -> bool:
    weight = node.inputs[1] if is_operator(node, "Conv") else None
    if weight is None or not is_operator(weight.producer(), "DequantizeLinear"):
        return False
    return weight.shape is None or all(dim == 1 for dim in list(weight.shape)[2:])


def _reads_integers(node: ir.Node) -> bool:
    """Return whether it is fed by integers; those of scale 1 become plain floats."""
    return any(not _is_one(source.inputs[1]) for source in quantized_sources(node.inputs[0]))


def _is_one(scale: ir.Value | None) -> bool:
    tensor = constant_tensor(scale)
    return tensor is not None and bool((tensor.numpy() == 1).all())


def _source(value: ir.Value | None) -> ir.Node | None:
    """Return the node that computes ``value``, quantization left out."""
    producer = None if value is None else value.producer()
    while producer is not None and is_operator(producer, "DequantizeLinear", "QuantizeLinear"):
        data = producer.inputs[0]
        producer = None if data is None else data.producer()
    return producer


def _permutes(node: ir.Node | None, allowed: list[int]) -> bool:
    if node is None or not is_operator(node, "Transpose"):
        return False
    return list(node.attributes.get_ints("perm", ())) != allowed


def _barrier(value: ir.Value, output: ir.Value) -> ir.Node:
    return ir.Node(
        "", "LeakyRelu", [value], [ir.AttrFloat32("alpha", 1.0)], outputs=[output], name=output.name
    )


def _like(value: ir.Value, name: str) -> ir.Value:
    shape = None if value.shape is None else value.shape.copy()
    return ir.Value(name=name, type=value.type, shape=shape)


def _before(node: ir.Node, value: ir.Value, names: NameAllocator) -> None:
    guarded = _like(value, names.fresh(f"{value.name}_barrier"))
    assert node.graph is not None
    node.graph.insert_before(node, _barrier(value, guarded))
    node.replace_input_with(0, guarded)


def _behind(value: ir.Value, names: NameAllocator) -> None:
    """Let the barrier bear the name of ``value``, which may be an output."""
    node, graph = value.producer(), value.graph
    assert node is not None
    assert isinstance(graph, ir.Graph)
    uses = list(value.uses())
    guarded = _like(value, value.name or "")
    value.name = names.fresh(f"{guarded.name}_barred")
    for user, index in uses:
        user.replace_input_with(index, guarded)
    for position, output in enumerate(graph.outputs):
        if output is value:
            graph.outputs[position] = guarded
    barrier = _barrier(value, guarded)
    barrier.name = names.fresh(f"{guarded.name}_barrier")
    graph.insert_after(node, barrier)
