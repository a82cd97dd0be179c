"""A TensorFlow graph as it lies in its file: nodes, functions, and what a node leads to.

Read from the bytes of a ``GraphDef`` (``tensorflow/core/framework/graph.proto``) without
TensorFlow, so that nothing in it is executed and no constant is copied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from irconv.frontends.tensorflow.fields import Message
from irconv.graph.preflight.messages import shown, too_much
from irconv.graph.reading.wire import MAX_MESSAGE_DEPTH, WireError
from irconv.runtime.base import TensorSpec

__all__ = ["DTYPES", "Graph", "Node", "operators", "read_graph", "read_shape"]

DTYPES: Mapping[int, str] = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    8: "complex64",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    18: "complex128",
    19: "float16",
    20: "resource",
    21: "variant",
    22: "uint32",
    23: "uint64",
}
"""Full dtype names by the number in ``types.proto``."""

_PLACEHOLDERS = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")
_NODE, _LIBRARY = 1, 2
_ATTRIBUTES = 5
_LIST, _FUNCTION, _FUNCTIONS_OF_LIST = 1, 10, 9
_UNKNOWN_RANK = 3
_MAX_NODES = 2_000_000
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Node:
    """One node.

    Attributes:
        name: Its name.
        op: The operator.
        inputs: Names of the nodes that it reads or waits for, without ports.
        first_input: The tensor of its first input, as the file states it; empty without one.
        functions: Names of the functions that its attributes name.
        spec: What a placeholder takes; None for other nodes.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    first_input: str
    functions: tuple[str, ...]
    spec: TensorSpec | None = None


@dataclass(frozen=True)
class Graph:
    """A graph and its library of functions.

    Attributes:
        nodes: The nodes by name, in the order of the file.
        functions: The nodes of each function, by its name.
    """

    nodes: Mapping[str, Node] = field(default_factory=dict)
    functions: Mapping[str, tuple[Node, ...]] = field(default_factory=dict)

    def placeholders(self) -> list[TensorSpec]:
        """Return what the graph's placeholders take, in the order of the file."""
        return [node.spec for node in self.nodes.values() if node.spec is not None]

    def unread(self) -> list[str]:
        """Return the names of nodes that give something and that no other node reads."""
        read = {name for node in self.nodes.values() for name in node.inputs}
        return [
            name
            for name, node in self.nodes.items()
            if name not in read and node.op not in (*_PLACEHOLDERS, "Const", "NoOp", "Assert")
        ]

    def behind(
        self,
        names: Iterable[str],
        functions: Iterable[str] = (),
        stop: Collection[str] = (),
    ) -> Iterator[Node]:
        """Yield every node that computing the named nodes and functions may run, each once.

        A function is called by an attribute that names it, or by an operator of its name.

        Args:
            names: Nodes of the graph.
            functions: Functions of its library.
            stop: Nodes whose value is given, so that they do not run.
        """
        waiting = [self.nodes[name] for name in names if name in self.nodes]
        called = list(functions)
        seen: set[str] = set()
        seen_functions: set[str] = set()
        while waiting or called:
            if waiting:
                node = waiting.pop()
                if node.name in seen or node.name in stop:
                    continue
                seen.add(node.name)
                yield node
                called += (*node.functions, node.op)
                waiting += [self.nodes[name] for name in node.inputs if name in self.nodes]
                continue
            name = called.pop()
            if name in seen_functions:
                continue
            seen_functions.add(name)
            for node in self.functions.get(name, ()):
                yield node
                called += (*node.functions, node.op)

    def all_nodes(self) -> Iterator[Node]:
        """Yield the nodes of the graph and of its functions."""
        yield from self.nodes.values()
        for nodes in self.functions.values():
            yield from nodes


def operators(nodes: Iterable[Node]) -> dict[str, int]:
    """Return how often each operator is among nodes, the most frequent first."""
    counts = Counter(node.op for node in nodes)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def read_graph(message: Message) -> Graph:
    """Read a ``GraphDef``.

    Raises:
        WireError: If it is cut off or malformed, or a name stands there twice.
        InputError: If it has more nodes than any honest graph.
    """
    nodes: dict[str, Node] = {}
    functions: dict[str, tuple[Node, ...]] = {}
    for number, value in message.fields():
        if number == _NODE and isinstance(value, Message):
            node = _read_node(value)
            _put(nodes, node.name, node)
            if len(nodes) > _MAX_NODES:
                raise too_much("nodes", _MAX_NODES)
        elif number == _LIBRARY and isinstance(value, Message):
            for function in value.messages(1):
                signature = function.message(1)
                body = tuple(_read_node(node) for node in function.messages(3))
                _put(functions, "" if signature is None else signature.line(1), body)
                if sum(map(len, functions.values())) > _MAX_NODES:
                    raise too_much("nodes in functions", _MAX_NODES)
    return Graph(nodes, functions)


def _put(things: dict[str, _T], name: str, thing: _T) -> None:
    if name in things:
        raise WireError(f"{shown(name)} stands there twice")
    things[name] = thing


def _read_node(message: Message) -> Node:
    name, op, inputs = message.line(1), message.line(2), message.texts(3)
    functions: list[str] = []
    stated: dict[str, Message] = {}
    for key, attribute in message.entries(_ATTRIBUTES):
        functions += _functions(attribute)
        if op in _PLACEHOLDERS:
            stated[key] = attribute
    return Node(
        name,
        op,
        tuple(text.removeprefix("^").partition(":")[0] for text in inputs),
        inputs[0] if inputs else "",
        tuple(functions),
        _placeholder(name, stated) if op in _PLACEHOLDERS else None,
    )


def _functions(value: Message, depth: int = 1) -> Iterator[str]:
    """Yield the functions that an ``AttrValue`` names: alone, in a list, or for a function."""
    if depth > MAX_MESSAGE_DEPTH:
        raise WireError("attributes are nested too deep")
    for number, inside in value.fields():
        if not isinstance(inside, Message):
            continue
        if number == _LIST:
            named = list(inside.messages(_FUNCTIONS_OF_LIST))
        else:
            named = [inside] if number == _FUNCTION else []
        for function in named:
            yield function.line(1)
            for _, attribute in function.entries(2):
                yield from _functions(attribute, depth + 1)


def _placeholder(name: str, stated: Mapping[str, Message]) -> TensorSpec:
    dtype = stated["dtype"].number(6) if "dtype" in stated else 0
    shape = stated["shape"].message(7) if "shape" in stated else None
    dims = None if shape is None else read_shape(shape)
    return TensorSpec(name, DTYPES.get(dtype, f"dtype {dtype}"), dims)


def read_shape(message: Message) -> tuple[int | None, ...] | None:
    """Return the sizes of a ``TensorShapeProto``, None for open ones; None for any rank."""
    if message.number(_UNKNOWN_RANK):
        return None
    sizes = [dim.number(1) for dim in message.messages(2)]
    return tuple(size if size >= 0 else None for size in sizes)
