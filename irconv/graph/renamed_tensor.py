"""The same data under another name."""

from __future__ import annotations

import onnx_ir as ir

__all__ = ["renamed_tensor"]

_SMALL_BYTES = 1 << 12


def renamed_tensor(tensor: ir.TensorProtocol, name: str) -> ir.TensorProtocol:
    """Return a tensor of the same data that may bear a name; other values may share the old.

    Args:
        tensor: The data, which is read only where it is small.
        name: The name of the new tensor.
    """
    if isinstance(tensor, ir.StringTensor):
        return ir.StringTensor(list(tensor.string_data()), shape=tensor.shape, name=name)
    if tensor.nbytes <= _SMALL_BYTES and tensor.dtype != ir.DataType.STRING:
        return ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=name)
    shape = ir.Shape(tensor.shape.numpy())
    return ir.LazyTensor(lambda: tensor, tensor.dtype, shape, name=name)
