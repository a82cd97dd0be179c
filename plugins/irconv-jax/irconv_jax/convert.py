"""From a function to an ONNX file, by jax2onnx.

This module needs JAX and is imported in the worker process only. Two ways are tried. The first
lets jax2onnx see the calls of Flax and jax.numpy, which become the ONNX operators of the same
name; the second shows it the primitives that they are made of, which it knows better in places.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax2onnx
import onnx
import onnx_ir as ir
from jax.extend.core import jaxpr_as_fun, jaxprs_in_params

from irconv.errors import Diagnostic, InputError, UnsupportedError
from irconv.frontends.factories import first_line
from irconv.graph.serialize import save_model
from irconv.graph.walk import all_graphs
from irconv_jax.positional import positional_arguments
from irconv_jax.program import Program, describe_failure

__all__ = ["to_onnx"]

_WHERE = "frontend jax"
_INLINE_LIMIT = 1 << 20
_RANDOM = ("random_bits", "threefry", "rng_")
_POSITION = re.compile(r"in_(\d+)")


def to_onnx(program: Program, path: Path, opset: int) -> list[str]:
    """Write a program as ONNX.

    Args:
        program: The program.
        path: The ``.onnx`` file to write; large weights go beside it.
        opset: The opset to write.

    Returns:
        What was done, in plain words.

    Raises:
        InputError: If JAX cannot trace the function.
        UnsupportedError: If it has no translation to ONNX.
    """
    structs = _structs(program)
    try:
        closed = jax.make_jaxpr(lambda *arrays: program.call(*arrays))(*structs)
    except Exception as error:
        raise describe_failure(error, "JAX cannot trace the function") from error
    if _draws_random_numbers(closed.jaxpr):
        raise InputError(
            "the function draws random numbers, which no target gives again",
            where=_WHERE,
            hint="draw them outside and close over them, or switch dropout off",
        )
    primitives = jaxpr_as_fun(closed)
    ways: dict[str, tuple[Callable[..., Any], Sequence[Any]]] = {
        "by calls of Flax and jax.numpy": (program.call, structs),
        "by primitives of JAX": (lambda *arrays: primitives(*arrays), structs),
    }
    failures: list[Diagnostic] = []
    for way, (function, inputs) in ways.items():
        try:
            with positional_arguments():
                model = jax2onnx.to_onnx(
                    function,
                    list(inputs),
                    opset=opset,
                    enable_double_precision=bool(jax.config.jax_enable_x64),
                    return_mode="ir",
                )
            _check_operators(model, opset)
        except Exception as error:
            reason = f"jax2onnx {jax2onnx.__version__} fails {way}: {first_line(error)}"
            failures.append(
                Diagnostic("EXPORT_FAILED", reason, way_out="write that part with other functions")
            )
            continue
        _name_interface(model, program)
        save_model(model, path, inline_limit=_INLINE_LIMIT)
        return [f"converted {way}", *(str(failure) for failure in failures)]
    raise UnsupportedError("onnx", failures, where=_WHERE)


def _structs(program: Program) -> list[jax.ShapeDtypeStruct]:
    """Return the inputs with their free dimensions as JAX's own symbols."""
    free = {dim for spec in program.inputs for dim in spec.shape or () if isinstance(dim, str)}
    symbols = {name: f"d{index}" for index, name in enumerate(sorted(free))}
    scope = jax.export.SymbolicScope()
    made = {
        name: jax.export.symbolic_shape(name if name.isidentifier() else symbol, scope=scope)[0]
        for name, symbol in symbols.items()
    }
    return [
        jax.ShapeDtypeStruct(
            tuple(made[dim] if isinstance(dim, str) else dim for dim in spec.shape or ()),
            jax.numpy.dtype(spec.dtype),
        )
        for spec in program.inputs
    ]


def _draws_random_numbers(jaxpr: Any) -> bool:
    return any(
        equation.primitive.name.startswith(_RANDOM)
        or any(_draws_random_numbers(body) for body in jaxprs_in_params(equation.params))
        for equation in jaxpr.eqns
    )


def _check_operators(model: ir.Model, opset: int) -> None:
    """Refuse operators that are newer than the opset, which jax2onnx writes in places."""
    for graph in all_graphs(model):
        for node in graph:
            if node.domain == "" and not onnx.defs.has(node.op_type):
                raise NotImplementedError(f"it writes {node.op_type}, which is no ONNX operator")
            if node.domain == "":
                try:
                    onnx.defs.get_schema(node.op_type, opset, "")
                except onnx.defs.SchemaError:
                    raise NotImplementedError(
                        f"it writes {node.op_type}, which opset {opset} does not have"
                    ) from None


def _name_interface(model: ir.Model, program: Program) -> None:
    """Give inputs and outputs the program's names, in its order, whatever jax2onnx chose."""
    by_position = {
        int(found[1]): value
        for value in model.graph.inputs
        if (found := _POSITION.fullmatch(value.name or ""))
    }
    inputs = []
    for position, spec in enumerate(program.inputs):
        value = by_position.get(position)
        if value is None:
            shape = ir.Shape(spec.shape or ())
            dtype = ir.DataType.from_numpy(jax.numpy.dtype(spec.dtype))
            value = ir.Value(name=f"in_{position}", type=ir.TensorType(dtype), shape=shape)
        inputs.append(value)
    del model.graph.inputs[:]
    model.graph.inputs.extend(inputs)
    _make_room(model, {spec.name for spec in program.inputs} | set(program.outputs))
    for value, spec in zip(inputs, program.inputs, strict=True):
        value.name = spec.name
        value.shape = ir.Shape(spec.shape or ())
    seen: set[ir.Value] = set()
    for index, (value, name) in enumerate(
        zip(list(model.graph.outputs), program.outputs, strict=True)
    ):
        if value in seen or value.is_graph_input() or value.is_initializer():
            node = ir.node("Identity", [value])
            node.outputs[0].shape, node.outputs[0].type = value.shape, value.type
            model.graph.append(node)
            value = node.outputs[0]
            model.graph.outputs[index] = value
        seen.add(value)
        value.name = name


def _make_room(model: ir.Model, wanted: set[str]) -> None:
    """Rename the values that have a name which an input or output is to have."""
    values = [
        value
        for graph in all_graphs(model)
        for value in (
            *graph.inputs,
            *graph.initializers.values(),
            *(output for node in graph for output in node.outputs),
        )
    ]
    taken = {value.name for value in values} | wanted
    for value in values:
        if value.name in wanted:
            count = 1
            while f"{value.name}_{count}" in taken:
                count += 1
            value.name = f"{value.name}_{count}"
            taken.add(value.name)
