"""What a pickle would import, read without running it.

A pickle is a program that may import and call anything. :func:`pickletools.genops` lists its
instructions and executes none, which is enough to name what it imports, so that a user can
decide on ``--trust``. Files of joblib, which hold raw arrays between the instructions, are
searched for instructions that import behind the first array.
"""

from __future__ import annotations

import bz2
import io
import lzma
import pickletools
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from irconv.errors import InputError

__all__ = ["PickleImports", "imports_of_pickle"]

_MOST_BYTES = 256 << 20
_CHUNK = 1 << 20
_RAW_ARRAY = "joblib.numpy_pickle.NumpyArrayWrapper"
_UNKNOWN = "a name that it makes up as it runs"
_DECOMPRESSORS: tuple[tuple[bytes, Any], ...] = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(zlib.MAX_WBITS | 32)),
    (b"x", lambda: zlib.decompressobj(zlib.MAX_WBITS | 32)),
    (b"BZ", bz2.BZ2Decompressor),
    (b"\xfd7z", lzma.LZMADecompressor),
    (b"]\x00", lzma.LZMADecompressor),
)
"""How each compression of joblib begins."""

_IMPORT = re.compile(
    rb"c(?P<module>[A-Za-z_][\w.]*)\n(?P<name>[A-Za-z_][\w.]*)\n"
    rb"|(?:\x8c.(?P<module4>[A-Za-z_][\w.]*)\x94?|(?:h.|j....))"
    rb"\x8c.(?P<name4>[A-Za-z_][\w.]*)\x94?\x93",
    re.DOTALL,
)


@dataclass(frozen=True)
class PickleImports:
    """What a pickle would import.

    Attributes:
        names: ``module.name`` of each, in order of occurrence.
        whole: Whether every instruction was read, so that nothing else can be imported.
    """

    names: tuple[str, ...]
    whole: bool


def imports_of_pickle(file: IO[bytes]) -> PickleImports:
    """Read a pickle, compressed or not, from the position of ``file``; nothing of it is run.

    Raises:
        InputError: If the file does not begin like a pickle.
    """
    data, cut = _unpacked(file)
    names: dict[str, None] = {}
    whole = False
    position = 0
    try:
        for name, behind in _imports(data):
            names[name], position = None, behind
            if name == _RAW_ARRAY:
                break
        else:
            whole = not cut
    except Exception as error:
        if not position:
            raise InputError(
                f"the file is no pickle: {error}",
                where="reading a pickle",
                hint="the file is damaged or of another format",
            ) from error
    if not whole:
        names |= dict.fromkeys(_searched(data, position))
    return PickleImports(tuple(names), whole)


def _unpacked(file: IO[bytes]) -> tuple[bytes, bool]:
    """Return the first bytes of the pickle, and whether there are more."""
    data = file.read(_MOST_BYTES + 1)
    for magic, make in _DECOMPRESSORS:
        if data.startswith(magic):
            try:
                unpacked = make().decompress(data, _MOST_BYTES + 1)
            except (zlib.error, OSError, lzma.LZMAError, EOFError) as error:
                raise InputError(
                    f"the file is no compressed pickle: {error}",
                    where="reading a pickle",
                    hint="the file is damaged or of another format",
                ) from error
            data = unpacked
            break
    return data[:_MOST_BYTES], len(data) > _MOST_BYTES


def _imports(data: bytes) -> Iterator[tuple[str, int]]:
    """Yield what is imported and the position behind the instruction that does it."""
    memo: dict[int, str | None] = {}
    pushed: list[str | None] = [None, None]
    stream = io.BytesIO(data)
    for opcode, argument, _ in pickletools.genops(stream):
        match opcode.name:
            case "PROTO" | "FRAME":
                continue
            case "MEMOIZE":
                memo[len(memo)] = pushed[-1]
                continue
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[int(str(argument))] = pushed[-1]
                continue
            case "GET" | "BINGET" | "LONG_BINGET":
                pushed = [pushed[-1], memo.get(int(str(argument)))]
                continue
            case "GLOBAL" | "INST":
                yield str(argument).replace(" ", ".", 1), stream.tell()
            case "STACK_GLOBAL":
                module, name = pushed
                known = module is not None and name is not None
                yield f"{module}.{name}" if known else _UNKNOWN, stream.tell()
            case "EXT1" | "EXT2" | "EXT4":
                yield f"the extension {argument} of copyreg", stream.tell()
            case text if "UNICODE" in text:
                pushed = [pushed[-1], str(argument)]
                continue
        pushed = [pushed[-1], None]


def _searched(data: bytes, start: int) -> Iterator[str]:
    for found in _IMPORT.finditer(data, start):
        module, name = found["module"] or found["module4"], found["name"] or found["name4"]
        yield f"{module.decode() if module else '…'}.{name.decode()}"
