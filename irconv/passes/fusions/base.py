"""What all fusions share: a place is matched and judged, then one node takes it.

A fusion says in its :meth:`Fusion.match` which node stands for which values, in the words of
:mod:`irconv.passes.fusions.pattern`. What lies between those values and the inputs of the new
node is the region that vanishes. It is found by walking back, so a match keeps no books.

Fusions are matched by use-def chains; ``fuse-conv-batchnorm`` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from irconv.graph.add_constant import add_constant
from irconv.graph.constants import is_constant
from irconv.graph.edit import Editor, detach
from irconv.graph.names import NameAllocator
from irconv.graph.scopes import Scope, scopes
from irconv.graph.unread import drop_unread
from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal
from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.pattern import rank, scalar
from irconv.passes.sites import Sites

__all__ = ["Fused", "Fusion", "Item", "Made", "Matcher", "Output", "leak", "region"]

_SHAPED = frozenset({"Expand", "Reshape", "Squeeze", "Unsqueeze"})
"""Operators whose inputs after the first say only of which shape the result is."""
_OVERRIDE = "the model defines operators of the default domain itself"


@dataclass(frozen=True)
class Made:
    """A node of the default domain that a fusion needs beside the one that it makes.

    Equal ones are made again at every place; eliminate-common-subexpressions leaves one.

    Attributes:
        op_type: Operator; its first output is what is meant.
        inputs: Its inputs, as in :class:`Fused`.
        attributes: Its attributes.
        dtype: Dtype of the output, if it is known.
    """

    op_type: str
    inputs: Sequence[Item]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    dtype: ir.DataType | None = None

    def values(self) -> list[ir.Value]:
        """Return the values that it is made of."""
        return _values(self.inputs)


@dataclass(frozen=True)
class Output:
    """An output of the node that a fusion makes, as an operand of what is derived from it."""

    index: int


Item = ir.Value | npt.NDArray[Any] | ir.LazyTensor | Made | Output | None
"""An input of a new node: a value, what becomes a constant, a new node or its output, or none."""


def _values(items: Sequence[Item]) -> list[ir.Value]:
    found: list[ir.Value] = []
    for item in items:
        if isinstance(item, ir.Value):
            found.append(item)
        elif isinstance(item, Made):
            found += item.values()
    return found


@dataclass(frozen=True)
class Fused:
    """One node, and the values that it computes in the place of others.

    Attributes:
        op_type: Operator.
        inputs: Its inputs; an array or tensor becomes a new constant, :class:`Made` a node in
            front of it, None is an absent input.
        outputs: The values that its outputs replace, in order; None for an output that is not
            wanted. They keep their names, types and shapes.
        attributes: Its attributes; one that is None is left out.
        derived: Further values that are replaced, each by a node that reads an :class:`Output`.
        domain: Domain of the operator; one other than the default is imported at version 1.
        opset: The oldest opset of the default domain that has the operator.
        spared: Further values where the region ends. What computes them stays if it is read.
        shapes: Shapes of inputs that ONNX's own inference does not find, and has to be told.
        sized: Whether the match knows the dims of the outputs, so that no number can add axes.
        before: Where the node goes: all inputs are computed before, all outputs are read after.
            If not given, that is where the first output was computed.
    """

    op_type: str
    inputs: Sequence[Item]
    outputs: Sequence[ir.Value | None]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    derived: Mapping[ir.Value, Made] = field(default_factory=dict)
    domain: str = ""
    opset: int = 1
    spared: Sequence[ir.Value] = ()
    shapes: Mapping[ir.Value, ir.Shape] = field(default_factory=dict)
    sized: bool = False
    before: ir.Node | None = None

    @property
    def replaced(self) -> list[ir.Value]:
        """The values that are replaced."""
        return [value for value in (*self.outputs, *self.derived) if value is not None]

    @property
    def place(self) -> ir.Node:
        """The node in front of which the new one goes."""
        node = self.before or self.replaced[0].producer()
        assert node is not None
        return node


def region(fused: Fused) -> list[ir.Node]:
    """Return the nodes between the inputs of the new node and the values that it replaces.

    Constants do not belong to it, nor does what only tells a node of which shape its result is.
    """
    bounds = set(_values(fused.inputs))
    bounds.update(fused.spared)
    found: dict[ir.Node, None] = {}
    stack = fused.replaced[::-1]
    while stack:
        node = stack.pop().producer()
        assert node is not None, "a match leaves nothing out that its region reads"
        if node in found:
            continue
        found[node] = None
        stack += [
            value
            for value in reversed(node.inputs[:1] if node.op_type in _SHAPED else node.inputs)
            if value is not None and value not in bounds and not is_constant(value)
        ]
    return list(found)


def leak(fused: Fused, nodes: Sequence[ir.Node]) -> str:
    """Return why the region cannot vanish; empty if it can."""
    inside = set(nodes)
    replaced = set(fused.replaced)
    for node in nodes:
        for attribute in node.attributes.values():
            if attribute.is_ref():
                return f"the attribute {attribute.name!r} is a parameter of the enclosing function"
        for value in node.outputs:
            if value in replaced:
                continue
            if value.is_graph_output():
                return f"the intermediate value {value.name!r} is also a graph output"
            if any(user not in inside for user, _ in value.uses()):
                return f"the intermediate value {value.name!r} has other readers"
        if node.graph is not fused.place.graph:
            return f"the intermediate value {node.outputs[0].name!r} is computed in another graph"
    return ""


Matcher = Callable[[ir.Node, Scope], Fused | None]
"""See :meth:`Fusion.match`."""


@dataclass(frozen=True)
class Fusion(Pass):
    """A pass that replaces regions of nodes by one node each.

    Class attributes:
        anchors: Standard operators at which to look for the pattern: the rarest ones in it.
    """

    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "eliminate-identity", "fold-constants")
    effect: ClassVar[Effect] = "real-arithmetic"
    anchors: ClassVar[frozenset[str]] = frozenset()

    def matcher(self, model: ir.Model) -> Matcher:
        """Return what judges the anchors of ``model``; a pass that studies the model first has one.

        Otherwise it is :meth:`match`.
        """
        del model
        return self.match

    def match(self, node: ir.Node, scope: Scope) -> Fused | None:
        """Return what takes the place around an anchor, or None where there is no such place.

        Raises:
            Keep: If the place comes near; the text is the first condition that failed.
        """
        raise NotImplementedError

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Fuse every place that allows it, bodies and functions included; linear in nodes."""
        if any(function.domain in ("", "ai.onnx") for function in model.functions.values()):
            return PassResult(False, {"fused": 0}, (Refusal("", "", _OVERRIDE),))
        edits = _Edits(model)
        match = self.matcher(model)
        refusals: list[Refusal] = []
        gone: set[ir.Node] = set()
        read: list[ir.Value] = []
        sites = Sites(context)
        for scope in scopes(model):
            for graph in scope.graphs():
                for node in tuple(graph):
                    if node in gone or node.domain != "" or node.op_type not in self.anchors:
                        continue
                    try:
                        found = match(node, scope)
                        nodes = [] if found is None else _judged(found, scope)
                    except Keep as reason:
                        refusals.append(Refusal(node.name or "", node.op_type, str(reason)))
                        continue
                    if found is not None and sites.permit(node):
                        read += _replace(found, nodes, scope, edits.names, edits.editor)
                        gone.update(nodes)
        fused = len(sites.made)
        if fused:
            edits.editor.finish()
        for value in read:
            _drop_dead(value)
        return PassResult(fused > 0, {"fused": fused}, tuple(refusals), sites.made)


