"""Reading the header of a safetensors file: names, dtypes, shapes and places of tensors.

The format (https://github.com/huggingface/safetensors): eight bytes with the length of a JSON
header, the header, and the bytes of the tensors one behind the other.
"""

from __future__ import annotations

import json
from typing import IO, Any

from irconv.errors import InputError
from irconv.frontends.torch_files.tensor_facts import TensorFacts

__all__ = ["read_header"]

_LONGEST_HEADER = 100_000_000
_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
    "C64": "complex64",
}  # fmt: skip


def read_header(stream: IO[bytes]) -> dict[str, TensorFacts]:
    """Return the tensors of a safetensors file by name.

    Raises:
        InputError: If the header is broken, or places a tensor outside of the file or over
            another one.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    length = int.from_bytes(stream.read(8), "little")
    if length > min(_LONGEST_HEADER, size - 8):
        raise _broken(f"its header claims {length} bytes")
    try:
        header = json.loads(stream.read(length).decode("utf-8"))
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        tensors = {name: _tensor(name, entry) for name, entry in entries.items()}
        places = sorted((entry["data_offsets"], name) for name, entry in entries.items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _broken(f"its header is of another form: {error!r}") from error
    at = 0
    for (start, end), name in places:
        if start != at:
            raise _broken(f"{name[:120]!r} does not stand where the tensor before it ends")
        if end - start != tensors[name].bytes_needed:
            raise _broken(
                f"it gives {name[:120]!r} {end - start} bytes, which needs "
                f"{tensors[name].bytes_needed}"
            )
        at = end
    if 8 + length + at != size:
        raise _broken(f"its tensors take {at} bytes, but {size - 8 - length} are there")
    return tensors


def _tensor(name: str, entry: Any) -> TensorFacts:
    dtype = _DTYPES[entry["dtype"]]
    shape = tuple(entry["shape"])
    if not all(type(dim) is int and dim >= 0 for dim in (*shape, *entry["data_offsets"])):
        raise ValueError("a size or a place is no whole number")
    strides: list[int] = []
    step = 1
    for dim in reversed(shape):
        strides.insert(0, step)
        step *= dim
    return TensorFacts(dtype, shape, tuple(strides), 0, name)


def _broken(reason: str) -> InputError:
    return InputError(
        f"the safetensors file is broken: {reason}",
        where="reading the model",
        hint="the file is truncated or damaged; write it again",
    )
