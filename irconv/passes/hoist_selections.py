"""Selecting positions before they are computed on, rather than after.

Elementwise operators, products with a constant matrix and normalizations of the last axis treat
every position of the other axes by itself: f(x)[i] = f(x[i]) (ONNX operator specifications of
Gather, Slice and of each operator). A classifier that reads one token needs the last layer at that
token only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.constants import constant_ints, constant_tensor, is_constant
from irconv.graph.edit import Editor, constants_to_front
from irconv.graph.names import NameAllocator
from irconv.graph.scopes import scopes
from irconv.graph.symbolic.expression import Dim, equal, greater
from irconv.graph.symbolic.sizes import Sizes
from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal
from irconv.passes.sites import Sites

__all__ = ["HoistSelections"]

_ELEMENTWISE = frozenset(
    {
        "Abs", "Add", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu",
        "Mul", "Neg", "Pow", "Relu", "Sigmoid", "Softplus", "Sqrt", "Sub", "Tanh",
    }
)  # fmt: skip
_NORMALIZATIONS = frozenset({"LayerNormalization", "RMSNormalization"})


@dataclass(frozen=True)
class _Selection:
    """A Gather at one position or a Slice, along one axis that is not the last.

    Attributes:
        node: The node.
        axis: The axis, counted from the front.
        size: Its size before.
        drops: Whether the axis is gone behind it.
    """

    node: ir.Node
    axis: int
    size: Dim
    drops: bool


@dataclass(frozen=True)
class HoistSelections(Pass):
    """Move Gather at one position, and Slice of at most half, before the products of all positions.

    That is done where a MatMul is then smaller, and nothing else reads what lies between.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 3, 2] x) => (float[N, 2] y)
        <float[2, 2] w = {1.0, 2.0, 3.0, 4.0}, float[2] b = {5.0, 6.0}, int64 first = {0}> {
            p = MatMul (x, w)
            s = Add (p, b)
            r = Relu (s)
            y = Gather <axis = 1> (r, first)
        }

    After::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 3, 2] x) => (float[N, 2] y)
        <float[2, 2] w = {1.0, 2.0, 3.0, 4.0}, float[2] b = {5.0, 6.0}, int64 first = {0},
         float[N, 2] y_selected> {
            y_selected = Gather <axis = 1> (x, first)
            p_selected = MatMul (y_selected, w)
            s_selected = Add (p_selected, b)
            y = Relu (s_selected)
        }
    """

    name: ClassVar[str] = "hoist-selections"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "fold-constants")
    effect: ClassVar[Effect] = "real-arithmetic"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Hoist every selection that allows it, in sweeps linear in nodes and in readers of values.

        Each sweep but the last hoists what was in the way of another selection.
        """
        names, sites = NameAllocator(model), Sites(context)
        while True:
            hoisted = len(sites.made)
            refusals = _sweep(model, names, sites)
            if len(sites.made) == hoisted or not refusals:
                break
        made = sites.made
        return PassResult(bool(made), {"hoisted": len(made)}, tuple(refusals), made)


def _sweep(model: ir.Model, names: NameAllocator, sites: Sites) -> list[Refusal]:
    """Hoist what selects, from the end to the front, and return what stays."""
    editor, sizes = Editor(model), Sizes(model)
    refusals: list[Refusal] = []
    for scope in scopes(model):
        for graph in scope.graphs():
            for node in reversed(tuple(graph)):
                selection = _selection(node, sizes)
                if selection is None:
                    continue
                region = _region(selection, sizes)
                reason = _obstacle(selection, region, editor)
                if reason:
                    refusals.append(Refusal(node.name or "", node.op_type, reason))
                elif sites.permit(node):
                    _hoist(selection, region, names, editor)
    editor.finish()
    return refusals


def _selection(node: ir.Node, sizes: Sizes) -> _Selection | None:
    """Return what a node selects; None if it is no Gather of one position or Slice of half."""
    if node.domain != "" or node.op_type not in ("Gather", "Slice") or len(node.inputs) < 2:
        return None
    if any(attribute.is_ref() for attribute in node.attributes.values()):
        return None
    dims, result = sizes.dims(node.inputs[0]), sizes.dims(node.outputs[0])
    if dims is None or result is None or not all(map(is_constant, filter(None, node.inputs[1:]))):
        return None
    if node.op_type == "Gather":
        index = constant_tensor(node.inputs[1])
        axis = node.attributes.get_int("axis", 0) % max(len(dims), 1)
        drops = True
        if index is None or len(index.shape) > 0:
            return None
    else:
        axes = constant_ints(node.inputs[3]) if len(node.inputs) > 3 else None
        if axes is None or len(axes) != 1 or len(result) != len(dims):
            return None
        axis, drops = axes[0] % max(len(dims), 1), False
        if greater(2 * result[axis], dims[axis]) is not False:
            return None
    if axis >= len(dims) - 1 or dims[axis] == 1:
        return None
    return _Selection(node, axis, dims[axis], drops)


