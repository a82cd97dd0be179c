"""Judging the JSON of an exported program before PyTorch reads it.

The graph of a ``.pt2`` is JSON, yet reading it runs code in more places than one expects: shape
expressions go through ``sympy.sympify``, which evaluates them; guards and the names of inputs
are pasted into Python source that is executed; a node's target may be any callable that can be
reached from the module ``torch``; a tree specification imports modules by name. So every such
text must be of the narrow form that the exporter writes.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from irconv.errors import InputError

__all__ = ["dangers_of_program", "parse_json"]

_IDENTIFIER = re.compile(r"(?:[^\W\d]\w*)?")
_PATH = re.compile(r"[\w.:+\-]*")
_KEY = re.compile(r"[\w.:+\-/ ]*")

_TENSOR_OP = re.compile(r"torch\.ops\.(?:aten|prims)\.(?P<name>\w+)\.[A-Za-z]\w*")
_FILE_OPS = frozenset({"from_file", "save"})
_DUNDER_OPS = frozenset(
    f"__{name}__" for name in ("and", "or", "xor", "lshift", "rshift", "iand", "ior", "ixor")
)
_CONTROL_OPS = frozenset(
    {
        "associative_scan",
        "cond",
        "flex_attention",
        "invoke_subgraph",
        "map_impl",
        "scan",
        "while_loop",
        "wrap_with_autocast",
        "wrap_with_set_grad_enabled",
    }
)
_SCALAR_OP = re.compile(
    r"_operator\.(?:add|and_|eq|floordiv|ge|getitem|gt|le|lshift|lt|mod|mul|ne|neg|not_|or_|pos"
    r"|pow|rshift|sub|truediv)"
    r"|math\.(?:ceil|floor|trunc|sqrt|pow)|torch\.(?:sym_[a-z]+|_sym_[a-z]+)"
)

_EXPRESSION_TEXT = re.compile(r"[A-Za-z0-9_ ,.()'=+\-*/<>!%]{1,4000}")
_EXPRESSION_STRING = re.compile(r"[A-Za-z0-9_.+\-]{1,64}")
_EXPRESSION_CALLS = frozenset(
    {
        "Abs", "Add", "And", "CeilDiv", "CeilToInt", "CleanDiv", "Equality", "Float", "FloatPow",
        "FloatTrueDiv", "FloorDiv", "FloorToInt", "GreaterThan", "Identity", "IntTrueDiv",
        "Integer", "IsNonOverlappingAndDenseIndicator", "LShift", "LessThan", "Max", "Min", "Mod",
        "ModularIndexing", "Mul", "Not", "Or", "Pow", "PowByNatural", "PythonMod", "RShift",
        "Rational", "RoundDecimal", "RoundToInt", "StrictGreaterThan", "StrictLessThan", "Symbol",
        "ToFloat", "TruncToFloat", "TruncToInt", "Unequality", "Where",
    }
)  # fmt: skip
_EXPRESSION_NAME = re.compile(r"(?:true|false|True|False|oo|int_oo|z?[a-z]+\d+)")

_GUARD_TEXT = re.compile(r"[\w ,.()\[\]'=+\-*/<>!%]{1,4000}")
_GUARD_CALLS = frozenset(
    {"FloorDiv", "Max", "Min", "Mod", "PythonMod", "float", "int", "max", "min"}
)
_GUARD_METHODS = frozenset({"dim", "size", "storage_offset", "stride"})

_ARITHMETIC = (
    ast.Expression, ast.Load, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub,
    ast.UAdd, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow,
    ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE,
)  # fmt: skip

_TREE_TYPES = frozenset(
    {None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}
)


def parse_json(content: bytes, what: str) -> Any:
    """Parse a JSON member.

    Raises:
        InputError: If it is no UTF-8 JSON, or is nested too deeply.
    """
    try:
        return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(
            f"member {what!r} is no sound JSON: {reason}",
            where="frontend pytorch",
            hint="the file is damaged; write it again with torch.export.save",
        ) from error


def dangers_of_program(document: object) -> list[str]:
    """Return every text of an exported program's JSON that loading or running it would execute.

    Args:
        document: The parsed member ``models/model.json``.

    Returns:
        Reasons, in the order of the document, each once.
    """
    found: dict[str, None] = {}
    stack: list[object] = [document]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            for key, item in value.items():
                for reason in _judge(key, item):
                    found[reason] = None
            stack.extend(reversed(value.values()))
        elif isinstance(value, list):
            stack.extend(reversed(value))
    return list(found)


def _judge(key: str, item: object) -> Iterator[str]:
    if key in _TEXT_RULES and isinstance(item, str):
        holds, phrase = _TEXT_RULES[key]
        if not holds(item):
            yield f"{phrase} {item[:120]!r}"
    elif key in _LIST_RULES and isinstance(item, list):
        holds, phrase = _LIST_RULES[key]
        for text in item:
            if not (isinstance(text, str) and holds(text)):
                yield f"{phrase} {str(text)[:120]!r}"
    elif key in _NAMED_VALUES and isinstance(item, dict):
        for name in item:
            if not _IDENTIFIER.fullmatch(name):
                yield f"it names a value {name[:120]!r}"
    elif key in _REFUSED and item:
        yield _REFUSED[key]


def _is_identifier(text: str) -> bool:
    return _IDENTIFIER.fullmatch(text) is not None


def _is_path(text: str) -> bool:
    return _PATH.fullmatch(text) is not None


def _is_known_target(target: str) -> bool:
    found = _TENSOR_OP.fullmatch(target)
    if found is not None:
        name = found["name"]
        return name not in _FILE_OPS and (not name.startswith("__") or name in _DUNDER_OPS)
    if target.startswith("torch.ops.higher_order."):
        return target.removeprefix("torch.ops.higher_order.") in _CONTROL_OPS
    return _SCALAR_OP.fullmatch(target) is not None


def _parse(text: str) -> ast.AST | None:
    try:
        return ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _is_expression(text: str) -> bool:
    tree = _parse(text) if _EXPRESSION_TEXT.fullmatch(text) else None
    return tree is not None and all(_is_expression_part(node) for node in ast.walk(tree))


def _is_expression_part(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _EXPRESSION_CALLS
    if isinstance(node, ast.keyword):
        return node.arg is not None and isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Name):
        name = node.id
        return name in _EXPRESSION_CALLS or _EXPRESSION_NAME.fullmatch(name) is not None
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return _EXPRESSION_STRING.fullmatch(node.value) is not None
        return node.value is None or isinstance(node.value, (bool, int, float))
    return isinstance(node, _ARITHMETIC)


def _is_guard(text: str) -> bool:
    tree = _parse(text) if _GUARD_TEXT.fullmatch(text) else None
    return tree is not None and all(_is_guard_part(node) for node in ast.walk(tree))


def _is_guard_part(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        if node.keywords:
            return False
        if isinstance(node.func, ast.Attribute):
            return True
        return isinstance(node.func, ast.Name) and node.func.id in _GUARD_CALLS
    if isinstance(node, ast.Attribute):
        return node.attr in _GUARD_METHODS and isinstance(node.value, ast.Subscript)
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant)
    if isinstance(node, ast.Name):
        return node.id == "L" or node.id in _GUARD_CALLS
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (str, bool, int, float))
    return isinstance(node, _ARITHMETIC)


def _is_input_tree(text: str) -> bool:
    tree = _parse_tree(text)
    return tree is not None and _is_plain_tree(tree) and _has_argument_names(tree)


def _is_output_tree(text: str) -> bool:
    tree = _parse_tree(text)
    return tree is not None and _is_plain_tree(tree)


def _parse_tree(text: str) -> Mapping[str, Any] | None:
    try:
        protocol, tree = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    return tree if protocol == 1 and isinstance(tree, dict) else None


def _is_plain_tree(root: Mapping[str, Any]) -> bool:
    stack: list[object] = [root]
    while stack:
        tree = stack.pop()
        if not isinstance(tree, dict) or set(tree) != {"type", "context", "children_spec"}:
            return False
        if tree["type"] not in _TREE_TYPES or not isinstance(tree["children_spec"], list):
            return False
        if not _is_plain_context(tree["context"]):
            return False
        stack.extend(tree["children_spec"])
    return True


def _is_plain_context(context: object) -> bool:
    keys = _context_keys(context)
    return keys is not None and all(
        isinstance(key, int) or (isinstance(key, str) and _KEY.fullmatch(key)) for key in keys
    )


def _context_keys(context: object) -> list[object] | None:
    if context is None:
        return []
    if not isinstance(context, str):
        return None
    try:
        keys = json.loads(context)
    except (ValueError, RecursionError):
        return None
    if keys is None:
        return []
    return keys if isinstance(keys, list) else None


def _has_argument_names(tree: Mapping[str, Any]) -> bool:
    children = tree["children_spec"]
    if len(children) != 2:
        return False
    keywords = _context_keys(children[1]["context"])
    return keywords is not None and all(
        isinstance(name, str) and name.isidentifier() for name in keywords
    )


_Rule = tuple[Callable[[str], bool], str]
_TEXT_RULES: Mapping[str, _Rule] = {
    "as_name": (_is_identifier, "it names a value"),
    "as_operator": (_is_known_target, "it calls"),
    "buffer_name": (_is_path, "it names a buffer"),
    "custom_obj_name": (_is_path, "it names an object"),
    "expr_str": (_is_expression, "it evaluates the shape expression"),
    "fqn": (_is_path, "it names a module"),
    "in_spec": (_is_input_tree, "its inputs are arranged by"),
    "name": (_is_identifier, "it names a value"),
    "out_spec": (_is_output_tree, "its outputs are arranged by"),
    "parameter_name": (_is_path, "it names a parameter"),
    "target": (_is_known_target, "it calls"),
    "tensor_constant_name": (_is_path, "it names a constant"),
    "user_input_name": (_is_identifier, "it names an input"),
}
_LIST_RULES: Mapping[str, _Rule] = {
    "forward_arg_names": (_is_identifier, "it names an argument"),
    "guards_code": (_is_guard, "it executes the guard"),
}
_NAMED_VALUES = frozenset(
    {"custom_obj_values", "sym_bool_values", "sym_float_values", "sym_int_values", "tensor_values"}
)
_REFUSED: Mapping[str, str] = {
    "as_custom_obj": "it holds an object of a class of its own",
    "custom_obj": "it holds an object of a class of its own",
    "custom_obj_values": "it holds an object of a class of its own",
    "treespec_namedtuple_fields": "it holds named tuples of classes of its own",
}
