"""Fitting a model to the kernels of the installed ONNX Runtime.

ONNX Runtime reads newer and older opsets than it has kernels for. Two ways lead back: the
function body of the operator, and another opset that says the same (ONNX IR specification,
sections "Functions" and "Operator Sets").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.errors import IrconvError
from irconv.graph.function_bodies import expand_nodes
from irconv.graph.scopes import scopes
from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal
from irconv.passes.convert_opset import ConvertOpset
from irconv.passes.infer_shapes import InferShapes
from irconv.runtime.kernels import kernel_gap

__all__ = ["FitOnnxruntime", "fitted", "kernel_gaps"]

_OPSETS = (25, 24, 23, 22, 21, 20, 18, 17, 15, 13, 11, 8)


def kernel_gaps(model: ir.Model) -> dict[ir.Node, str]:
    """Return the nodes that ONNX Runtime cannot compute on the CPU, and why not."""
    return {
        node: reason
        for scope in scopes(model)
        for node in scope.nodes()
        if node.op_identifier() not in model.functions
        and (reason := kernel_gap(node, scope.opsets))
    }


@dataclass(frozen=True)
class FitOnnxruntime(Pass):
    """Where ONNX Runtime lacks kernels, expand functions, else convert to the nearest opset.

    A model that it can run is left alone, and so is one that neither way makes runnable.

    Here ThresholdedRelu has no kernel for float64.

    Before::

        <ir_version: 10, opset_import: ["" : 22]>
        example (double[4] x) => (double[4] y) {
            y = ThresholdedRelu(x)
        }

    After::

        <ir_version: 10, opset_import: ["" : 22]>
        example (double[4] x) => (double[4] y)
        <
            float "ThresholdedRelu/Alpha", double "ThresholdedRelu/AlphaCast",
            float "ThresholdedRelu/Zero", double "ThresholdedRelu/ZeroCast",
            bool[4] "ThresholdedRelu/AlphaLessThanX"
        > {
            "ThresholdedRelu/Alpha" = Constant <value_float = 1.0> ()
            "ThresholdedRelu/AlphaCast" = CastLike("ThresholdedRelu/Alpha", x)
            "ThresholdedRelu/Zero" = Constant <value = float {0}> ()
            "ThresholdedRelu/ZeroCast" = CastLike("ThresholdedRelu/Zero", x)
            "ThresholdedRelu/AlphaLessThanX" = Less("ThresholdedRelu/AlphaCast", x)
            y = Where("ThresholdedRelu/AlphaLessThanX", x, "ThresholdedRelu/ZeroCast")
        }
    """

    name: ClassVar[str] = "fit-onnxruntime"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes",)
    effect: ClassVar[Effect] = "real-arithmetic"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Look for kernels, and fit the model where some are missing.

        The pass has no sites: it may convert the opset, which holds for the whole model.
        """
        gaps = kernel_gaps(model)
        if not gaps:
            return PassResult(False)
        work = model.clone()
        missing = kernel_gaps(work)
        expanded, _ = expand_nodes(work, lambda node: node in missing)
        if expanded:
            InferShapes().run(work, context)
        opset = None if not kernel_gaps(work) else _convert(work, context)
        if not expanded and opset is None:
            refusals = tuple(Refusal(n.name or "", n.op_type, why) for n, why in gaps.items())
            return PassResult(False, refusals=refusals)
        model.graph = work.graph
        model.functions.clear()
        model.functions.update(work.functions)
        return PassResult(True, {"expanded": expanded, "opset": opset})


def _convert(work: ir.Model, context: PassContext) -> int | None:
    """Convert to the nearest opset in which no kernel is missing; None if there is none."""
    current = work.opset_imports.get("", 1)
    for opset in sorted(_OPSETS, key=lambda candidate: abs(candidate - current)):
        trial = work.clone()
        try:
            ConvertOpset(opset).run(trial, context)
        except IrconvError:
            continue
        if not kernel_gaps(trial):
            work.graph = trial.graph
            work.functions.clear()
            work.functions.update(trial.functions)
            return opset
    return None


def fitted(model: ir.Model) -> ir.Model | None:
    """Return a model of the same meaning that ONNX Runtime can run, or None if that fails.

    Weights are shared with ``model``, which stays as it is.
    """
    work = model.clone()
    InferShapes().run(work, PassContext())
    changed = FitOnnxruntime().run(work, PassContext()).modified
    return work if changed and not kernel_gaps(work) else None
