"""Judging the code of a TorchScript archive, which is text that PyTorch's interpreter runs.

The language has no Python in it, but some of its operators reach outside of the tensors:
``aten::from_file`` reads and ``aten::save`` writes any file, operators and classes of libraries
do what their authors like. They are reached by name alone, as functions of ``torch`` or
``ops``, or as methods of any value, and may be passed around before they are called; so it is
names that are judged, wherever they stand. The text is parsed as Python, of which it is a
subset; what would let two readers see different texts is refused.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Container, Iterator

__all__ = ["dangers_of_code", "defined_names", "is_known_class", "parse_code"]

_STRING = re.compile(r"\"(?:[^\"\\\n]|\\[^\n])*\"|'(?:[^'\\\n]|\\[^\n])*'")
_PLAIN = re.compile(r"[\x20-\x7e\n]*")
_OUTSIDE_STRINGS = re.compile(r"[^#\\\"']*")
_SIDE_EFFECTS = {
    "from_file": "reads any file",
    "save": "writes any file",
    "rpc_async": "calls another machine",
    "rpc_remote": "calls another machine",
    "rpc_sync": "calls another machine",
    "PythonOp": "calls Python",
    "IgnoredPythonOp": "calls Python",
}
_NAMESPACES = frozenset({"aten", "prim", "prims", "quantized"})
"""Of the operators under ``ops``, those that PyTorch itself brings and that compute only."""
_LIBRARY_CLASSES = "__torch__.torch.classes."
_LIBRARIES = frozenset({"quantized"})
"""Libraries whose classes PyTorch itself brings: packed quantized weights."""


def parse_code(text: str) -> ast.Module | None:
    """Parse a file of code; None where it is not of the form that PyTorch writes."""
    if not _PLAIN.fullmatch(text) or not _OUTSIDE_STRINGS.fullmatch(_STRING.sub("0", text)):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def defined_names(module: str, tree: ast.Module) -> set[str]:
    """Return the full names of the classes and functions that a file of code defines.

    Args:
        module: Dotted name of the file, such as ``__torch__.torch.nn.modules.conv``.
        tree: Its code.
    """
    return {
        f"{module}.{node.name}"
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }


def is_known_class(name: str, defined: Container[str]) -> bool:
    """Say whether a full name is of a class of the archive's code, or of quantized weights."""
    library = name.removeprefix(_LIBRARY_CLASSES)
    if library != name:
        return library.partition(".")[0] in _LIBRARIES
    return name in defined


def dangers_of_code(
    path: str, text: str, tree: ast.Module | None, defined: Container[str]
) -> list[str]:
    """Return what a file of code could do beside computing, each with its line.

    Args:
        path: The member's name, for messages.
        text: The code.
        tree: The code as :func:`parse_code` gives it.
        defined: Full names of all classes and functions of the archive's code.
    """
    if tree is None:
        return [f"{path}: its code is not of the form that PyTorch writes"]
    lines = text.splitlines()
    found: dict[str, None] = {}
    for node, reason in _dangers(tree, defined):
        line = getattr(node, "lineno", 1)
        found[f"{path}:{line}: {reason}, in `{lines[line - 1].strip()[:100]}`"] = None
    return list(found)


def _dangers(tree: ast.Module, defined: Container[str]) -> Iterator[tuple[ast.AST, str]]:
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield from ((node, reason) for reason in _judge_name(node.attr))
            if id(node) not in inner:
                yield from ((node, reason) for reason in _judge_chain(_chain(node), defined))
        elif isinstance(node, ast.Name) and id(node) not in inner:
            yield from ((node, reason) for reason in _judge_chain((node.id,), defined))
        elif isinstance(node, ast.Call):
            yield from ((node, reason) for reason in _judge_call(node))


def _chain(node: ast.Attribute) -> tuple[str, ...]:
    """Return the names of ``a.b.c``; the first is empty where another expression stands."""
    parts: list[str] = []
    value: ast.expr = node
    while isinstance(value, ast.Attribute):
        parts.append(value.attr)
        value = value.value
    return (value.id if isinstance(value, ast.Name) else "", *reversed(parts))


def _judge_name(name: str) -> Iterator[str]:
    effect = _SIDE_EFFECTS.get(name)
    if effect:
        yield f"it uses {name!r}, which {effect}"


def _judge_chain(chain: tuple[str, ...], defined: Container[str]) -> Iterator[str]:
    name = ".".join(chain)
    if chain[0] == "ops":
        if len(chain) < 3:
            yield "it gives the operators another name"
        elif chain[1] not in _NAMESPACES:
            yield f"it calls the custom operator {'::'.join(chain[1:3])}"
    elif chain[0] == "__torch__":
        prefixes = (".".join(chain[:end]) for end in range(2, len(chain) + 1))
        if not any(is_known_class(prefix, defined) for prefix in prefixes):
            kind = "custom class" if name.startswith(_LIBRARY_CLASSES) else "unknown class"
            yield f"it uses the {kind} {name.removeprefix(_LIBRARY_CLASSES)!r}"


def _judge_call(node: ast.Call) -> Iterator[str]:
    if not (isinstance(node.func, ast.Name) and node.func.id == "getattr"):
        return
    name = node.args[1] if len(node.args) == 2 else None
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        yield from _judge_name(name.value)
    else:
        yield "it takes an attribute by a computed name"
