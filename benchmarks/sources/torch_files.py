"""Saving the zoo's architectures, and scripted modules, as PyTorch saves models."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from architectures.export import require_ordinary, widened
from architectures.registry import Network, architectures
from architectures.weights import randomize

from irconv.inspection import inspect_path
from irconv.runtime.values import save_samples
from sources.catalog import Source

__all__ = ["write"]


def write(source: Source, path: Path) -> None:
    """Write a source, and sample inputs beside it as ``.npz``.

    Raises:
        ValueError: If an output says too little: constant, not finite, vanishing or huge.
    """
    torch.manual_seed(0)
    build = _SCRIPTED.get(source.model) or architectures()[source.model].build
    network = build()
    network.module.eval()
    values = widened(network)
    with torch.no_grad():
        outputs = network.module(*values)
    for output in outputs if isinstance(outputs, tuple) else (outputs,):
        require_ordinary(source.name, output)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if source.form == "pt2":
            names = _write_program(network, values, path)
        else:
            names = _write_script(source, network, values, path)
    feeds = {name: value.numpy() for name, value in zip(names, values, strict=True)}
    save_samples(path.with_name(f"{source.name}.npz"), [feeds])


def _write_program(network: Network, values: tuple[torch.Tensor, ...], path: Path) -> list[str]:
    dynamic = [
        dict.fromkeys(network.dims.get(name, {}), torch.export.Dim.AUTO) for name in network.inputs
    ]
    program = torch.export.export(
        network.module, values, dynamic_shapes=_as_parameters(network, dynamic)
    )
    torch.export.save(program, path)
    return [name for name in program.graph_signature.user_inputs if isinstance(name, str)]


def _as_parameters(network: Network, free: list[dict[int, object]]) -> tuple[object, ...]:
    """Nest what there is for each input as the parameters of the network are."""
    left, shapes = list(free), []
    for parameter in inspect.signature(network.module.forward).parameters.values():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            return (*shapes, tuple(left))
        if left:
            shapes.append(left.pop(0))
    return tuple(shapes)


def _write_script(
    source: Source, network: Network, values: tuple[torch.Tensor, ...], path: Path
) -> list[str]:
    scripted = source.model in _SCRIPTED
    module = (
        torch.jit.script(network.module)
        if scripted
        else torch.jit.trace(network.module, values, check_trace=False)
    )
    module.save(str(path))
    return [entry["name"] for entry in inspect_path(str(path))["inputs"]]


class _Loop(torch.nn.Module):
    """Refines a state until it hardly moves, at most as often as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.step = torch.nn.Linear(8, 8)

    def forward(self, x: torch.Tensor, most: torch.Tensor) -> torch.Tensor:
        count = 0
        change = torch.ones(1)
        while bool(change > 1e-3) and count < int(most):
            following = torch.tanh(self.step(x)) + 0.1 * x
            change = (following - x).abs().max()
            x = following
            count += 1
        return x


class _Branches(torch.nn.Module):
    """Takes one of two ways by the data, and repeats it for every channel."""

    def __init__(self) -> None:
        super().__init__()
        self.warm = torch.nn.Linear(6, 6)
        self.cold = torch.nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(3):
            if bool(x.sum() > 0):
                x = torch.relu(self.warm(x)) - 0.5
            else:
                x = torch.tanh(self.cold(x)) + 0.5
        return x


class _Cells(torch.nn.Module):
    """A recurrent cell in a loop over however many steps there are."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = torch.nn.GRUCell(5, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = torch.zeros(x.size(1), 7)
        for step in range(x.size(0)):
            state = self.cell(x[step], state)
        return state


def _scripted(make: Callable[[], torch.nn.Module], **inputs: torch.Tensor) -> Network:
    return Network(randomize(make(), *inputs.values()), inputs)


def _normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


_SCRIPTED: Mapping[str, Callable[[], Network]] = {
    "scripted-loop": lambda: _scripted(_Loop, x=_normal(3, 8), most=torch.tensor(5)),
    "scripted-branches": lambda: _scripted(_Branches, x=_normal(2, 6)),
    "scripted-cells": lambda: _scripted(_Cells, x=_normal(4, 2, 5)),
}
