"""Constant folding: what depends on nothing but constants is computed once, here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeGuard

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor, is_constant
from irconv.graph.determinism import is_random
from irconv.graph.edit import Editor, detach
from irconv.graph.evaluate import EXACT, ROUNDED, EvaluationError, evaluate, predict
from irconv.graph.scopes import Scope, scopes
from irconv.graph.static_dims import StaticDims, known_items
from irconv.graph.walk import all_graphs, subgraphs_of
from irconv.passes.base import Pass, PassContext, PassResult, Refusal
from irconv.passes.composed import COMPOSED, evaluate_parts
from irconv.passes.sites import Sites

__all__ = ["FoldConstants"]

_MIB = 1 << 20
_FOLDED = "irconv.fold-constants"
_READ_FACTOR = 16
_TIED_BYTES = 1 << 12
_QUANTIZED = frozenset({"DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"})
_Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class FoldConstants(Pass):
    """Replace nodes whose inputs are all constant by their results.

    Shapes, sizes and single dims that are static fold too, even where the batch is dynamic. The
    size of a result is inferred before anything is computed, so that a small model cannot grow
    large. Evaluation is by ONNX's reference implementation, which raises where a kernel would kill
    the process, and that of Resize by sums along one axis after another. Random nodes, control
    flow, custom operators, calls of local functions and (de)quantization never fold, and neither
    does what would store a weight that others read as it is a second time.

    Attributes:
        max_bytes: The most bytes of one result; all results together may take the context's
            ``max_constant_bytes``.
        rounding: Whether to fold float operators too whose last bits differ between
            implementations, such as ``Exp`` and ``MatMul``; the pass is then no longer
            bit-exact.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 3, 4] x) => (float[N, 12] y) {
            whole = Shape(x)
            two = Constant <value_ints = [2]> ()
            three = Constant <value_ints = [3]> ()
            width = Slice(whole, two, three)
            depth = Mul(width, three)
            batch = Constant <value_ints = [-1]> ()
            target = Concat <axis = 0> (batch, depth)
            y = Reshape(x, target)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 3, 4] x) => (float[N, 12] y)
        <int64[2] target = {-1, 12}> {
            whole = Shape(x)
            two = Constant <value_ints = [2]> ()
            three = Constant <value_ints = [3]> ()
            batch = Constant <value_ints = [-1]> ()
            y = Reshape(x, target)
        }
    """

    name: ClassVar[str] = "fold-constants"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes",)

    max_bytes: int = _MIB
    rounding: bool = False

    def __post_init__(self) -> None:
        if self.rounding:
            object.__setattr__(self, "effect", "real-arithmetic")

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Fold in one sweep; linear in nodes and in bytes of results."""
        folder = _Folder(model, self, context)
        for scope in scopes(model):
            folder.fold(scope.graph, scope)
        folder.finish()
        made = folder.sites.made
        details = {"folded": len(made), "bytes": folder.bytes}
        return PassResult(bool(made), details, tuple(folder.refusals), made)


