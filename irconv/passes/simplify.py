"""Simplification by onnxsim, an optional library.

onnxsim folds constants, infers shapes and runs the optimizer of the ONNX project until nothing
changes. It works in a worker process, because a hostile model can crash or hang it, on a copy of
the model with its weights inside, hence the guard on size. It never sees a path of the user's.
"""

from __future__ import annotations

import importlib.util
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import onnx_ir as ir

from irconv.errors import BackendError, MissingError
from irconv.graph.digest import tensor_digest
from irconv.graph.interface import input_specs, output_specs
from irconv.graph.invariants import check_invariants, interface_of
from irconv.graph.scopes import ONNX_DOMAINS
from irconv.graph.serialize import weight_bytes
from irconv.graph.text import format_model
from irconv.graph.walk import all_graphs, all_nodes
from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal
from irconv.worker import Worker, WorkerLimits

__all__ = ["Simplify"]

_SERVICE = "irconv.passes.simplify_service:SimplifyService"
_MIB = 1 << 20


@dataclass(frozen=True)
class Simplify(Pass):
    """Let onnxsim simplify the model, if it is installed.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[2, 3] x) => (float[2, 3] y) {
            t = Transpose <perm = [1, 0]> (x)
            u = Transpose <perm = [1, 0]> (t)
            y = Relu (u)
        }

    After::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[2, 3] x) => (float[2, 3] y) {
            y = Relu (x)
        }

    Left alone, with the reason among the refusals: a model over ``max_bytes``, one with local
    functions or with operators that ONNX does not define, and one with inputs that have a
    default, which onnxsim would make constant.

    Attributes:
        max_bytes: The most bytes of weights of a model that is still simplified.
        seconds: The longest that onnxsim may take.
    """

    name: ClassVar[str] = "simplify"
    after: ClassVar[tuple[str, ...]] = ("bind-shapes", "convert-opset")
    effect: ClassVar[Effect] = "real-arithmetic"
    once: ClassVar[bool] = True

    max_bytes: int = 512 * _MIB
    seconds: float = 600.0

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Simplify; another program changes the whole model, so the pass has no sites.

        Raises:
            MissingError: If onnxsim is not installed.
            RuntimeError: If onnxsim crashes, runs out of time or returns another interface.
        """
        if importlib.util.find_spec("onnxsim") is None:
            raise MissingError(
                "pass 'simplify' needs onnxsim, which is not installed",
                where="pass simplify",
                hint="pip install irconv[simplify]",
            )
        reason = self._obstacle(model)
        if reason:
            return PassResult(False, refusals=(Refusal("", "", reason),))
        try:
            simplified = self._simplified(model, context)
        except BackendError as error:
            raise RuntimeError(f"onnxsim failed: {error.what}") from error
        if _parts(simplified) == _parts(model):
            return PassResult(False)
        before = sum(1 for _ in all_nodes(model))
        model.graph = simplified.graph
        return PassResult(True, {"nodes_removed": before - sum(1 for _ in all_nodes(model))})

    def _obstacle(self, model: ir.Model) -> str:
        size = weight_bytes(model)
        if size > self.max_bytes:
            return (
                f"the model holds {size / _MIB:.0f} MiB of weights, more than "
                f"max-bytes={self.max_bytes} ({self.max_bytes / _MIB:.0f} MiB)"
            )
        if model.functions:
            return "the model has local functions"
        foreign = sorted({node.domain for node in all_nodes(model)} - ONNX_DOMAINS)
        if foreign:
            return f"the model has operators of the domain {foreign[0]!r}"
        defaults = [
            value.name or "" for value in model.graph.inputs if value.const_value is not None
        ]
        if defaults:
            return f"input {defaults[0]!r} has a default that a caller may override"
        return ""

    def _simplified(self, model: ir.Model, context: PassContext) -> ir.Model:
        limits = WorkerLimits(seconds=self.seconds)
        with tempfile.TemporaryDirectory(prefix="irconv-simplify-") as folder:
            source, destination = Path(folder, "source.onnx"), Path(folder, "result.onnx")
            source.write_bytes(_inlined(model))
            with Worker(_SERVICE, limits=limits, label="pass simplify") as worker:
                worker.call(
                    "simplify",
                    source=str(source),
                    destination=str(destination),
                    max_constant_bytes=context.max_constant_bytes,
                )
            simplified = ir.from_proto(_read(destination))
        assert isinstance(simplified, ir.Model)
        _check(model, simplified)
        _keep_notes(model.graph, simplified.graph)
        simplified.metadata_props.clear()
        simplified.metadata_props.update(model.metadata_props)
        _share_weights(model, simplified)
        return simplified


def _parts(model: ir.Model) -> list[str]:
    """Return what a model consists of in no order: onnxsim turns constants round at every run."""
    return sorted(re.split(r"\n|, ", format_model(model)))


def _inlined(model: ir.Model) -> bytes:
    """Return ``model`` serialized with all weights inside."""
    clone = model.clone()
    for graph in all_graphs(clone):
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                value.const_value = _in_memory(value.const_value)
    for node in all_nodes(clone):
        for name, attribute in node.attributes.items():
            if attribute.type == ir.AttributeType.TENSOR and not attribute.is_ref():
                tensor = attribute.as_tensor()
                if isinstance(tensor, ir.ExternalTensor):
                    node.attributes[name] = ir.AttrTensor(name, _in_memory(tensor))
    content: bytes = ir.to_proto(clone).SerializeToString()
    return content


def _in_memory(tensor: ir.ExternalTensor) -> ir.TensorProtocol:
    return ir.external_data.convert_tensors_from_external([tensor])[0]


def _read(path: Path) -> object:
    import onnx

    return onnx.ModelProto.FromString(path.read_bytes())


def _check(model: ir.Model, simplified: ir.Model) -> None:
    check_invariants(simplified, interface_of(model))
    for side in (input_specs, output_specs):
        was, now = side(model), side(simplified)
        if [spec.kind for spec in was] != [spec.kind for spec in now]:
            raise RuntimeError(f"onnxsim changed the interface from {was} to {now}")


def _share_weights(model: ir.Model, simplified: ir.Model) -> None:
    """Use the tensors of ``model`` where the new model has equal ones: they may be mapped."""
    known = dict(_tensors(model))
    for graph in all_graphs(simplified):
        for value in graph.initializers.values():
            old, new = known.get(value.name or ""), value.const_value
            if old is None or new is None or old.nbytes != new.nbytes:
                continue
            if (old.dtype, tensor_digest(old)) == (new.dtype, tensor_digest(new)):
                value.const_value = old


def _tensors(model: ir.Model) -> Iterator[tuple[str, ir.TensorProtocol]]:
    for graph in all_graphs(model):
        for name, value in graph.initializers.items():
            if value.const_value is not None:
                yield name, value.const_value


def _keep_notes(old: ir.Graph, new: ir.Graph) -> None:
    """Give the new graph the name and notes of the old, and its declared interface shapes."""
    old_values, new_values = (*old.inputs, *old.outputs), (*new.inputs, *new.outputs)
    for was, now in zip(old_values, new_values, strict=True):
        now.shape, now.doc_string = was.shape, was.doc_string
        now.metadata_props.update(was.metadata_props)
    new.name, new.doc_string = old.name, old.doc_string
    new.metadata_props.clear()
    new.metadata_props.update(old.metadata_props)
    new.meta.update(old.meta)
