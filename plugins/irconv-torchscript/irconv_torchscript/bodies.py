"""Branches and loops: modules whose ``forward`` is written for the bodies that they hold.

The source text holds names that are made here and numbers only, nothing of the model.
"""

from __future__ import annotations

import itertools
import linecache
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from irconv.graph.constants import is_constant
from irconv_torchscript.dtypes import CARRIERS
from irconv_torchscript.held import annotation

if TYPE_CHECKING:
    from irconv_torchscript.site import Site

__all__ = ["build_if", "build_loop", "build_scan", "captured_values"]

_numbers = itertools.count()


def captured_values(graph: ir.Graph) -> list[ir.Value]:
    """Return the outer values that a body and the bodies inside it read, constants left out."""
    inner: set[ir.Value] = set(graph.inputs) | set(graph.initializers.values())
    used: dict[ir.Value, None] = {}
    stack = [graph]
    while stack:
        body = stack.pop()
        inner.update(body.inputs)
        inner.update(body.initializers.values())
        for node in body:
            inner.update(node.outputs)
            used.update(dict.fromkeys(value for value in node.inputs if value is not None))
            for attribute in node.attributes.values():
                if attribute.type == ir.AttributeType.GRAPH:
                    stack.append(attribute.as_graph())
        used.update(dict.fromkeys(body.outputs))
    return [value for value in used if value not in inner and not is_constant(value)]


def _body(graph: ir.Graph, name: str) -> tuple[Any, list[ir.Value]]:
    from irconv_torchscript.builder import GraphBuilder

    captured = captured_values(graph)
    return GraphBuilder(graph, name).build(captured, is_body=True), captured


def _take_dtypes(inputs: Sequence[ir.Value], outer: Sequence[ir.Value | None]) -> None:
    """Give inputs of a body, where their dtype was left out, that of what flows in."""
    for value, source in zip(inputs, outer, strict=False):
        if value.type is None and source is not None:
            value.type = source.type


def _module(name: str, source: str, parts: dict[str, Any]) -> Any:
    """Return a module whose forward is ``source``; TorchScript reads it from the line cache."""
    import torch

    from irconv_torchscript.kernels import loops

    file = f"<irconv-torchscript-{name}-{next(_numbers)}>"
    names: dict[str, Any] = {"torch": torch, "Tensor": torch.Tensor, "loops": loops}
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), names)  # noqa: S102 - the text is made here
    module = type(name, (torch.nn.Module,), {"forward": names["forward"]})()
    for key, part in parts.items():
        module.add_module(key, part)
    return module.eval()


def _type(value: ir.Value) -> str:
    import torch

    kind = annotation(value)
    if kind is torch.Tensor:
        return "Tensor"
    if kind == list[torch.Tensor]:
        return "list[Tensor]"
    return (
        "list[Tensor] | None" if isinstance(_element(value), ir.SequenceType) else ("Tensor | None")
    )


def _element(value: ir.Value) -> Any:
    kind = value.type
    return kind.elem_type if isinstance(kind, ir.OptionalType) else kind


def _result(values: Sequence[ir.Value]) -> str:
    kinds = [_type(value) for value in values]
    return kinds[0] if len(kinds) == 1 else f"tuple[{', '.join(kinds)}]"


def _call(
    site: Site, module: Any, name: str, arguments: list[Any], outputs: int
) -> tuple[Any, ...]:
    target = site.builder.submodule(name, module)
    node = site.builder.fx.call_module(target, tuple(arguments))
    return (node,) if outputs == 1 else site.items(node, outputs)


def build_if(site: Site) -> tuple[Any, ...]:
    """Build ``If``: both branches are modules, and one of them runs."""
    branches = [site.node.attributes[f"{key}_branch"].as_graph() for key in ("then", "else")]
    built = [_body(graph, "Branch") for graph in branches]
    captured = list(dict.fromkeys(value for _, values in built for value in values))
    names = {value: f"a{index}" for index, value in enumerate(captured)}
    calls = [", ".join(names[value] for value in values) for _, values in built]
    parameters = "".join(f", {names[value]}: {_type(value)}" for value in captured)
    source = (
        f"def forward(self, condition: Tensor{parameters}) -> {_result(site.node.outputs)}:\n"
        f"    if bool(condition):\n"
        f"        result = self.then_branch({calls[0]})\n"
        f"    else:\n"
        f"        result = self.else_branch({calls[1]})\n"
        f"    return result\n"
    )
    module = _module("If", source, {"then_branch": built[0][0], "else_branch": built[1][0]})
    arguments = [site.tensor(0), *(site.builder.tensor(value) for value in captured)]
    return _call(site, module, "if", arguments, len(site.node.outputs))


def _empty_stack(value: ir.Value, torch_prefix: str = "torch.") -> str:
    """Return source text of the stack of no tensors like ``value``; unknown sizes are 0."""
    dims = [] if value.shape is None else [d if isinstance(d, int) else 0 for d in value.shape]
    dtype = CARRIERS[value.dtype or ir.DataType.FLOAT]
    return f"torch.zeros([{', '.join(map(str, [0, *dims]))}], dtype={torch_prefix}{dtype})"


