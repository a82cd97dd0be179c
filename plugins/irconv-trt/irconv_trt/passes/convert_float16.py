"""Conversion of a float32 model to float16, with float32 islands where float16 would break it.

TensorRT-RTX computes in the dtypes that the graph states, so half precision is a matter of the
graph. Every type variable (see :mod:`irconv_trt.passes.type_variables`) of a node that is
float32 becomes float16, unless the node stays in float32:

* its operator is in ``keep``: sums, exponentials and normalizations, which overflow at 65504
  or lose most;
* it reads a constant that float16 cannot hold: one beyond 65504, or a single number so small
  that it would lose its precision (below 2^-14), such as the epsilon of a normalization;
* its dtype is not its operands', but an attribute's, or the schema wants float32.

Casts stand where the two meet, at most one for each value and dtype. Inputs and outputs of the
model and of subgraph bodies stay float32. Local functions stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.graph.names import NameAllocator
from irconv.graph.walk import subgraphs_of
from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal
from irconv_trt.passes.constants import drop_unread
from irconv_trt.passes.type_variables import TypeVariables, type_variables

__all__ = ["KEPT", "ConvertFloat16"]

KEPT = (
    "BatchNormalization", "CumSum", "DequantizeLinear", "Exp", "GlobalLpPool", "GridSample",
    "GroupNormalization", "InstanceNormalization", "LRN", "LayerNormalization", "Log",
    "LogSoftmax", "LpNormalization", "LpPool", "MeanVarianceNormalization", "Pow",
    "QuantizeLinear", "RMSNormalization", "Range", "ReduceL1", "ReduceL2", "ReduceLogSum",
    "ReduceLogSumExp", "ReduceMean", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Softmax",
)  # fmt: skip
"""Operators that stay in float32 unless told otherwise."""

_BY_ATTRIBUTE = frozenset({"EyeLike", "RandomNormalLike", "RandomUniformLike", "Bernoulli"})
_HALF_MAX = 65504.0
_HALF_SMALLEST_NORMAL = 2.0**-14
_CHUNK = 1 << 20


@dataclass(frozen=True)
class ConvertFloat16(Pass):
    """Compute in float16 where that is safe, behind float32 inputs and outputs.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[2, 2] x) => (float[2, 2] y)
        <float[2, 2] w = {1.0, 2.0, 3.0, 4.0}, float[2, 2] a>
        {
            a = MatMul(x, w)
            y = Softmax(a)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[2, 2] x) => (float[2, 2] y)
        <float16[2, 2] w_float16 = {15360, 16384, 16896, 17408}, float16[2, 2] x_float16,
         float16[2, 2] a, float[2, 2] a_float32>
        {
            x_float16 = Cast<to = 10>(x)
            a = MatMul(x_float16, w_float16)
            a_float32 = Cast<to = 1>(a)
            y = Softmax(a_float32)
        }

    Attributes:
        keep: Operator types that stay in float32.
    """

    name: ClassVar[str] = "convert-float16"
    after: ClassVar[tuple[str, ...]] = (
        "bind-shapes",
        "convert-opset",
        "expand-asymmetric-qdq",
        "fold-bias-dequantize",
        "infer-shapes",
        "rewrite-uint8-qdq",
    )
    effect: ClassVar[Effect] = "lossy"
    once: ClassVar[bool] = True

    keep: tuple[str, ...] = KEPT

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Convert the main graph and the bodies inside it; linear in nodes and weights."""
        del context
        conversion = _Conversion(frozenset(self.keep), model.opset_imports, NameAllocator(model))
        conversion.convert(model.graph)
        conversion.drop_unused()
        details = {
            "halved_nodes": conversion.nodes,
            "casts": conversion.casts,
            "weights_flushed_to_zero": conversion.flushed,
        }
        return PassResult(conversion.changed, details, tuple(conversion.refusals))


