"""Turning pairs of an input and an output into variables that OpenVINO keeps between steps.

An input becomes ReadValue and its output Assign of one variable (OpenVINO operation set 6). Before
the first step, and after a reset, a variable is zeros of the size that the state begins with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from irconv.errors import UsageError
from irconv_openvino.states import Beginning, State

__all__ = ["keep_states"]


def keep_states(openvino: Any, model: Any, states: Sequence[State], data: dict[str, Any]) -> None:
    """Keep ``states`` inside of an ``openvino.Model``; ``data`` then tells where the rest went.

    Args:
        openvino: The module ``openvino``.
        model: The model, changed in place.
        states: The states.
        data: ``inputs`` and ``outputs`` with the index of each; a state's becomes None, and
            ``states`` is added.

    Raises:
        UsageError: If nothing reads a state.
    """
    inputs = {entry["name"]: entry for entry in data["inputs"]}
    outputs = {entry["name"]: entry for entry in data["outputs"]}
    parameters, results = list(model.get_parameters()), list(model.get_results())
    gone_parameters, gone_results = [], []
    for state in states:
        index = inputs[state.input.name]["index"]
        if index is None:
            raise UsageError(
                f"no node reads the state {state.input.name!r}",
                where="target openvino, option stateful",
            )
        parameter = parameters[index]
        result = results[outputs[state.output.name]["index"]]
        sizes = _sizes(openvino, state.beginning, parameters, inputs)
        _keep(openvino, model, state, parameter, result, sizes)
        gone_parameters.append(parameter)
        gone_results.append(result)
    for parameter in gone_parameters:
        model.remove_parameter(parameter)
    for result in gone_results:
        model.remove_result(result)
    _renumber(data["inputs"], {state.input.name for state in states})
    _renumber(data["outputs"], {state.output.name for state in states})
    data["states"] = [state.to_json() | {"dtype": state.input.dtype} for state in states]
    model.validate_nodes_and_infer_types()


def _keep(openvino: Any, model: Any, state: State, parameter: Any, result: Any, sizes: Any) -> None:
    ops = openvino.opset13
    port = parameter.output(0)
    kind = port.get_element_type()
    zeros = ops.broadcast(ops.constant(np.zeros((), np.float32), kind), sizes)
    shape = openvino.PartialShape(
        [
            openvino.Dimension() if size == 0 else dim
            for size, dim in zip(state.beginning, port.get_partial_shape(), strict=True)
        ]
    )
    info = openvino.op.util.VariableInfo()
    info.variable_id, info.data_type, info.data_shape = state.input.name, kind, shape
    variable = openvino.op.util.Variable(info)
    readers = list(port.get_target_inputs())
    read = ops.read_value(zeros, variable)
    for reader in readers:
        reader.replace_source_output(read.output(0))
    source = result.input_value(0)
    node = source.get_node()
    if node.get_output_size() > 1:
        node = ops.convert(source, kind.to_string())
    model.add_variables([variable])
    model.add_sinks([ops.assign(node, variable)])


def _sizes(
    openvino: Any,
    beginning: Sequence[Beginning],
    parameters: Sequence[Any],
    inputs: Mapping[str, Mapping[str, Any]],
) -> Any:
    """Return the node of the shape that a state begins with."""
    ops = openvino.opset13
    parts = []
    for size in beginning:
        if isinstance(size, int):
            parts.append(ops.constant(np.array([size], np.int64)))
            continue
        name, axis = size
        if inputs[name]["index"] is None:
            raise UsageError(
                f"no node reads the input {name!r}, by whose size a state begins",
                where="target openvino, option stateful",
            )
        shape = ops.shape_of(parameters[inputs[name]["index"]], "i64")
        parts.append(ops.gather(shape, np.array([axis], np.int64), np.int64(0)))
    return ops.concat(parts, 0) if parts else ops.constant(np.zeros(0, np.int64))


def _renumber(entries: Sequence[dict[str, Any]], states: set[str]) -> None:
    gone = [entry["index"] for entry in entries if entry["name"] in states]
    for entry in entries:
        index = entry["index"]
        if entry["name"] in states:
            entry["index"] = None
        elif index is not None:
            entry["index"] = index - sum(other < index for other in gone)