def build_loop(site: Site) -> tuple[Any, ...]:
    """Build ``Loop``: a while loop around the body."""
    graph = site.node.attributes["body"].as_graph()
    _take_dtypes(graph.inputs, site.node.inputs)
    body, captured = _body(graph, "LoopBody")
    carried = list(graph.inputs[2:])
    scanned = list(graph.outputs[1 + len(carried) :])
    state = [f"v{index}" for index in range(len(carried))]
    stacks = [f"s{index}" for index in range(len(scanned))]
    outer = [f"a{index}" for index in range(len(captured))]
    given = [value for value in site.node.inputs[2:] if value is not None]
    parameters = [f"{name}: {_type(value)}" for name, value in zip(state, given, strict=True)]
    parameters += [f"{name}: {_type(value)}" for name, value in zip(outer, captured, strict=True)]
    results = [*state, *(f"n{index}" for index in range(len(scanned)))]
    head = ", ".join(["self", "trips: Tensor | None", "start: Tensor | None", *parameters])
    handed = ", ".join(["torch.tensor(index)", "torch.tensor(going)", *state, *outer])
    lines = [
        f"def forward({head}) -> {_result(site.node.outputs)}:",
        "    limit = loops.limit(trips)",
        "    going = loops.first(start)",
        "    index = 0",
        *(f"    {name}: list[Tensor] = []" for name in stacks),
        "    while going and index < limit:",
        f"        {', '.join(['keep', *results])} = self.body({handed})",
        *(f"        {name}.append(n{index})" for index, name in enumerate(stacks)),
        "        going = bool(keep)",
        "        index += 1",
        *(
            f"    t{index} = loops.stacked({name}, {_empty_stack(value)})"
            for index, (name, value) in enumerate(zip(stacks, scanned, strict=True))
        ),
        *_unwrapped(state, given, site.node.outputs),
        "    return " + ", ".join([*state, *(f"t{index}" for index in range(len(scanned)))]),
    ]
    module = _module("Loop", "\n".join(lines) + "\n", {"body": body})
    arguments = [site.tensor(0), site.tensor(1)]
    arguments += [site.builder.tensor(value) for value in (*given, *captured)]
    return _call(site, module, "loop", arguments, len(site.node.outputs))


def _unwrapped(
    names: Sequence[str], given: Sequence[ir.Value], results: Sequence[ir.Value]
) -> list[str]:
    """Return source lines that unwrap what starts optional and ends as a value.

    Only a loop of no trips can still hold nothing there; running it is then an error.
    """
    return [
        f"    assert {name} is not None, 'a loop of no trips has no value to return'"
        for name, start, end in zip(names, given, results, strict=False)
        if isinstance(start.type, ir.OptionalType) and not isinstance(end.type, ir.OptionalType)
    ]


def build_scan(site: Site) -> tuple[Any, ...]:
    """Build ``Scan``: a loop over slices of the scanned inputs."""
    graph = site.node.attributes["body"].as_graph()
    _take_dtypes(graph.inputs, site.node.inputs)
    body, captured = _body(graph, "ScanBody")
    number = site.attr("num_scan_inputs")
    states = len(graph.inputs) - number
    results = len(graph.outputs) - states
    axes = site.attr("scan_input_axes") or [0] * number
    back = site.attr("scan_input_directions") or [0] * number
    out_axes = site.attr("scan_output_axes") or [0] * results
    out_back = site.attr("scan_output_directions") or [0] * results
    state = [f"v{index}" for index in range(states)]
    scanned = [f"x{index}" for index in range(number)]
    outer = [f"a{index}" for index in range(len(captured))]
    parameters = [f"{name}: Tensor" for name in (*state, *scanned)]
    parameters += [f"{name}: {_type(value)}" for name, value in zip(outer, captured, strict=True)]
    slices = [
        f"loops.slice_at({name}, {axis}, index, {bool(turned)})"
        for name, axis, turned in zip(scanned, axes, back, strict=True)
    ]
    made = [*state, *(f"n{index}" for index in range(results))]
    lines = [
        f"def forward({', '.join(['self', *parameters])}) -> {_result(site.node.outputs)}:",
        *(f"    s{index}: list[Tensor] = []" for index in range(results)),
        f"    for index in range({scanned[0]}.size({axes[0]})):",
        f"        {', '.join(made)} = self.body({', '.join([*state, *slices, *outer])})",
        *(f"        s{index}.append(n{index})" for index in range(results)),
        *(
            f"    t{index} = loops.joined(s{index}, {_empty_stack(value)}, {axis}, {bool(turned)})"
            for index, (value, axis, turned) in enumerate(
                zip(graph.outputs[states:], out_axes, out_back, strict=True)
            )
        ),
        "    return " + ", ".join([*state, *(f"t{index}" for index in range(results))]),
    ]
    module = _module("Scan", "\n".join(lines) + "\n", {"body": body})
    arguments = [*site.tensors(), *(site.builder.tensor(value) for value in captured)]
    return _call(site, module, "scan", arguments, len(site.node.outputs))
