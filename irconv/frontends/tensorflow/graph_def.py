"""A TensorFlow graph as it lies in its file: nodes, functions, and what a node leads to.

Read from the bytes of a ``GraphDef`` (``tensorflow/core/framework/graph.proto``) without
TensorFlow, so that nothing in it is executed and no constant is copied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from irconv.frontends.tensorflow.fields import Message
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
_UNKNOWN_RANK = 3


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
                called += node.functions
                waiting += [self.nodes[name] for name in node.inputs if name in self.nodes]
                continue
            name = called.pop()
            if name in seen_functions:
                continue
            seen_functions.add(name)
            for node in self.functions.get(name, ()):
                yield node
                called += node.functions

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
        irconv.graph.reading.wire.WireError: If it is cut off or malformed.
    """
    nodes: dict[str, Node] = {}
    functions: dict[str, tuple[Node, ...]] = {}
    for number, value in message.fields():
        if number == 1 and isinstance(value, Message):
            node = _read_node(value)
            nodes[node.name] = node
        elif number == 2 and isinstance(value, Message):
            for function in value.messages(1):
                signature = function.message(1)
                name = next(iter(signature.texts(1)), "") if signature else ""
                functions[name] = tuple(_read_node(node) for node in function.messages(3))
    return Graph(nodes, functions)


def _read_node(message: Message) -> Node:
    name = op = ""
    inputs: list[str] = []
    attributes: list[Message] = []
    for number, value in message.fields():
        if not isinstance(value, Message):
            continue
        if number == 1:
            name = value.text()
        elif number == 2:
            op = value.text()
        elif number == 3:
            inputs.append(value.text())
        elif number == 5:
            attributes.append(value)
    functions: list[str] = []
    stated: dict[str, Message] = {}
    for entry in attributes:
        key, attribute = entry.message(1), entry.message(2)
        if key is None or attribute is None:
            continue
        functions += _functions(attribute)
        if op in _PLACEHOLDERS:
            stated[key.text()] = attribute
    return Node(
        name,
        op,
        tuple(text.removeprefix("^").partition(":")[0] for text in inputs),
        inputs[0] if inputs else "",
        tuple(functions),
        _placeholder(name, stated) if op in _PLACEHOLDERS else None,
    )


def _functions(value: Message) -> Iterator[str]:
    """Yield the functions that an ``AttrValue`` names, alone or in a list."""
    for number, inside in value.fields():
        if not isinstance(inside, Message):
            continue
        if number == 10:
            yield from inside.texts(1)
        elif number == 1:
            for function in inside.messages(9):
                yield from function.texts(1)


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
