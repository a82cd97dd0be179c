"""The ranges under which a generated model with free dimensions is compiled."""

from __future__ import annotations

from pathlib import Path

import onnx

from irconv.runtime.values import load_samples

__all__ = ["shape_options"]

_FEW = ("batch", "rows")
_MOST_OF_FEW, _MOST = 8, 64


def shape_options(path: Path) -> list[str]:
    """Return a ``--shape`` option for each named dimension, best at the first sample's size."""
    inputs = onnx.load(path, load_external_data=False).graph.input
    sample = load_samples(path.with_suffix(".npz"))[0]
    sizes = {
        dim.dim_param: sample[value.name].shape[axis]
        for value in inputs
        for axis, dim in enumerate(value.type.tensor_type.shape.dim)
        if dim.dim_param
    }
    limits = {name: _MOST_OF_FEW if name in _FEW else _MOST for name in sizes}
    return [f"{name}=1..{max(size, limits[name])}@{size}" for name, size in sizes.items()]
