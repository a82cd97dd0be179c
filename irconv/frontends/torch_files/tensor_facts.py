"""What a pickle of tensors says of them, read by an unpickler that builds nothing real.

Every name that the pickle imports stands for an inert object here, so reading it can neither
run code nor take the memory of a tensor. The pickle must have passed
:func:`irconv.frontends.torch_files.pickle_scan.dangers_of_pickle` before.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from irconv.errors import InputError

__all__ = [
    "ITEM_BYTES",
    "ScriptObject",
    "TensorFacts",
    "check_stored",
    "count_parameters",
    "named_tensors",
    "read_facts",
]

ITEM_BYTES: Mapping[str, int] = {
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 8),
    **dict.fromkeys(("float32", "int32", "uint32", "qint32", "complex32"), 4),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    **dict.fromkeys(("int8", "uint8", "bool", "qint8", "quint8", "quint4x2", "quint2x4"), 1),
    **dict.fromkeys(("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2"), 1),
    **dict.fromkeys(("float8_e5m2fnuz", "float8_e8m0fnu"), 1),
    "complex128": 16,
}
"""Bytes of an element by the name of its dtype."""

_STORAGE_DTYPES = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16",
    "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8",
    "Bool": "bool", "ComplexFloat": "complex64", "ComplexDouble": "complex128",
    "QInt8": "qint8", "QInt32": "qint32", "QUInt8": "quint8",
    "QUInt4x2": "quint4x2", "QUInt2x4": "quint2x4", "Untyped": "uint8",
}  # fmt: skip


@dataclass(frozen=True)
class TensorFacts:
    """A tensor as a pickle describes it.

    Attributes:
        dtype: Full dtype name.
        shape: Its sizes.
        strides: Its strides, in elements.
        offset: Elements of its storage before its first one.
        storage: Name of the member with the storage's bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    storage: str

    @property
    def size(self) -> int:
        """The number of elements."""
        count = 1
        for dim in self.shape:
            count *= dim
        return count

    @property
    def bytes_needed(self) -> int:
        """The bytes that its storage must have."""
        if 0 in self.shape:
            return 0
        pairs = zip(self.shape, self.strides, strict=True)
        last = self.offset + sum((size - 1) * stride for size, stride in pairs)
        return (last + 1) * ITEM_BYTES[self.dtype]


class ScriptObject:
    """An object of a class that the archive's own code defines; only its state is kept."""

    state: object = None

    def __new__(cls, *_: object) -> ScriptObject:
        """Take any arguments."""
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Keep the state as it is."""
        self.state = state


class _Dict(dict[Any, Any]):
    """A dictionary that may have attributes, as an ``OrderedDict`` may."""


class _Named:
    """Anything else that a pickle of tensors may call or refer to."""

    def __init__(self, *_: object) -> None: ...


def _tensor(storage: Any, offset: int, shape: Any, strides: Any, *_: object) -> TensorFacts:
    kind, dtype, key, _device, _count = storage
    facts = TensorFacts(dtype, tuple(shape), tuple(strides), offset, key)
    numbers = (offset, *facts.shape, *facts.strides)
    if kind != "storage" or not isinstance(key, str):
        raise ValueError("a tensor has no storage")
    if len(facts.shape) != len(facts.strides) or not all(type(n) is int for n in numbers):
        raise ValueError("a tensor's sizes and strides are no whole numbers")
    if min(numbers) < 0:
        raise ValueError("a tensor has a negative size, stride or offset")
    return facts


def _typed_tensor(
    storage: Any, offset: int, shape: Any, strides: Any, grad: object, hooks: object, dtype: str
) -> TensorFacts:
    facts = _tensor(storage, offset, shape, strides)
    return TensorFacts(dtype, facts.shape, facts.strides, offset, facts.storage)


def _first(value: object, *_: object) -> object:
    return value


def _apply(
    function: Callable[..., object], _type: object, arguments: Any, _state: object
) -> object:
    return function(*arguments)


_INERT: Mapping[str, Any] = {
    "builtins.set": set,
    "collections.OrderedDict": _Dict,
    "torch.Size": tuple,
    "torch._tensor._rebuild_from_type_v2": _apply,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_qtensor": _tensor,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    **{f"torch.{name}Storage": dtype for name, dtype in _STORAGE_DTYPES.items()},
    "torch.storage.UntypedStorage": "uint8",
    **{f"torch.{name}": name for name in ITEM_BYTES},
}


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "__torch__":
            return ScriptObject
        if module == "torch.jit._pickle":
            return _first
        return _INERT.get(f"{module}.{name}", _Named)

    def persistent_load(self, pid: Any) -> Any:
        return pid


def read_facts(content: bytes, what: str) -> Any:
    """Return the value of a pickle with :class:`TensorFacts` in the place of tensors.

    Args:
        content: A pickle that was judged before.
        what: How to call it in messages.

    Raises:
        InputError: If it is broken.
    """
    try:
        return _InertUnpickler(io.BytesIO(content)).load()
    except Exception as error:
        raise InputError(
            f"{what} is broken: {error}",
            where="reading the model",
            hint="the file is damaged; write it again",
        ) from error


def named_tensors(value: object) -> Iterator[tuple[str, TensorFacts]]:
    """Yield every tensor in a value of :func:`read_facts` with its dotted name, each once."""
    stack: list[tuple[str, object]] = [("", value)]
    seen: set[int] = set()
    while stack:
        name, item = stack.pop()
        if isinstance(item, TensorFacts):
            yield name, item
            continue
        if id(item) in seen:
            continue
        seen.add(id(item))
        children = item.state if isinstance(item, ScriptObject) else item
        if isinstance(children, ScriptObject):
            stack.append((name, children))
            continue
        pairs: list[tuple[object, object]] = []
        if isinstance(children, dict):
            pairs = list(children.items())
        elif isinstance(children, (list, tuple)):
            pairs = list(enumerate(children))
        stack += [(f"{name}.{key}" if name else str(key), child) for key, child in reversed(pairs)]


def check_stored(
    tensors: Mapping[str, TensorFacts],
    folder: str,
    members: Mapping[str, zipfile.ZipInfo],
    what: str,
) -> None:
    """Hold tensors to the bytes that are there, before anyone takes memory for them.

    Args:
        tensors: The tensors by name.
        folder: Folder of their storages in the archive.
        members: Members of the archive.
        what: How to call the archive in messages.

    Raises:
        InputError: If a storage is missing, or smaller than a tensor in it.
    """
    for name, tensor in tensors.items():
        member = members.get(f"{folder}/{tensor.storage}")
        available = member.file_size if member is not None else 0
        if member is None or tensor.bytes_needed > available:
            raise InputError(
                f"{what} describes {name[:120]!r} by {tensor.bytes_needed} bytes, but {available} "
                "are there",
                where="reading the model",
                hint="the file is damaged; write it again",
            )


def count_parameters(tensors: Iterable[TensorFacts]) -> dict[str, Any]:
    """Return count, bytes and dtypes of tensors; one that is shared counts once."""
    unique = {(t.storage, t.offset, t.shape): t for t in tensors}.values()
    dtypes: dict[str, int] = {}
    for tensor in unique:
        dtypes[tensor.dtype] = dtypes.get(tensor.dtype, 0) + tensor.size
    return {
        "parameters": sum(dtypes.values()),
        "parameter_bytes": sum(ITEM_BYTES[name] * count for name, count in dtypes.items()),
        "dtypes": dtypes,
    }
