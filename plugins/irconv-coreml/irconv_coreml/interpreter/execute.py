"""Running a function of an ML Program, every value checked against its declared type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from irconv.errors import BackendError, Diagnostic, IrconvError, UnsupportedError
from irconv_coreml.interpreter.program import Block, Constant, Function, Operation, TypedName
from irconv_coreml.interpreter.refused import REFUSED
from irconv_coreml.interpreter.registry import Definition, lookup
from irconv_coreml.interpreter.types import MilValue, explain_mismatch

__all__ = ["Context", "check_operations", "run_function"]

_WHERE = "reference interpreter of ML Programs"
_OPSET = "CoreML"
_CONSTANT = "const"


def check_operations(function: Function) -> None:
    """Check that every operation is known, in the function's operator set, and well-formed.

    Raises:
        UnsupportedError: If not; it lists every such operation.
    """
    opset = _opset_number(function)
    found = {_explain(operation, opset): None for operation in _operations(function.block)}
    diagnostics = [
        Diagnostic("UNSUPPORTED_OP", reason, op=kind) for kind, reason in found if reason
    ]
    if diagnostics:
        raise UnsupportedError(
            "coreml", diagnostics, where=_WHERE, hint="run the package on macOS, in Core ML itself"
        )


def _opset_number(function: Function) -> int:
    number = function.opset.removeprefix(_OPSET)
    if not number.isdecimal():
        raise _failure(f"the program's operator set is {function.opset!r}")
    return int(number)


def _operations(block: Block) -> Iterator[Operation]:
    for operation in block.operations:
        yield operation
        for inner in operation.blocks:
            yield from _operations(inner)


def _explain(operation: Operation, opset: int) -> tuple[str, str]:
    kind = operation.kind
    if kind == _CONSTANT:
        whole = "val" in operation.attributes and len(operation.outputs) == 1
        return kind, "" if whole else "it has not one value and one output"
    if kind in REFUSED:
        return kind, REFUSED[kind]
    definition = lookup(kind)
    if definition is None:
        return kind, "the reference interpreter does not know it"
    if definition.since > opset:
        return kind, f"{_OPSET}{opset} does not have it; {_OPSET}{definition.since} has"
    names = set(operation.inputs) | (set(operation.attributes) - {"name"})
    return kind, definition.explain_arguments(names)


class Context:
    """What an operator with blocks, or with several outputs, gets to know.

    Args:
        operation: The operation.
        scope: The values that its blocks see.

    Attributes:
        opset: Number of the program's operator set, 5 for iOS 15 up to 8 for iOS 18.
    """

    def __init__(self, operation: Operation, scope: _Scope) -> None:
        self.operation = operation
        self.opset = scope.opset
        self._scope = scope

    def run_block(self, index: int, arguments: Sequence[MilValue] = ()) -> list[MilValue]:
        """Run a block of the operation and return its outputs.

        Args:
            index: Which block.
            arguments: A value for each of the block's inputs.
        """
        return _run_block(self.operation.blocks[index], arguments, self._scope)


class _Scope:
    def __init__(self, opset: int, parent: _Scope | None = None) -> None:
        self.opset = opset
        self._parent = parent
        self._values: dict[str, MilValue] = {}

    def __getitem__(self, name: str) -> MilValue:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope._values:
                return scope._values[name]
            scope = scope._parent
        raise _failure(f"the program reads {name!r} before anything produces it")

    def bind(self, name: TypedName, value: MilValue, producer: str) -> None:
        problem = explain_mismatch(value, name.type)
        if problem:
            raise _failure(f"{producer} gives {name.name!r} wrongly: {problem}")
        self._values[name.name] = value

    def discard(self, name: str) -> None:
        self._values.pop(name, None)


def run_function(function: Function, arguments: Mapping[str, MilValue]) -> dict[str, MilValue]:
    """Run a function and return its outputs by name.

    Args:
        function: The function; :func:`check_operations` must have accepted it.
        arguments: A value for each of its inputs, by name.

    Raises:
        BackendError: If an operation fails, or a value is not of its declared type.
    """
    scope = _Scope(_opset_number(function))
    for name in function.inputs:
        scope.bind(name, arguments[name.name], "the caller")
    with np.errstate(all="ignore"):
        outputs = _run_block(function.block, (), scope)
    return dict(zip(function.block.outputs, outputs, strict=True))


def _run_block(block: Block, arguments: Sequence[MilValue], parent: _Scope) -> list[MilValue]:
    scope = _Scope(parent.opset, parent)
    if len(arguments) != len(block.inputs):
        raise _failure(f"a block takes {len(block.inputs)} values and is given {len(arguments)}")
    for name, value in zip(block.inputs, arguments, strict=True):
        scope.bind(name, value, "the enclosing operation")
    dead_after = _last_uses(block)
    for position, operation in enumerate(block.operations):
        _run_operation(operation, scope)
        for unused in dead_after.get(position, ()):
            scope.discard(unused)
    return [scope[name] for name in block.outputs]


def _last_uses(block: Block) -> dict[int, list[str]]:
    """Return which values nothing reads any more after each operation, by its position."""
    last = {}
    for position, operation in enumerate(block.operations):
        last.update({name.name: position for name in operation.outputs})
        for inner in (operation, *(o for b in operation.blocks for o in _operations(b))):
            for bindings in inner.inputs.values():
                last.update({name: position for name in bindings if isinstance(name, str)})
        for name in _block_outputs(operation):
            last[name] = position
    kept = set(block.outputs)
    result: dict[int, list[str]] = {}
    for name, position in last.items():
        if name not in kept:
            result.setdefault(position, []).append(name)
    return result


def _block_outputs(operation: Operation) -> Iterator[str]:
    for block in operation.blocks:
        yield from block.outputs
        for inner in block.operations:
            yield from _block_outputs(inner)


def _run_operation(operation: Operation, scope: _Scope) -> None:
    producer = (
        f"{operation.kind} {operation.outputs[0].name!r}" if operation.outputs else (operation.kind)
    )
    if operation.kind == _CONSTANT:
        scope.bind(operation.outputs[0], operation.attributes["val"].value, producer)
        return
    definition = lookup(operation.kind)
    if definition is None:
        raise _failure(f"{producer} is not known")
    results = _compute(definition, operation, scope, producer)
    if len(results) != len(operation.outputs):
        raise _failure(
            f"{producer} declares {len(operation.outputs)} outputs and produces {len(results)}"
        )
    for name, value in zip(operation.outputs, results, strict=True):
        scope.bind(name, np.asarray(value) if isinstance(value, np.generic) else value, producer)


def _compute(
    definition: Definition, operation: Operation, scope: _Scope, producer: str
) -> tuple[MilValue, ...]:
    arguments: dict[str, Any] = {
        name: constant.value for name, constant in operation.attributes.items() if name != "name"
    }
    for name, bindings in operation.inputs.items():
        values = tuple(_resolve(binding, scope) for binding in bindings)
        arguments[name] = values if len(values) != 1 or name == "values" else values[0]
    if definition.needs_context:
        arguments["context"] = Context(operation, scope)
    try:
        result = definition.compute(arguments)
    except IrconvError:
        raise
    except (ValueError, IndexError, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise _failure(f"{producer} fails: {error}") from error
    return result if isinstance(result, tuple) else (result,)


def _resolve(binding: str | Constant, scope: _Scope) -> MilValue:
    return scope[binding] if isinstance(binding, str) else binding.value


def _failure(what: str) -> BackendError:
    return BackendError(
        what, where=_WHERE, hint="the package is broken, or irconv is: report it with the model"
    )