def _region(selection: _Selection, sizes: Sizes) -> dict[ir.Node, list[int]]:
    """Return the nodes that can work on the selection, each with the inputs it selects from."""
    node = selection.node
    region: dict[ir.Node, list[int]] = {node: [0]}
    waiting = [node.inputs[0]]
    while waiting:
        value = waiting.pop()
        maker = None if value is None else value.producer()
        if value is None or maker is None or maker in region or maker.graph is not node.graph:
            continue
        if value.is_graph_output() or any(user not in region for user, _ in value.uses()):
            continue
        indices = _selected_inputs(maker, selection, sizes)
        if indices:
            region[maker] = indices
            waiting.extend(maker.inputs[index] for index in indices)
    del region[node]
    return region


def _selected_inputs(node: ir.Node, selection: _Selection, sizes: Sizes) -> list[int]:
    """Return the inputs of which positions may be selected instead; none if it is not so."""
    outputs = [value for value in node.outputs if value.name]
    rank = len(sizes.dims(node.outputs[0]) or ())
    if node.domain != "" or len(outputs) != 1 or any(a.is_ref() for a in node.attributes.values()):
        return []
    if node.op_type in _ELEMENTWISE:
        candidates = list(range(len(node.inputs)))
    elif node.op_type == "MatMul" and len(sizes.dims(node.inputs[1]) or ()) == 2:
        candidates = [0]
    elif node.op_type in _NORMALIZATIONS:
        axis = node.attributes.get_int("axis", -1)
        candidates = [0] if axis in (-1, rank - 1) else []
    else:
        return []
    selected = [index for index in candidates if not _is_vector(node.inputs[index], sizes)]
    rest = [value for index, value in enumerate(node.inputs) if index not in selected]
    operands = [sizes.dims(node.inputs[index]) for index in selected]
    fit = all(
        dims is not None and len(dims) == rank and equal(dims[selection.axis], selection.size)
        for dims in operands
    )
    steady = all(is_constant(value) for value in rest)
    return selected if fit and steady and rank > selection.axis + 1 else []


def _is_vector(value: ir.Value | None, sizes: Sizes) -> bool:
    """Whether a constant has no axis but the last."""
    dims = sizes.dims(value)
    return is_constant(value) and dims is not None and len(dims) <= 1


def _obstacle(selection: _Selection, region: dict[ir.Node, list[int]], editor: Editor) -> str:
    data, output = selection.node.inputs[0], selection.node.outputs[0]
    if data is None or not region:
        return "what it selects from mixes positions, or has other readers"
    if not any(node.op_type == "MatMul" for node in region):
        return "no product by a constant matrix lies before it"
    return editor.blocker(output, data)


def _hoist(
    selection: _Selection, region: dict[ir.Node, list[int]], names: NameAllocator, editor: Editor
) -> None:
    """Select from what the region reads, and let it compute the selected positions."""
    node, output = selection.node, selection.node.outputs[0]
    stem = f"{output.name}_selected"
    made: dict[ir.Value, ir.Value] = {}
    assert node.graph is not None
    constants_to_front(node.graph, node.inputs[1:])
    for item in (item for item in node.graph if item in region):
        for index in region[item]:
            source = item.inputs[index]
            if source is None or source.producer() in region:
                continue
            if source not in made:
                copy = ir.Node(
                    "", node.op_type, [source, *node.inputs[1:]], list(node.attributes.values())
                )
                copy.name = copy.outputs[0].name = names.fresh(stem)
                copy.outputs[0].type = source.type
                copy.outputs[0].shape = _shape(source.shape, selection)
                copy.metadata_props.update(node.metadata_props)
                node.graph.insert_before(item, copy)
                made[source] = copy.outputs[0]
            item.replace_input_with(index, made[source])
        result = item.outputs[0]
        result.name = names.fresh(f"{result.name}_selected")
        result.shape = _shape(result.shape, selection)
        if item.op_type in _NORMALIZATIONS:
            item.attributes["axis"] = ir.AttrInt64("axis", -1)
    assert node.inputs[0] is not None
    editor.redirect(output, node.inputs[0])
    editor.remove(node)


def _shape(shape: ir.Shape | None, selection: _Selection) -> ir.Shape | None:
    result = selection.node.outputs[0].shape
    if shape is None or result is None:
        return None
    dims = list(shape.dims)
    dims[selection.axis : selection.axis + 1] = [] if selection.drops else [result[selection.axis]]
    return ir.Shape(dims)
