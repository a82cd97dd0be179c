"""The header of a TensorRT-RTX engine file: what can be checked without a GPU.

The layout is not documented. It was read off engines of TensorRT-RTX 1.7: ``vtrt`` at byte 0,
the size of the whole file as a little-endian 64-bit integer at byte 16, and the four numbers of
the builder's version in bytes 24 to 27. A truncated or foreign file is caught by it; a changed
weight is not, which is what the bundle's SHA-256 is for.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from irconv.errors import MismatchError

__all__ = ["EngineHeader", "read_header"]

_MAGIC = b"vtrt"
_LAYOUT = struct.Struct("<4s12xQ4B")


@dataclass(frozen=True)
class EngineHeader:
    """What the header of an engine file says.

    Attributes:
        size: Size of the file in bytes.
        version: Version of the TensorRT-RTX that built it, such as ``1.7.1.116``.
    """

    size: int
    version: str


def read_header(path: Path) -> EngineHeader:
    """Read and check the header of the engine file ``path``.

    Raises:
        MismatchError: If the file is no engine, or shorter or longer than its header says.
    """
    with path.open("rb") as file:
        start = file.read(_LAYOUT.size)
    if len(start) < _LAYOUT.size or not start.startswith(_MAGIC):
        raise _broken(path, "it does not begin like a TensorRT-RTX engine")
    _, size, *version = _LAYOUT.unpack(start)
    actual = path.stat().st_size
    if size != actual:
        raise _broken(path, f"its header says {size} bytes, but it has {actual}")
    return EngineHeader(size, ".".join(map(str, version)))


def _broken(path: Path, what: str) -> MismatchError:
    return MismatchError(
        f"{path.name} is no sound engine: {what}",
        where="engine header",
        hint="compile the model again",
    )
