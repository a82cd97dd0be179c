"""Exporting an architecture to an ONNX file with sample inputs beside it."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from typing import Literal

import torch

from architectures.registry import Architecture, Network
from irconv.runtime.values import save_samples

__all__ = ["FORMS", "Form", "dynamic_shapes", "export", "require_ordinary", "widened"]

Form = Literal["static", "dynamic"]
FORMS: tuple[Form, ...] = ("static", "dynamic")
OPSET = 20
_LEAST_OUTPUT, _MOST_OUTPUT = 1e-3, 1e4


def export(architecture: Architecture, form: Form, path: Path) -> None:
    """Write ``path`` and sample inputs, as ``.npz`` of the same name.

    The dynamic form has two samples, of different sizes.

    Args:
        architecture: What to export.
        form: ``static`` keeps the sample's sizes; ``dynamic`` names those that vary.
        path: Where the ONNX file goes; it appears complete or not at all.

    Raises:
        ValueError: If an output says too little: constant, not finite, vanishing or huge.
    """
    torch.manual_seed(0)
    network = architecture.build()
    network.module.eval()
    values = tuple(network.inputs.values())
    with torch.no_grad():
        outputs = network.module(*values)
    for output in outputs if isinstance(outputs, tuple) else (outputs,):
        require_ordinary(architecture.name, output)
    shapes = None
    if form == "dynamic":
        values = widened(network)
        shapes = dynamic_shapes(network)
    partial = path.with_suffix(".partial")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.module,
            values,
            partial,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            external_data=False,
            input_names=list(network.inputs),
            output_names=list(network.outputs) or None,
            dynamic_shapes=shapes,
        )
    feeds = [dict(network.inputs)]
    if form == "dynamic":
        feeds.append(dict(zip(network.inputs, values, strict=True)))
    arrays = [{name: value.numpy() for name, value in sample.items()} for sample in feeds]
    save_samples(path.with_suffix(".npz"), arrays)
    partial.rename(path)


def widened(network: Network) -> tuple[torch.Tensor, ...]:
    """Return the inputs with two where a free dimension had one, which would become a constant."""
    values = []
    for name, value in network.inputs.items():
        for axis in network.dims.get(name, {}):
            if value.shape[axis] == 1:
                value = torch.cat([value, value.flip(-1)], axis)
        values.append(value)
    return tuple(values)


def dynamic_shapes(network: Network) -> tuple[object, ...]:
    """Return the names of the free dimensions, nested as the parameters of the network are."""
    free = [dict(network.dims.get(name, {})) for name in network.inputs]
    shapes: list[object] = []
    for parameter in inspect.signature(network.module.forward).parameters.values():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            shapes.append(tuple(free))
            break
        if free:
            shapes.append(free.pop(0))
    return tuple(shapes)


def require_ordinary(name: str, output: torch.Tensor) -> None:
    """Raise ``ValueError`` for an output that is constant, not finite, vanishing or huge."""
    largest, spread = float(output.abs().max()), float(output.std())
    if not (_LEAST_OUTPUT < largest < _MOST_OUTPUT and spread > _LEAST_OUTPUT * largest):
        raise ValueError(f"{name}: an output reaches {largest:.3g} and spreads by {spread:.3g}")