class _Folder:
    """One run of the pass."""

    def __init__(self, model: ir.Model, options: FoldConstants, context: PassContext) -> None:
        self.sites = Sites(context)
        self.refusals: list[Refusal] = []
        self._functions = model.functions
        self._options = options
        self._budget = context.max_constant_bytes
        self._spill = context.spill
        self._editor = Editor(model)
        self._known: dict[ir.Value, StaticDims] = {}
        # Results of earlier runs count too, so that running again folds no more than once did.
        self.bytes = sum(
            value.meta.get(_FOLDED, 0)
            for graph in all_graphs(model)
            for value in graph.initializers.values()
        )

    def finish(self) -> None:
        """Remove the folded nodes."""
        self._editor.finish()

    def fold(self, graph: ir.Graph, scope: Scope) -> None:
        """Fold in ``graph`` and its bodies, in the order of the nodes."""
        for node in graph:
            for body in subgraphs_of(node):
                self.fold(body, scope)
            if node.domain != "" or node.op_type != "Constant":
                self._visit(node, graph, scope)

    def _visit(self, node: ir.Node, graph: ir.Graph, scope: Scope) -> None:
        try:
            results = self._static(node, scope)
            if results is None:
                if not _has_constant_inputs(node):
                    return
                results = self._evaluated(node, scope)
        except EvaluationError as reason:
            self.refusals.append(Refusal(node.name or "", node.op_type, str(reason)))
            return
        if self.sites.permit(node):
            self._replace(node, results, graph, scope)

    def _static(self, node: ir.Node, scope: Scope) -> dict[str, _Array] | None:
        """Return the result where it follows from static dims alone."""
        if node.domain != "" or scope.is_function or node.op_identifier() in self._functions:
            return None
        items = known_items(node, self._known)
        if items is None:
            return None
        output = node.outputs[0]
        if not items.complete:
            self._known[output] = items
            return None
        array = np.array(items.items, np.int64)
        return {output.name or "": array.reshape(()) if items.is_scalar else array}

    def _evaluated(self, node: ir.Node, scope: Scope) -> dict[str, _Array]:
        _check_kind(node, scope, self._functions)
        tensors = [constant_tensor(value) for value in node.inputs]
        floats = any(tensor is not None and tensor.dtype.is_floating_point() for tensor in tensors)
        rounded = node.op_type in COMPOSED or (floats and node.op_type in ROUNDED)
        if rounded and not self._options.rounding:
            raise EvaluationError("runtimes round it differently (see the option rounding)")
        read = sum(tensor.nbytes for tensor in tensors if tensor is not None)
        if read > _READ_FACTOR * self._options.max_bytes:
            raise EvaluationError(f"it reads {read} bytes of constants")
        prediction = predict(node, tensors, scope.opsets)
        if prediction.nbytes > self._options.max_bytes:
            raise EvaluationError(
                f"its result takes {prediction.nbytes} bytes, over max_bytes of "
                f"{self._options.max_bytes}"
            )
        if self.bytes + prediction.nbytes > self._budget:
            raise EvaluationError(f"the budget of {self._budget} bytes for constants is spent")
        large = [value for value in node.inputs if _is_large(value, prediction.nbytes)]
        if len(large) == 1 and _is_tied(large[0], node):
            raise EvaluationError(
                f"it would store {large[0].name!r}, which others read as it is, a second time"
            )
        if node.op_type in COMPOSED:
            limit = _READ_FACTOR * self._options.max_bytes
            return evaluate_parts(node, prediction, tensors, scope.opsets, limit)
        return evaluate(prediction, tensors, scope.opsets)

    def _replace(
        self, node: ir.Node, results: dict[str, _Array], graph: ir.Graph, scope: Scope
    ) -> None:
        for output in node.outputs:
            if not output.name:
                continue
            tensor = self._kept(results[output.name], output.name)
            value = ir.Value(
                name=output.name,
                type=ir.TensorType(tensor.dtype),
                shape=ir.Shape(tensor.shape.numpy()),
            )
            if output.is_graph_output() or scope.is_function:
                constant = ir.Node(
                    "", "Constant", (), (ir.AttrTensor("value", tensor),), outputs=(value,)
                )
                graph.insert_before(node, constant)
            else:
                value.const_value = tensor
                value.meta[_FOLDED] = tensor.nbytes
                graph.register_initializer(value)
                self.bytes += tensor.nbytes
            self._editor.redirect(output, value)
        inputs = list(node.inputs)
        detach(node)
        self._editor.remove(node)
        for source in dict.fromkeys(inputs):
            self._release(source)

    def _kept(self, array: _Array, name: str) -> ir.TensorProtocol:
        if self._spill is None:
            return ir.Tensor(array, name=name)
        return self._spill.keep(array, name)

    def _release(self, value: ir.Value | None) -> None:
        """Drop an earlier result that nothing needs any more."""
        if value is None or _FOLDED not in value.meta or not value.is_initializer():
            return
        if value.uses() or value.is_graph_output() or value.graph is None:
            return
        self.bytes -= value.meta[_FOLDED]
        del value.graph.initializers[value.name or ""]


def _has_constant_inputs(node: ir.Node) -> bool:
    given = [value for value in node.inputs if value is not None]
    return bool(given) and all(is_constant(value) for value in given)


def _is_large(value: ir.Value | None, nbytes: int) -> TypeGuard[ir.Value]:
    """Whether a constant is a weight of at least ``nbytes``, which a result has."""
    tensor = constant_tensor(value)
    return tensor is not None and nbytes > _TIED_BYTES and tensor.nbytes >= nbytes


def _is_tied(value: ir.Value, node: ir.Node) -> bool:
    """Whether a weight stays for other readers, beside what ``node`` makes of it."""
    return value.is_graph_output() or any(
        user is not node and not _has_constant_inputs(user) for user, _ in value.uses()
    )


def _check_kind(
    node: ir.Node, scope: Scope, functions: Mapping[ir.OperatorIdentifier, ir.Function]
) -> None:
    """Raise EvaluationError for a node that must not fold whatever its inputs are."""
    reason = ""
    if node.op_identifier() in functions:
        reason = "it calls a local function"
    elif node.domain != "":
        reason = f"domain {node.domain!r} is not evaluated"
    elif any(True for _ in subgraphs_of(node)):
        reason = "it is control flow"
    elif is_random(node, scope.opsets):
        reason = "it is random"
    elif node.op_type in _QUANTIZED:
        reason = "folding it would undo a quantization"
    elif node.op_type not in EXACT | ROUNDED | COMPOSED:
        reason = "the operator is not evaluated"
    elif any(attribute.is_ref() for attribute in node.attributes.values()):
        reason = "an attribute depends on the caller of the function"
    if reason:
        raise EvaluationError(reason)