@dataclass
class _Conversion:
    """The state of one conversion.

    Attributes:
        halved: Values that were float32 and are float16 now.
        twins: For a value, its counterpart in the other dtype.
    """

    keep: frozenset[str]
    opsets: dict[str, int]
    names: NameAllocator
    halved: set[ir.Value] = field(default_factory=set)
    twins: dict[ir.Value, ir.Value] = field(default_factory=dict)
    obstacles: dict[ir.Value, str] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    nodes: int = 0
    casts: int = 0
    flushed: int = 0
    changed: bool = False

    def convert(self, graph: ir.Graph) -> None:
        """Convert ``graph`` and the bodies inside it; its inputs and outputs stay float32."""
        for node in list(graph):
            if node.op_type == "Constant" and node.domain == "":
                continue
            variables = None if self._stays(node) else type_variables(node, self.opsets)
            half = self._choose(node, variables)
            self._feed(node, variables, half)
            if variables is not None:
                self._halve_outputs(node, variables, half)
            for body in subgraphs_of(node):
                self.convert(body)
        self._restore_outputs(graph)

    def _stays(self, node: ir.Node) -> bool:
        if node.op_type in self.keep or node.op_type in _BY_ATTRIBUTE or any(subgraphs_of(node)):
            return True
        return any(
            value is not None and not isinstance(value.type, ir.TensorType | None)
            for value in (*node.inputs, *node.outputs)
        )

    def _choose(self, node: ir.Node, variables: TypeVariables | None) -> frozenset[str]:
        """Return the type variables of ``node`` that are to be float16."""
        if variables is None:
            return frozenset()
        chosen: set[str] = set()
        for name in variables.half:
            operands = [
                value
                for value, kind in zip(node.inputs, variables.inputs, strict=True)
                if kind == name and value is not None
            ]
            if not any(self._is_single(value) for value in operands):
                continue
            if any(value.dtype is None for value in operands):
                continue
            computed = [value for value in operands if constant_tensor(value) is None]
            if name not in variables.outputs and (
                not computed or any(value.dtype == ir.DataType.FLOAT for value in computed)
            ):
                continue
            obstacle = next(filter(None, map(self._obstacle, operands)), "")
            if obstacle:
                self.refusals.append(Refusal(node.name or "", node.op_type, obstacle))
                return frozenset()
            chosen.add(name)
        return frozenset(chosen)

    def _is_single(self, value: ir.Value) -> bool:
        return value.dtype == ir.DataType.FLOAT or value in self.halved

    def _obstacle(self, value: ir.Value) -> str:
        """Return why a constant cannot be float16; empty if it can, or is no constant."""
        if value not in self.obstacles:
            tensor = constant_tensor(value) if value.dtype == ir.DataType.FLOAT else None
            self.obstacles[value] = "" if tensor is None else self._misfit(value.name, tensor)
        return self.obstacles[value]

    def _misfit(self, name: str | None, tensor: ir.TensorProtocol) -> str:
        largest, flushed = 0.0, 0
        array = tensor.numpy().reshape(-1)
        for start in range(0, array.size, _CHUNK):
            magnitude = np.abs(array[start : start + _CHUNK])
            finite = magnitude[np.isfinite(magnitude)]
            largest = max(largest, float(finite.max(initial=0.0)))
            flushed += int(np.count_nonzero((finite > 0) & (finite < 2.0**-25)))
        if largest > _HALF_MAX:
            return f"constant {name!r} reaches {largest:g}, beyond float16's {_HALF_MAX:g}"
        if array.size == 1 and 0 < largest < _HALF_SMALLEST_NORMAL:
            return f"constant {name!r} is {largest:g}, too small for float16"
        self.flushed += flushed
        return ""

    def _feed(self, node: ir.Node, variables: TypeVariables | None, half: frozenset[str]) -> None:
        """Give every operand of ``node`` the dtype that was chosen for it."""
        for index, value in enumerate(node.inputs):
            if value is None or not self._is_single(value):
                continue
            kind = variables.inputs[index] if variables is not None else ""
            if kind in half:
                node.replace_input_with(index, self._as(value, ir.DataType.FLOAT16))
            elif variables is None or not self._may_stay_half(node, variables, kind):
                node.replace_input_with(index, self._as(value, ir.DataType.FLOAT))

    @staticmethod
    def _may_stay_half(node: ir.Node, variables: TypeVariables, kind: str) -> bool:
        """Return whether an operand's own dtype decides nothing else, as in Cast and Shape."""
        sharing = sum(
            other == kind and value is not None
            for other, value in zip(variables.inputs, node.inputs, strict=True)
        )
        return kind in variables.half and kind not in variables.outputs and sharing == 1

    def _as(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        if value.dtype == dtype:
            return value
        if value not in self.twins:
            tensor = constant_tensor(value)
            self.changed = True
            self.twins[value] = (
                self._cast(value, dtype) if tensor is None else self._convert(value, tensor)
            )
        return self.twins[value]

    def _cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        suffix = "float16" if dtype == ir.DataType.FLOAT16 else "float32"
        name = self.names.fresh(f"{value.name}_{suffix}")
        node = ir.node("Cast", [value], {"to": int(dtype)}, name=name)
        twin = node.outputs[0]
        twin.name, twin.type = name, ir.TensorType(dtype)
        twin.shape = None if value.shape is None else value.shape.copy()
        graph, producer = value.graph, value.producer()
        assert isinstance(graph, ir.Graph)
        if producer is not None:
            graph.insert_after(producer, node)
        else:
            graph.insert_before(graph[0], node)
        self.casts += 1
        return twin

    def _convert(self, value: ir.Value, tensor: ir.TensorProtocol) -> ir.Value:
        graph = value.graph
        assert isinstance(graph, ir.Graph)
        name = self.names.fresh(f"{value.name}_float16")
        half = ir.LazyTensor(
            lambda: ir.Tensor(tensor.numpy().astype(np.float16), name=name),
            dtype=ir.DataType.FLOAT16,
            shape=ir.Shape(tensor.shape.numpy()),
            name=name,
        )
        twin = ir.Value(
            name=name,
            shape=ir.Shape(tensor.shape.numpy()),
            type=ir.TensorType(ir.DataType.FLOAT16),
            const_value=half,
        )
        graph.register_initializer(twin)
        return twin

    def _halve_outputs(self, node: ir.Node, variables: TypeVariables, half: frozenset[str]) -> None:
        outputs = [
            value
            for value, kind in zip(node.outputs, variables.outputs, strict=True)
            if kind in half
        ]
        for value in outputs:
            value.type = ir.TensorType(ir.DataType.FLOAT16)
        self.halved.update(outputs)
        self.nodes += bool(half)
        self.changed = self.changed or bool(outputs)

    def _restore_outputs(self, graph: ir.Graph) -> None:
        """Put a Cast before every graph output that became float16; it takes over the name."""
        renamed: set[ir.Value] = set()
        for index, value in enumerate(graph.outputs):
            if value not in self.halved:
                continue
            twin = self._as(value, ir.DataType.FLOAT)
            graph.outputs[index] = twin
            if value.graph is graph and value not in renamed:
                name = value.name
                value.name = self.names.fresh(f"{name}_float16")
                twin.name = name
                renamed.add(value)

    def drop_unused(self) -> None:
        """Remove the float32 constants whose every reader now reads the float16 twin."""
        drop_unread(value for value in self.twins if constant_tensor(value) is not None)
