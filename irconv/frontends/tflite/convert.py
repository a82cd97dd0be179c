"""From a TFLite model to the IR."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from irconv import __version__
from irconv.errors import Diagnostic, UnsupportedError
from irconv.frontends.tflite.nodes import ONNX_DTYPES, Nodes
from irconv.frontends.tflite.ops.registry import known_codes
from irconv.frontends.tflite.schema import BUILTIN_OPERATORS, CUSTOM
from irconv.frontends.tflite.scope import Conversion, Scope

if TYPE_CHECKING:
    from irconv.frontends.tflite.file import ModelFile
    from irconv.frontends.tflite.interface import Interface, Port
    from irconv.frontends.tflite.model import Model, Operator

__all__ = ["Converted", "convert", "reachable", "refusals_of"]

_WHERE = "frontend tflite"
_IR_VERSION = 10
_OPSET = 20
_OPSET_OF_16_BIT_GRIDS = 21


class Converted:
    """A converted model.

    Attributes:
        model: The model.
        opset: Its opset.
        notes: What the user should know.
    """

    def __init__(self, model: ir.Model, opset: int, notes: tuple[str, ...]) -> None:
        self.model = model
        self.opset = opset
        self.notes = notes


def convert(
    file: ModelFile,
    interface: Interface,
    dims: Mapping[str, Sequence[int | str]],
    *,
    exact: bool,
) -> Converted:
    """Convert one entry point of a model.

    Args:
        file: The model.
        interface: The entry point.
        dims: Dims of every input.
        exact: Whether integers that LiteRT makes of activations at run time are kept.

    Raises:
        UnsupportedError: If it has what irconv cannot say in ONNX; all of it is listed.
    """
    operators = list(reachable(file.model, interface.subgraph))
    _refuse([*refusals_of(operators), *_refused_ports(interface)])
    conversion = Conversion(file, exact=exact)
    for port in (*interface.inputs, *interface.outputs):
        conversion.pool.name(port.name)
    nodes = Nodes(conversion.pool)
    inputs = [_input(port, dims[port.name]) for port in interface.inputs]
    scope = Scope(conversion, interface.subgraph, inputs, nodes)
    scope.run()
    _refuse(conversion.refusals)
    claimed: set[ir.Value] = set(inputs)
    outputs = [_output(scope, port, claimed) for port in interface.outputs]
    opset = _opset(file.model)
    graph = conversion.pool.graph
    graph.name = file.model.subgraphs[interface.subgraph].name or "main"
    graph.opset_imports[""] = opset
    graph.inputs.extend(inputs)
    graph.extend(nodes.nodes)
    graph.outputs.extend(outputs)
    model = ir.Model(
        graph, ir_version=_IR_VERSION, producer_name="irconv", producer_version=__version__
    )
    return Converted(model, opset, tuple(conversion.notes))


def reachable(model: Model, start: int) -> Iterable[Operator]:
    """Yield the operators of a subgraph and of all that it runs."""
    seen = {start}
    stack = [start]
    while stack:
        for operator in model.subgraphs[stack.pop()].operators:
            yield operator
            for body in operator.bodies:
                if body not in seen:
                    seen.add(body)
                    stack.append(body)


def refusals_of(operators: Iterable[Operator]) -> list[Diagnostic]:
    """Return one diagnostic for every kind of operator that has no converter."""
    counts = Counter(
        (operator.code, operator.custom)
        for operator in operators
        if operator.code not in known_codes()
    )
    return [_refusal(code, custom, count) for (code, custom), count in sorted(counts.items())]


def _refusal(code: str, custom: str, count: int) -> Diagnostic:
    times = f"used {count} times" if count > 1 else "used once"
    if code != BUILTIN_OPERATORS[CUSTOM]:
        return Diagnostic(
            "UNSUPPORTED_OP",
            f"irconv has no converter for it, {times}",
            op=f"tflite::{code}",
            way_out="import the model that the file was converted from",
        )
    if custom.startswith("Flex"):
        return Diagnostic(
            "CUSTOM_OP",
            f"a TensorFlow operator that TFLite runs by its Flex delegate, {times}",
            op=f"tflite::CUSTOM::{custom}",
            way_out="convert without tf.lite.OpsSet.SELECT_TF_OPS, or import the TensorFlow model",
        )
    return Diagnostic(
        "CUSTOM_OP",
        f"a custom operator, whose meaning is not in the file, {times}",
        op=f"tflite::CUSTOM::{custom}",
        way_out="convert the model without it, or cut the model before it",
    )


def _refused_ports(interface: Interface) -> Iterable[Diagnostic]:
    for port in (*interface.inputs, *interface.outputs):
        if port.tensor.dtype not in ONNX_DTYPES:
            yield Diagnostic(
                "UNSUPPORTED_DTYPE",
                f"input or output {port.name!r} is {port.tensor.dtype}",
                way_out="convert the model with tensors of numbers at its interface",
            )


def _refuse(diagnostics: Sequence[Diagnostic]) -> None:
    if diagnostics:
        raise UnsupportedError("onnx", diagnostics, where=_WHERE)


def _input(port: Port, dims: Sequence[int | str]) -> ir.Value:
    return ir.Value(
        name=port.name,
        type=ir.TensorType(ONNX_DTYPES[port.tensor.dtype]),
        shape=ir.Shape(dims),
    )


def _output(scope: Scope, port: Port, claimed: set[ir.Value]) -> ir.Value:
    """Return a value that is this output only, by the output's name."""
    edge = scope.edges[port.tensor.index]
    value = edge.raw()
    if edge.disguise:
        _refuse([_disguised(port, edge.disguise)])
    if value in claimed or value.producer() is None:
        value = scope.nodes.op("Identity", value)
    claimed.add(value)
    value.name = port.name
    value.type = ir.TensorType(ONNX_DTYPES[port.tensor.dtype])
    if port.tensor.shape is not None:
        value.shape = ir.Shape(port.tensor.shape)
    return value


def _disguised(port: Port, dtype: str) -> Diagnostic:
    return Diagnostic(
        "UNSUPPORTED_FORM",
        f"output {port.name!r} is the bits of {dtype} as {port.tensor.dtype}",
        op="tflite::BITCAST",
        way_out="give the numbers themselves",
    )


def _opset(model: Model) -> int:
    """Return the opset; grids of 16 bits came later than the rest."""
    wide = any(
        tensor.quantization is not None and tensor.dtype == "int16"
        for subgraph in model.subgraphs
        for tensor in subgraph.tensors
    )
    return _OPSET_OF_16_BIT_GRIDS if wide else _OPSET
