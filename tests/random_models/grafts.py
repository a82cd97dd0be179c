"""Golden cases as drafts: the graphs that passes look for, grafted into random models.

A case fits any model in whose opset each of its operators means what it means in the case's own.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from assembly import SYMBOL_SIZE, Draft, Skip
from execution import bodies_of
from onnx import GraphProto, NodeProto, helper, numpy_helper

__all__ = ["GRAFTS", "fits", "graft", "is_rewritten", "read_graft"]

_FOLDER = Path(__file__).parents[2] / "golden" / "passes"
_DEPARTING = {
    "decompose-resampling/computed_scale": "a Resize that keeps the shape returns its input",
}
"""Cases that ONNX Runtime computes in another way than the specification says."""
GRAFTS: tuple[str, ...] = tuple(
    name
    for path in sorted(_FOLDER.glob("*/*.onnxtxt"))
    if (name := str(path.relative_to(_FOLDER).with_suffix(""))) not in _DEPARTING
    and path.parent.name != "decompose-signal"
)
"""``pass/case`` of the golden cases; those of spectra leave noise where their terms cancel."""
_CLOSED_SHARE = 0.75
"""How often nothing else reads what is between the operands and the results of a case."""


def is_rewritten(name: str) -> bool:
    """Say whether the pass of a golden case changes it."""
    return "// expect: modified\n" in _text(name)


def _text(name: str) -> str:
    return (_FOLDER / f"{name}.onnxtxt").read_text(encoding="utf-8")


@functools.cache
def read_graft(name: str) -> onnx.ModelProto:
    """Return the model of a golden case from before the pass."""
    text = _text(name).split("// output\n")[0]
    lines = [line for line in text.splitlines() if not line.startswith("//")]
    return onnx.parser.parse_model("\n".join(lines))


def fits(name: str, opset: int) -> bool:
    """Say whether every operator of a golden case means at an opset what it means at its own."""
    model = read_graft(name)
    own = next(
        (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1
    )
    nodes = [model.graph.node, *(function.node for function in model.functions)]
    return all(_means_the_same(node, own, opset) for part in nodes for node in _walk(part))


def graft(name: str, draft: Draft) -> None:
    """Draft the nodes of a golden case on operands of the model.

    Raises:
        Skip: If the case does not fit the model's opset, or has inputs that are no tensors.
    """
    if not fits(name, draft.opset):
        raise Skip
    model = onnx.ModelProto()
    model.CopyFrom(read_graft(name))
    graph = model.graph
    prefix = draft.assembly.fresh("g")
    names = _Names(f"{prefix}_", {(f.domain, f.name) for f in model.functions})
    defaults = {tensor.name for tensor in graph.initializer}
    for value in graph.input:
        if value.name not in defaults:
            names.known[value.name] = _operand(draft, value)
    names.rename_graph(graph)
    for tensor in graph.initializer:
        if draft.assembly.closed:
            draft.nodes.append(helper.make_node("Constant", [], [tensor.name], value=tensor))
            draft.hidden.add(tensor.name)
        else:
            draft.initializers[tensor.name] = tensor
        draft.given[tensor.name] = numpy_helper.to_array(tensor)
    for function in model.functions:
        names.rename_nodes(function.node, values=False)
        function.name = names.function(function.domain, function.name)
        for entry in function.opset_import:
            entry.version = draft.opset if entry.domain in ("", "ai.onnx") else entry.version
        draft.functions.append(function)
    draft.nodes += graph.node
    if draft.chance(_CLOSED_SHARE):
        results = {value.name for value in graph.output}
        made = {name for node in graph.node for name in node.output}
        draft.hidden |= made - results


def _operand(draft: Draft, value: onnx.ValueInfoProto) -> str:
    if not value.type.HasField("tensor_type"):
        raise Skip
    tensor = value.type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if dtype.kind not in "fiub" or not tensor.HasField("shape"):
        raise Skip
    dims = tensor.shape.dim
    shape = [dim.dim_value if dim.HasField("dim_value") else SYMBOL_SIZE for dim in dims]
    return draft.operand(np.dtype(dtype), shape)


def _walk(nodes: Iterable[NodeProto]) -> Iterable[NodeProto]:
    for node in nodes:
        yield node
        for body in bodies_of(node):
            yield from _walk(body.node)


def _means_the_same(node: NodeProto, own: int, opset: int) -> bool:
    if node.domain not in ("", "ai.onnx"):
        return True
    try:
        versions = {
            onnx.defs.get_schema(node.op_type, version, "").since_version
            for version in (own, opset)
        }
    except onnx.defs.SchemaError:
        return False
    return len(versions) == 1


def _open_sizes(body: GraphProto) -> None:
    """Forget the sizes that a body states: its operands may have got names for them."""
    for value in (*body.input, *body.output):
        if value.type.HasField("tensor_type"):
            for dim in value.type.tensor_type.shape.dim:
                dim.Clear()


class _Names:
    """Gives the values and local functions of a case names that the model does not have."""

    def __init__(self, prefix: str, functions: set[tuple[str, str]]) -> None:
        self.prefix = prefix
        self.functions = functions
        self.known: dict[str, str] = {}

    def of(self, name: str) -> str:
        if not name:
            return name
        return self.known.get(name, self.prefix + name)

    def function(self, domain: str, name: str) -> str:
        return self.prefix + name if (domain, name) in self.functions else name

    def rename_nodes(self, nodes: Iterable[NodeProto], *, values: bool) -> None:
        for node in nodes:
            node.op_type = self.function(node.domain, node.op_type)
            if values:
                node.name = self.of(node.name)
                node.input[:] = [self.of(name) for name in node.input]
                node.output[:] = [self.of(name) for name in node.output]
            for body in bodies_of(node):
                if values:
                    _open_sizes(body)
                    self.rename_graph(body)
                else:
                    self.rename_nodes(body.node, values=False)

    def rename_graph(self, graph: GraphProto) -> None:
        for value in (*graph.input, *graph.output, *graph.initializer):
            value.name = self.of(value.name)
        del graph.value_info[:]
        self.rename_nodes(graph.node, values=True)