class _Edits:
    """What edits take; a run that changes nothing does not pay for it."""

    def __init__(self, model: ir.Model) -> None:
        self._model = model

    @cached_property
    def names(self) -> NameAllocator:
        """Fresh names."""
        return NameAllocator(self._model)

    @cached_property
    def editor(self) -> Editor:
        """The editor of this run."""
        return Editor(self._model)


def _judged(found: Fused, scope: Scope) -> list[ir.Node]:
    """Return the region that vanishes, or keep it."""
    opset = scope.opsets.get("", 1)
    if opset < found.opset:
        raise Keep(
            f"{found.op_type} needs opset {found.opset} and this is opset {opset}; "
            f"run convert-opset{{to={found.opset}}} first"
        )
    if found.domain and scope.opsets.get(found.domain, 1) != 1:
        raise Keep(f"the model imports another version of {found.domain} than 1")
    nodes = region(found)
    reason = leak(found, nodes) or ("" if found.sized else _broadcast(found, nodes))
    if reason:
        raise Keep(reason)
    return nodes


def _broadcast(found: Fused, nodes: Sequence[ir.Node]) -> str:
    """Return which number would give the result more axes than the first input has, if any."""
    count = rank(next(value for value in found.inputs if isinstance(value, ir.Value)))
    read = {value: None for node in nodes for value in node.inputs if value is not None}
    for value in read:
        axes = 0 if scalar(value) is None else rank(value) or 0
        if axes and (count is None or axes > count):
            return f"the number {value.name!r} is a tensor of rank {axes}, which may add axes"
    return ""


