"""The arguments and results of a module, from the text of its code; needs no PyTorch."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Argument", "ScriptSignature", "find_signature", "input_flags"]

_SCALARS = {"int": "i64", "float": "f64", "bool": "bool"}
_SHORT = {
    "float64": "f64", "float32": "f32", "float16": "f16", "bfloat16": "bf16", "int64": "i64",
    "int32": "i32", "int16": "i16", "int8": "i8", "uint8": "u8", "bool": "bool",
}  # fmt: skip


@dataclass(frozen=True)
class Argument:
    """An argument of ``forward``.

    Attributes:
        name: Its name.
        type: Its type as text, such as ``Optional[Tensor]``.
        default: Its default value as text; None where it must be given.
        dtype: The dtype that the module was traced with, where it was.
        shape: The shape that the module was traced with, where it was.
    """

    name: str
    type: str
    default: str | None = None
    dtype: str | None = None
    shape: tuple[int, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the argument as ``irconv inspect`` shows it."""
        facts: dict[str, Any] = {"name": self.name, "type": self.type}
        if self.default is not None:
            facts["default"] = self.default
        if self.shape is not None:
            facts |= {"traced_dtype": self.dtype, "traced_shape": list(self.shape)}
        return facts

    @property
    def needs_flag(self) -> bool:
        """Whether ``--input`` must state it."""
        return self.shape is None and self.default is None


@dataclass(frozen=True)
class ScriptSignature:
    """Arguments and result type of ``forward``."""

    arguments: tuple[Argument, ...]
    returns: str


def find_signature(tree: ast.Module, class_name: str) -> ScriptSignature | None:
    """Return the signature of ``forward`` of a class; None where there is no such method."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == "forward":
                    return _read(method)
    return None


def _read(method: ast.FunctionDef) -> ScriptSignature:
    arguments = method.args.args[1:]
    values: list[ast.expr | None] = [*method.args.defaults]
    defaults = [None] * (len(arguments) - len(values)) + values
    read = [
        Argument(argument.arg, _text(argument.annotation) or "Tensor", _text(default))
        for argument, default in zip(arguments, defaults, strict=True)
    ]
    return ScriptSignature(tuple(read), _text(method.returns) or "Tensor")


def _text(node: ast.expr | None) -> str | None:
    return None if node is None else ast.unparse(node)


def input_flags(arguments: Sequence[Argument]) -> str:
    """Return the ``--input`` flags that state arguments, with sizes for the user to fill in."""
    return " ".join(f"--input '{_flag(argument)}'" for argument in arguments)


def _flag(argument: Argument) -> str:
    if argument.type in _SCALARS:
        return f"{argument.name}[]{{{_SCALARS[argument.type]}}}"
    if argument.shape is not None:
        dims = ",".join(map(str, argument.shape))
        return f"{argument.name}[{dims}]{{{_SHORT.get(argument.dtype or '', argument.dtype)}}}"
    kind = argument.type.partition("[")[0]
    suffix = {"List": "_0", "Tuple": "_0", "Dict": "_KEY"}.get(kind, "")
    return f"{argument.name}{suffix}[batch,3,224,224]{{f32}}"
