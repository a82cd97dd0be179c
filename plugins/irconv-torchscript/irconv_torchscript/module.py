"""From a legalized model to a ``torch.fx.GraphModule``: the source of every form of artifact.

    module = build_module(model)            # takes the model's inputs in order, as tensors
    inputs = example_inputs(model, shapes)  # tensors of zeros that it can be called with
    outputs = module(*inputs)               # one tensor, or a tuple of the outputs in order

Weights are buffers of the module and share the memory of the model's tensors. The module may be
scripted (``torch.jit.script``) or exported (``torch.export.export``); sizes are followed as
integers, so dynamic dimensions stay dynamic in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from irconv.graph.interface import input_specs
from irconv_torchscript.dtypes import INTERFACE

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.shapes import DimRange

__all__ = ["build_module", "example_inputs", "example_sizes"]

_FIRST_EXAMPLE = 3


def build_module(model: ir.Model) -> Any:
    """Return a ``torch.fx.GraphModule`` that computes ``model``.

    Args:
        model: A model that :meth:`TorchscriptBackend.check` has nothing against, legalized by
            the passes of :meth:`TorchscriptBackend.legalization`.

    Returns:
        The module in evaluation mode. It takes the inputs in order, a tensor each (a list of
        tensors for a sequence), and returns the only output, or a tuple of all in order.
    """
    from irconv_torchscript.builder import GraphBuilder

    return GraphBuilder(model.graph).build()


def example_sizes(model: ir.Model, shapes: Mapping[str, DimRange]) -> dict[str, int]:
    """Return a size for every named dimension of the inputs.

    It is the best size of the range that was given; other names get different sizes, so that
    none is taken for another.
    """
    sizes = {name: bounds.best for name, bounds in shapes.items()}
    free = _FIRST_EXAMPLE
    for spec in input_specs(model):
        for dim in spec.shape or ():
            if isinstance(dim, str) and dim not in sizes:
                while free in sizes.values():
                    free += 1
                sizes[dim] = free
    return sizes


def example_inputs(model: ir.Model, shapes: Mapping[str, DimRange]) -> tuple[Any, ...]:
    """Return tensors of zeros with the dtypes and shapes of the inputs.

    Args:
        model: The model; every input must be a tensor of known rank.
        shapes: Ranges of named dimensions.
    """
    import torch

    sizes = example_sizes(model, shapes)
    dtypes = {value.name: value.dtype for value in model.graph.inputs}
    examples = []
    for spec in input_specs(model):
        dtype = dtypes[spec.name]
        assert spec.shape is not None, f"input {spec.name!r} has no known rank"
        assert dtype is not None, f"input {spec.name!r} has no known dtype"
        shape = [_size(dim, sizes) for dim in spec.shape]
        examples.append(torch.zeros(shape, dtype=getattr(torch, INTERFACE[dtype])))
    return tuple(examples)


def _size(dim: int | str | None, sizes: Mapping[str, int]) -> int:
    if isinstance(dim, int):
        return dim
    return sizes[dim] if dim is not None else _FIRST_EXAMPLE