def _replace(
    found: Fused, nodes: Sequence[ir.Node], scope: Scope, names: NameAllocator, editor: Editor
) -> list[ir.Value]:
    """Put the new node in the place of the region; return what the region read."""
    for value, shape in found.shapes.items():
        value.shape = shape
    place = found.place
    root = found.replaced[0].producer()
    assert place.graph is not None
    assert root is not None
    stem = found.replaced[0].name or found.op_type
    maker = _Maker(place, stem, scope, names)
    made = ir.Node(
        found.domain,
        found.op_type,
        [maker.operand(item) for item in found.inputs],
        [
            ir.convenience.convert_attribute(name, value)
            for name, value in found.attributes.items()
            if value is not None
        ],
        num_outputs=len(found.outputs),
        name=root.name,
        metadata_props=dict(root.metadata_props),
    )
    used = _outputs_read(found.derived.values())
    for index, value in enumerate(made.outputs):
        value.name = names.fresh(f"{stem}_{found.op_type}") if index in used else ""
    root.name = None
    place.graph.insert_before(place, made)
    if found.domain:
        scope.graph.opset_imports.setdefault(found.domain, 1)
    for old, new in zip(found.outputs, made.outputs, strict=True):
        if old is not None:
            _take_over(old, new, editor)
    maker.outputs = made.outputs
    for old, item in found.derived.items():
        _take_over(old, maker.made(item), editor)
    read = [value for node in nodes for value in node.inputs if value is not None]
    for node in nodes:
        detach(node)
        editor.remove(node)
    return read


def _outputs_read(items: Iterable[Item]) -> set[int]:
    found: set[int] = set()
    stack = list(items)
    while stack:
        item = stack.pop()
        if isinstance(item, Output):
            found.add(item.index)
        elif isinstance(item, Made):
            stack += item.inputs
    return found


class _Maker:
    """Makes the operands of one new node, and what is derived from it; each item once."""

    def __init__(self, place: ir.Node, stem: str, scope: Scope, names: NameAllocator) -> None:
        self._place = place
        self._stem = stem
        self._scope = scope
        self._names = names
        self._known: dict[int, ir.Value] = {}
        self.outputs: Sequence[ir.Value] = ()

    def operand(self, item: Item) -> ir.Value | None:
        if isinstance(item, Made):
            return self.made(item)
        if isinstance(item, Output):
            return self.outputs[item.index]
        if item is None or isinstance(item, ir.Value):
            return item
        name = self._names.fresh(f"{self._stem}_constant")
        tensor = ir.Tensor(item) if isinstance(item, np.ndarray) else item
        return add_constant(self._place, name, tensor, is_function=self._scope.is_function)

    def made(self, item: Made) -> ir.Value:
        if id(item) in self._known:
            return self._known[id(item)]
        node = ir.Node(
            "",
            item.op_type,
            [self.operand(part) for part in item.inputs],
            [
                ir.convenience.convert_attribute(name, value)
                for name, value in item.attributes.items()
            ],
            name=self._names.fresh(f"{self._stem}_{item.op_type}"),
        )
        value = node.outputs[0]
        value.name = node.name
        if item.dtype is not None:
            value.dtype = item.dtype
        assert self._place.graph is not None
        self._place.graph.insert_before(self._place, node)
        self._known[id(item)] = value
        return value


def _take_over(old: ir.Value, new: ir.Value, editor: Editor) -> None:
    """Let ``new`` take the readers, the name, the type and the shape of ``old``."""
    new.type, new.shape = old.type, old.shape
    is_output, name = old.is_graph_output(), old.name
    editor.redirect(old, new)
    if not is_output:
        old.name, new.name = None, name


def _drop_dead(value: ir.Value) -> None:
    """Drop constants that nothing reads, and nodes that computed nothing else but ``value``."""
    stack = [value]
    while stack:
        item = stack.pop()
        node = item.producer()
        drop_unread(item)
        if node is None or not isinstance(node.graph, ir.Graph) or is_constant(item):
            continue
        if any(output.uses() or output.is_graph_output() for output in node.outputs):
            continue
        inputs = [source for source in node.inputs if source is not None]
        detach(node)
        node.graph.remove(node, safe=True)
        stack += inputs
