"""Reading pickles without running them: what a PyTorch tensor file would import.

A pickle is a program. :func:`pickletools.genops` lists its instructions without executing any;
a file of plain tensors needs few of them and imports only PyTorch's own rebuild functions.
Everything else is reported as code that loading would run.
"""

from __future__ import annotations

import pickletools
import re
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from irconv.errors import InputError
from irconv.frontends.torch_files.zip_structure import (
    copy_member,
    open_zip,
    read_member,
    rooted_members,
    write_member,
)

__all__ = [
    "PICKLE_LIMIT",
    "TENSORS",
    "PickleRules",
    "copy_tensor_file",
    "dangers_of_pickle",
    "is_tensor_file_member",
]

PICKLE_LIMIT = 256 << 20
"""A pickle of more bytes is not read; weights are not part of it."""
_IN_MEMORY = 16 << 20

_OPCODE_NAMES = (
    "PROTO FRAME STOP MARK POP POP_MARK GLOBAL REDUCE BUILD BINPERSID MEMOIZE "
    "BINPUT LONG_BINPUT PUT BINGET LONG_BINGET GET "
    "NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT "
    "UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 SHORT_BINBYTES BINBYTES "
    "EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS "
    "EMPTY_DICT DICT SETITEM SETITEMS EMPTY_SET ADDITEMS"
)
_OPCODES = frozenset(_OPCODE_NAMES.split())
"""The instructions that files of plain tensors use; those that import or build by names taken
from the stack are not among them."""

_STORAGES = (
    "Float Double Half BFloat16 Long Int Short Char Byte Bool "
    "ComplexFloat ComplexDouble QInt8 QInt32 QUInt8 QUInt4x2 QUInt2x4"
)
_DTYPES = (
    "float64 float32 float16 bfloat16 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz "
    "float8_e8m0fnu int64 int32 int16 int8 uint64 uint32 uint16 uint8 bool complex32 complex64 "
    "complex128"
)
_GLOBALS = frozenset(
    {
        "builtins complex",
        "builtins set",
        "collections OrderedDict",
        "torch Size",
        "torch Tensor",
        "torch device",
        "torch._tensor _rebuild_from_type_v2",
        "torch._utils _rebuild_parameter",
        "torch._utils _rebuild_tensor",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_tensor_v3",
        "torch.nn.parameter Parameter",
        "torch.serialization _get_layout",
        "torch.storage UntypedStorage",
    }
    | {f"torch {name}Storage" for name in _STORAGES.split()}
    | {f"torch {name}" for name in _DTYPES.split()}
)
"""Importable names, ``module name``, that only rebuild plain tensors."""


@dataclass(frozen=True)
class PickleRules:
    """What a pickle of one kind may hold.

    Attributes:
        imports: Whether a name, ``module name``, may be imported.
        opcodes: The instructions that may occur.
    """

    imports: Callable[[str], bool]
    opcodes: frozenset[str]


TENSORS = PickleRules(_GLOBALS.__contains__, _OPCODES)
"""Containers of plain tensors, numbers and texts."""

_MEMBER = re.compile(
    r"data\.pkl|data/\d+|byteorder|version|\.data/(?:version|serialization_id)"
    r"|\.format_version|\.storage_alignment"
)


def is_tensor_file_member(path: str) -> bool:
    """Say whether :func:`torch.save` writes a member of this path below the top folder."""
    return _MEMBER.fullmatch(path) is not None


def dangers_of_pickle(pickle: bytes, rules: PickleRules = TENSORS) -> list[str]:
    """Return what unpickling would run beside what the rules allow, in order of occurrence.

    Args:
        pickle: The pickle.
        rules: What it may hold.

    Raises:
        InputError: If the bytes are no whole pickle, or bytes follow it.
    """
    found: dict[str, None] = {}
    end = 0
    try:
        for opcode, argument, position in pickletools.genops(pickle):
            if opcode.name == "GLOBAL" and not rules.imports(str(argument)):
                found[f"it imports {str(argument).replace(' ', '.', 1)}"] = None
            elif opcode.name not in rules.opcodes:
                found[f"it uses the pickle instruction {opcode.name}"] = None
            end = position or 0
    except Exception as error:
        if found:
            return list(found)
        raise InputError(
            f"a pickle in the archive is broken: {error}",
            where="reading the model",
            hint="the file is damaged; write it again",
        ) from error
    if end + 1 != len(pickle):
        found["bytes follow its pickle"] = None
    return list(found)


def copy_tensor_file(
    source: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    target: zipfile.ZipFile | None,
    name: str,
) -> list[str]:
    """Check a member that :func:`torch.load` would read, and copy it member by member.

    Args:
        source: The archive that holds it.
        member: The member: an archive in itself, with ``data.pkl`` in it.
        target: Where to copy it, or None to check alone.
        name: Its name there.

    Returns:
        What loading it would run; nothing is copied then.

    Raises:
        InputError: If it is broken.
    """
    if member.file_size == 0:
        if target is not None:
            copy_member(source, member, target, name)
        return []
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as inner:
        with source.open(member) as read:
            start = read.read(2)
            if start != b"PK":
                return ["it is a bare pickle, not an archive of tensors"]
            inner.write(start)
            while chunk := read.read(1 << 20):
                inner.write(chunk)
        inner.seek(0)
        return _copy_inner(inner, target, name)


def _copy_inner(inner: IO[bytes], target: zipfile.ZipFile | None, name: str) -> list[str]:
    with open_zip(inner, f"member {name!r}") as archive:
        members = rooted_members(archive, f"member {name!r}")
        strange = sorted(path for path in members if not is_tensor_file_member(path))
        if strange:
            return [f"it holds {strange[0]!r}, which is no part of a tensor file"]
        if "data.pkl" not in members:
            raise InputError(f"member {name!r} has no data.pkl", where="reading the model")
        dangers = dangers_of_pickle(read_member(archive, members["data.pkl"], PICKLE_LIMIT))
        if dangers or target is None:
            return dangers
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as rebuilt:
            with zipfile.ZipFile(rebuilt, "w") as copy:
                for path, entry in members.items():
                    copy_member(archive, entry, copy, f"archive/{path}")
            rebuilt.seek(0)
            write_member(target, name, rebuilt)
    return []
