"""The handle through which an emitter adds tensors and operators to one subgraph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_ints, constant_tensor
from irconv_tflite.emit.dtypes import dtype_of, item_size
from irconv_tflite.emit.graph import Constant, Operator, Shape, Subgraph, Tensor
from irconv_tflite.emit.ranks import require_rank
from irconv_tflite.emit.refusal import RefusalError

if TYPE_CHECKING:
    from irconv.runtime.base import Array

__all__ = ["GraphWriter", "Names"]

_EAGER_BYTES = 4096


class Names:
    """Gives every tensor of a model a name of its own."""

    def __init__(self) -> None:
        self._counters: dict[str, int] = {}

    def fresh(self, base: str) -> str:
        """Return ``base``, or ``base_1``, ``base_2``, … where it is taken."""
        name = base = base or "tensor"
        while name in self._counters:
            number = self._counters[base] = self._counters[base] + 1
            name = f"{base}_{number}"
        self._counters[name] = 0
        return name


class GraphWriter:
    """Writes one subgraph.

    Attributes:
        subgraph: What is written so far.
        subgraphs: Bodies of control flow written on the way, innermost first.
        names: Names of all tensors of the model.
        integers: For constants that were dequantized, the integers.
    """

    def __init__(self, name: str, names: Names | None = None) -> None:
        self.subgraph = Subgraph(name)
        self.subgraphs: list[Subgraph] = []
        self.names = names or Names()
        self._bound: dict[ir.Value, Tensor] = {}
        self._small: dict[tuple[str, tuple[int, ...], bytes], Tensor] = {}
        self._casts: dict[tuple[Tensor, str], Tensor] = {}
        self.integers: dict[Tensor, Tensor] = {}

    # What is known of a value

    @staticmethod
    def dtype(value: ir.Value | None) -> str:
        """Return the full dtype name of a value; a refusal where TFLite cannot hold it."""
        return dtype_of(_given(value))

    @staticmethod
    def shape(value: ir.Value | None) -> Shape:
        """Return the sizes of a value, None for dynamic ones; a refusal where it has no rank."""
        known = _given(value).shape
        if known is None:
            raise RefusalError(
                "UNKNOWN_RANK",
                f"the rank of {_given(value).name!r} is not known before the model runs",
                "give the exporter static shapes, or a model whose ranks are known",
            )
        return tuple(dim if isinstance(dim, int) else None for dim in known)

    def rank(self, value: ir.Value | None) -> int:
        """Return the rank of a value; a refusal where it is unknown."""
        return len(self.shape(value))

    def static_shape(self, value: ir.Value | None) -> tuple[int, ...]:
        """Return the sizes of a value; a refusal where one is dynamic."""
        shape = self.shape(value)
        if None in shape:
            dims = _given(value).shape
            names = [str(dim) for dim in dims or () if not isinstance(dim, int)]
            raise RefusalError(
                "DYNAMIC_SHAPE",
                f"{_given(value).name!r} has the dynamic dimensions {', '.join(names)}, and TFLite "
                f"needs their sizes here",
                "bind them with --shape",
            )
        return tuple(dim for dim in shape if dim is not None)

    @staticmethod
    def ints(value: ir.Value | None) -> tuple[int, ...] | None:
        """Return the items of a constant integer tensor, or None where it is not constant."""
        return constant_ints(value)

    def fixed_ints(self, value: ir.Value | None, what: str) -> tuple[int, ...]:
        """Return the items of an integer tensor; a refusal where it is not constant."""
        items = constant_ints(value)
        if items is None:
            raise RefusalError(
                "NOT_CONSTANT",
                f"TFLite needs {what} as a constant",
                "export the model with fixed values there, or bind its shapes with --shape",
            )
        return items

    @staticmethod
    def array(value: ir.Value | None) -> Array | None:
        """Return the array of a constant value, or None where it is not constant."""
        tensor = constant_tensor(value)
        return None if tensor is None else tensor.numpy()

    # Tensors

    def bind(self, value: ir.Value, tensor: Tensor) -> None:
        """Say which tensor holds a value."""
        self._bound[value] = tensor

    def is_bound(self, value: ir.Value) -> bool:
        """Return whether a tensor of this subgraph holds the value."""
        return value in self._bound

    def placeholder(self, value: ir.Value, name: str = "") -> Tensor:
        """Return a new tensor of the dtype and shape of a value, bound to it."""
        shape = None if value.shape is None else self.shape(value)
        tensor = Tensor(self.dtype(value), shape, self.names.fresh(name or value.name or ""))
        self._bound[value] = tensor
        return tensor

    def read(self, value: ir.Value | None, dtype: str | None = None) -> Tensor:
        """Return the tensor that holds a value, converted where another dtype is asked for."""
        value = _given(value)
        tensor = self._bound.get(value)
        if tensor is None:
            data = constant_tensor(value)
            tensor = self.placeholder(value) if data is None else self._initializer(value, data)
        if tensor.shape is None and value.shape is not None:
            tensor.shape = self.shape(value)
        return self.cast(tensor, dtype) if dtype else tensor

    def write(self, value: ir.Value, tensor: Tensor) -> None:
        """Say that a tensor is the result of a node, converted to the result's dtype."""
        dtype = self.dtype(value)
        if dtype != tensor.dtype:
            tensor = self.cast(tensor, dtype)
        self._bound[value] = tensor

    def _initializer(self, value: ir.Value, data: ir.TensorProtocol) -> Tensor:
        dtype = dtype_of(value) if value.dtype is not None else data.dtype.numpy().name
        shape = tuple(int(dim) for dim in data.shape.numpy())
        tensor = self.deferred(data.numpy, dtype, shape, value.name or "")
        self._bound[value] = tensor
        return tensor

    def deferred(
        self, load: Callable[[], Array], dtype: str, shape: tuple[int, ...], name: str = ""
    ) -> Tensor:
        """Return a constant whose array is computed when the file is written.

        Args:
            load: Returns the array.
            dtype: Its full dtype name.
            shape: Its shape.
            name: Base of the tensor's name.
        """
        nbytes = int(np.prod(shape, dtype=np.int64)) * item_size(dtype)
        return Tensor(dtype, shape, self.names.fresh(name or "constant"), Constant(load, nbytes))

    def constant(self, array: Any, dtype: str | None = None, name: str = "") -> Tensor:
        """Return a constant; equal small ones are one tensor."""
        data = np.asarray(array, dtype=dtype)
        key = (data.dtype.name, data.shape, data.tobytes()) if data.nbytes <= _EAGER_BYTES else None
        if key in self._small:
            return self._small[key]
        tensor = self.deferred(lambda: data, data.dtype.name, data.shape, name)
        if key is not None:
            self._small[key] = tensor
        return tensor

    def derived(
        self,
        tensor: Tensor,
        function: Callable[[Array], Array],
        shape: Sequence[int],
        *,
        moves: bool = True,
    ) -> Tensor:
        """Return a constant computed from another when the file is written.

        Args:
            tensor: A constant.
            function: Gives an array of the same dtype.
            shape: Shape of the result.
            moves: Whether the function only moves elements, so that the integers of a
                dequantized constant may be moved likewise.
        """
        constant = tensor.constant
        assert constant is not None
        result = self.deferred(
            lambda: function(constant.load()), tensor.dtype, tuple(shape), tensor.name
        )
        packed = self.integers.get(tensor)
        if moves and packed is not None:
            axis = _moved_axis(packed, function)
            if axis is not None and packed.quantization is not None:
                moved = self.derived(packed, function, shape)
                moved.quantization = replace(packed.quantization, axis=axis)
                self.keep_integers(result, moved)
        return result

    def keep_integers(self, tensor: Tensor, packed: Tensor) -> None:
        """Remember the integers that a float32 constant was dequantized from."""
        self.integers[tensor] = packed

    # Operators

    def op(
        self,
        code: str,
        inputs: Sequence[Tensor | None],
        shape: Shape | None,
        dtype: str | None = None,
        **options: Any,
    ) -> Tensor:
        """Add an operator of one result and return it.

        Args:
            code: Name in the schema's ``BuiltinOperator``.
            inputs: Operands; None for a left-out one.
            shape: Shape of the result.
            dtype: Dtype of the result; None takes the first operand's.
            options: Fields of the operator's options table.
        """
        if dtype is None:
            assert inputs[0] is not None
            dtype = inputs[0].dtype
        return self.ops(code, inputs, [(dtype, shape)], **options)[0]

    def ops(
        self,
        code: str,
        inputs: Sequence[Tensor | None],
        results: Sequence[tuple[str, Shape | None]],
        **options: Any,
    ) -> list[Tensor]:
        """Add an operator of several results, given as dtype and shape, and return them."""
        outputs = [Tensor(dtype, shape, self.names.fresh(code.lower())) for dtype, shape in results]
        self.add(Operator(code, list(inputs), outputs, options))
        return outputs

    def add(self, operator: Operator) -> None:
        """Add an operator as it stands; a refusal where it has too many dimensions."""
        require_rank(operator)
        self.subgraph.operators.append(operator)

    def cast(self, tensor: Tensor, dtype: str) -> Tensor:
        """Return a tensor converted to another dtype, a constant when the file is written."""
        if tensor.dtype == dtype:
            return tensor
        key = (tensor, dtype)
        if key not in self._casts:
            self._casts[key] = self._converted(tensor, dtype)
        return self._casts[key]

    def _converted(self, tensor: Tensor, dtype: str) -> Tensor:
        from irconv.runtime.values import numpy_dtype

        constant = tensor.constant
        if constant is None:
            return self._cast_by_kernel(tensor, dtype)
        assert tensor.is_static
        shape = tuple(dim or 0 for dim in tensor.shape or ())
        wanted = numpy_dtype(dtype)
        return self.deferred(lambda: constant.load().astype(wanted), dtype, shape, tensor.name)

    def _cast_by_kernel(self, tensor: Tensor, dtype: str) -> Tensor:
        """Add CAST, which knows every dtype but uint64; that one goes by the bits of int64."""
        if tensor.dtype == "uint64":
            return self.cast(self.op("BITCAST", [tensor], tensor.shape, "int64"), dtype)
        if dtype == "uint64":
            return self.op("BITCAST", [self.cast(tensor, "int64")], tensor.shape, "uint64")
        return self.op("CAST", [tensor], tensor.shape, dtype)

    def transpose(self, tensor: Tensor, permutation: Sequence[int]) -> Tensor:
        """Return a tensor with its dimensions in another order."""
        assert tensor.shape is not None
        if list(permutation) == list(range(len(permutation))):
            return tensor
        shape = tuple(tensor.shape[axis] for axis in permutation)
        if tensor.constant is not None:
            order = tuple(permutation)
            return self.derived(tensor, lambda array: array.transpose(order), _sizes(shape))
        return self.op("TRANSPOSE", [tensor, self.constant(permutation, "int32")], shape)

    def reshape(self, tensor: Tensor, shape: Sequence[int]) -> Tensor:
        """Return a tensor in another shape; at most one size may be -1 for the rest."""
        known: Shape = tuple(None if dim < 0 else dim for dim in shape)
        if None in known and tensor.is_static:
            total = int(np.prod(_sizes(tensor.shape or ()), dtype=np.int64))
            rest = int(np.prod([dim for dim in known if dim is not None], dtype=np.int64))
            known = tuple(total // max(rest, 1) if dim is None else dim for dim in known)
        if known == tensor.shape:
            return tensor
        if tensor.constant is not None:
            sizes = _sizes(known)
            return self.derived(tensor, lambda array: array.reshape(sizes), sizes)
        return self.op(
            "RESHAPE", [tensor, self.constant(shape, "int32")], known, newShape=list(shape)
        )

    def copy(self, tensor: Tensor) -> Tensor:
        """Return a tensor of the same content and another name."""
        if tensor.is_static:
            sizes = _sizes(tensor.shape or ())
            target = self.constant(np.array(sizes, np.int32))
        else:
            rank = None if tensor.shape is None else len(tensor.shape)
            target = self.op("SHAPE", [tensor], (rank,), "int32", outType="int32")
        return self.op("RESHAPE", [tensor, target], tensor.shape)


def _moved_axis(packed: Tensor, function: Callable[[Array], Array]) -> int | None:
    """Return where a function that moves elements puts the dimension with one scale an index.

    It is found by moving the indices of that dimension themselves; None where they do not end
    up along one dimension.
    """
    assert packed.quantization is not None
    count = len(packed.quantization.scales)
    if count == 1:
        return 0
    shape = _sizes(packed.shape or ())
    spread = [1] * len(shape)
    spread[packed.quantization.axis] = count
    moved = function(np.broadcast_to(np.arange(count).reshape(spread), shape))
    for axis, size in enumerate(moved.shape):
        along = np.arange(size).reshape([-1 if i == axis else 1 for i in range(moved.ndim)])
        if size == count and (moved == along).all():
            return axis
    return None


def _sizes(shape: Shape) -> tuple[int, ...]:
    assert None not in shape
    return tuple(dim for dim in shape if dim is not None)


def _given(value: ir.Value | None) -> ir.Value:
    if value is None:
        raise RefusalError("MISSING_INPUT", "a required input is left out", "export the model anew")
    return value
