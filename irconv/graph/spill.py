"""New tensors in memory up to a budget, and beyond it in a file from which they are mapped."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir

from irconv.graph.reading.mapped import MappedTensor
from irconv.runtime.base import Array

__all__ = ["DEFAULT_BUDGET", "Spill"]

DEFAULT_BUDGET = 16 << 20
_FILE = "computed-tensors.bin"


class Spill:
    """Keeps what passes compute.

    Args:
        folder: Where the file is made once the budget is spent; it must outlive the tensors.
        budget: Bytes that may stay in memory.
    """

    def __init__(self, folder: Path, budget: int = DEFAULT_BUDGET) -> None:
        self._path = folder / _FILE
        self._left = budget
        self._end = 0

    def keep(self, array: Array, name: str) -> ir.TensorProtocol:
        """Return a tensor of the array's content.

        Args:
            array: Any array of numbers; strings stay in memory.
            name: Name of the tensor.

        Raises:
            OSError: If the file cannot be written.
        """
        tensor = ir.Tensor(array, name=name)
        if array.nbytes <= self._left or array.dtype.hasobject:
            self._left -= array.nbytes
            return tensor
        with self._path.open("ab") as file:
            file.write(tensor.tobytes())
        mapped = MappedTensor(self._path, self._end, tensor)
        self._end += array.nbytes
        return mapped
