"""Reading a ``.pt2`` archive with irconv's own eyes, and copying what is safe of it.

Loading a hostile ``.pt2`` by :func:`torch.export.load` executes code: its sample inputs,
pickled weights and constants are unpickled, and texts of its graph are evaluated. This module
needs no PyTorch. It knows the layout that ``torch.export.save`` writes (archive version 0),
judges every member, and writes a fresh archive of the judged bytes, so that PyTorch reads
exactly what was judged: not another reading of an ambiguous zip, nor a file changed meanwhile.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from irconv.errors import InputError
from irconv.frontends.pytorch.program import dangers_of_program, parse_json
from irconv.frontends.torch_files.pickle_scan import copy_tensor_file
from irconv.frontends.torch_files.zip_structure import (
    copy_member,
    open_zip,
    read_member,
    rooted_members,
)

__all__ = ["ITEM_BYTES", "UNBOUNDED", "ProgramArchive", "read_program_archive"]

UNBOUNDED = 1 << 62
"""An upper bound of a dimension from here on means that there is none."""

_MODEL = "models/model.json"
_WEIGHTS = "data/weights/model_weights_config.json"
_CONSTANTS = "data/constants/model_constants_config.json"
_SAMPLES = "data/sample_inputs/model.pt"
_OLD_WEIGHTS = "data/weights/model.pt"
_OLD_CONSTANTS = "data/constants/model.pt"
_COPIED_ROOT = "program"
_JSON_LIMIT = 1 << 30
_TEXT_LIMIT = 4096

_PLAIN = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/(?:version|serialization_id)"
    r"|\.format_version|\.storage_alignment"
)
_PAYLOAD = re.compile(r"data/(?:weights/weight|constants/tensor)_\d+")
_IGNORED = re.compile(r"extra/.*")
_CODE = re.compile(
    r"(?P<library>.*\.(?:so|dylib|dll|pyd|cubin|py))|(?P<compiled>data/(?:aotinductor|executorch|mtia)/.*)"
    r"|(?P<object>data/constants/(?:custom|opaque)_obj_\d+)"
)

ITEM_BYTES: Mapping[int, tuple[str, int]] = {
    1: ("uint8", 1),
    2: ("int8", 1),
    3: ("int16", 2),
    4: ("int32", 4),
    5: ("int64", 8),
    6: ("float16", 2),
    7: ("float32", 4),
    8: ("float64", 8),
    9: ("complex32", 4),
    10: ("complex64", 8),
    11: ("complex128", 16),
    12: ("bool", 1),
    13: ("bfloat16", 2),
    28: ("uint16", 2),
    29: ("float8_e4m3fn", 1),
    30: ("float8_e5m2", 1),
    31: ("float8_e4m3fnuz", 1),
    32: ("float8_e5m2fnuz", 1),
    33: ("float8_e8m0fnu", 1),
    34: ("uint32", 4),
    35: ("uint64", 8),
}
"""Name and bytes of each scalar type by its number in the program's JSON."""


@dataclass(frozen=True)
class ProgramArchive:
    """What a ``.pt2`` says of itself, as JSON, and what loading it would run.

    Attributes:
        program: The parsed ``models/model.json``.
        weights: Parameters and buffers by name, each with the payload's metadata.
        constants: Tensor constants by name, likewise.
        archive_version: The version of the archive's layout.
        pickles: Members that PyTorch unpickles.
        dangers: What loading or running it would execute; empty for an honest file.
        notes: What was left out of the copy.
    """

    program: Mapping[str, Any]
    weights: Mapping[str, Any]
    constants: Mapping[str, Any]
    archive_version: str
    pickles: tuple[str, ...]
    dangers: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())


def read_program_archive(stream: IO[bytes], copy_to: Path | None = None) -> ProgramArchive:
    """Judge a ``.pt2``, and copy it where it is safe.

    Args:
        stream: The file's bytes, seekable.
        copy_to: Where to write the judged copy; it must not exist. Nothing is left there when
            the archive holds dangers.

    Raises:
        InputError: If it is no exported program in the layout that this version reads, or is
            damaged.
    """
    with open_zip(stream, "the .pt2 file") as archive:
        members = rooted_members(archive, "the .pt2 file")
        _check_kind(members)
        _check_texts(archive, members)
        read = _Reader(archive, members)
        program = read.json(_MODEL)
        dangers = [*_unknown_members(members), *dangers_of_program(program)]
        pickles = [name for name in (_SAMPLES, _OLD_WEIGHTS, _OLD_CONSTANTS) if name in members]
        weights = read.payloads(_WEIGHTS, "data/weights/", pickles, dangers)
        constants = read.payloads(_CONSTANTS, "data/constants/", pickles, dangers)
        for name in pickles:
            dangers += read.dangers_of_tensors(name)
        if copy_to is not None and not dangers:
            read.copy(copy_to, pickles)
        extra = sum(1 for name in members if _IGNORED.fullmatch(name))
        return ProgramArchive(
            program=program,
            weights=weights,
            constants=constants,
            archive_version=read.text("archive_version"),
            pickles=tuple(pickles),
            dangers=tuple(dict.fromkeys(dangers)),
            notes=(f"{extra} extra files of the archive were left out",) if extra else (),
        )


def _check_kind(members: Mapping[str, zipfile.ZipInfo]) -> None:
    if _MODEL in members and "archive_format" in members:
        return
    models = sorted(name for name in members if name.startswith("models/"))
    if models:
        names = ", ".join(Path(name).stem for name in models)
        raise _wrong(
            f"holds the models {names}; one named 'model' is read",
            "write one program a file by torch.export.save(program, path)",
        )
    if any(name.startswith("data/aotinductor/") for name in members):
        raise _wrong(
            "holds compiled code of AOTInductor and no exported program",
            "save the program itself by torch.export.save(program, path)",
        )
    if "constants.pkl" in members:
        raise _wrong(
            "is a TorchScript archive, not an exported program",
            "export the module by torch.export.export and save it by torch.export.save",
        )
    if "data.pkl" in members:
        raise _wrong(
            "holds weights or a pickled object, and no graph",
            "load it in PyTorch, export the module and save it by torch.export.save(program, path)",
        )
    raise _wrong(
        "holds no exported program in the layout of PyTorch 2.8 or newer",
        "load and save it again with a newer PyTorch by torch.export.save(program, path)",
    )


def _wrong(what: str, hint: str) -> InputError:
    return InputError(f"the .pt2 file {what}", where="frontend pytorch", hint=hint)


def _check_texts(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> None:
    for name, wanted in (("archive_format", "pt2"), ("archive_version", "0")):
        if name not in members:
            raise _wrong(f"has no member {name!r}", "write it again by torch.export.save")
        found = read_member(archive, members[name], _TEXT_LIMIT).decode("ascii", "replace")
        if found != wanted:
            raise _wrong(
                f"has {name} {found[:40]!r}; this version reads {wanted!r}",
                "write it with a PyTorch that irconv supports, see the pytorch extra",
            )


def _unknown_members(members: Mapping[str, zipfile.ZipInfo]) -> Iterator[str]:
    known = {_MODEL, _WEIGHTS, _CONSTANTS, _SAMPLES, _OLD_WEIGHTS, _OLD_CONSTANTS}
    for name in members:
        code = _CODE.fullmatch(name)
        if code is not None and not _IGNORED.fullmatch(name):
            kind = "a pickled object" if code["object"] else "compiled code"
            yield f"member {name!r} is {kind}"
        elif name not in known and not any(
            pattern.fullmatch(name) for pattern in (_PLAIN, _PAYLOAD, _IGNORED)
        ):
            yield f"member {name[:120]!r} is no part of an exported program"


@dataclass(frozen=True)
class _Reader:
    """One open archive and its members."""

    archive: zipfile.ZipFile
    members: Mapping[str, zipfile.ZipInfo]

    def text(self, name: str) -> str:
        return read_member(self.archive, self.members[name], _TEXT_LIMIT).decode()

    def json(self, name: str) -> Mapping[str, Any]:
        document = parse_json(read_member(self.archive, self.members[name], _JSON_LIMIT), name)
        if not isinstance(document, dict):
            raise _wrong(f"has a member {name!r} of another form", "write it again")
        return document

    def payloads(
        self, config: str, folder: str, pickles: list[str], dangers: list[str]
    ) -> Mapping[str, Any]:
        if config not in self.members:
            return {}
        entries = self.json(config).get("config")
        if not isinstance(entries, dict):
            raise _wrong(f"has a member {config!r} of another form", "write it again")
        for name, entry in entries.items():
            path = f"{folder}{entry.get('path_name')}" if isinstance(entry, dict) else ""
            if not _PAYLOAD.fullmatch(path):
                dangers.append(f"{name[:120]!r} is a pickled object")
            elif path not in self.members:
                raise _wrong(f"lacks the member {path!r} of {name[:120]!r}", "write it again")
            elif entry.get("use_pickle"):
                pickles.append(path)
            else:
                _check_tensor(name, entry.get("tensor_meta"), self.members[path].file_size)
        return entries

    def dangers_of_tensors(self, name: str) -> list[str]:
        found = copy_tensor_file(self.archive, self.members[name], None, name)
        return [f"member {name!r}: {reason}" for reason in found]

    def copy(self, path: Path, pickles: list[str]) -> None:
        with zipfile.ZipFile(path, "x") as target:
            for name, member in self.members.items():
                copied = f"{_COPIED_ROOT}/{name}"
                if name in pickles:
                    copy_tensor_file(self.archive, member, target, copied)
                elif not _IGNORED.fullmatch(name):
                    copy_member(self.archive, member, target, copied)


def _check_tensor(name: str, meta: object, available: int) -> None:
    """Hold a tensor's sizes, strides and offset to the bytes that are there."""
    try:
        assert isinstance(meta, dict)
        sizes = [int(size["as_int"]) for size in meta["sizes"]]
        strides = [int(stride["as_int"]) for stride in meta["strides"]]
        offset = int(meta["storage_offset"]["as_int"])
        _, item = ITEM_BYTES[meta["dtype"]]
        assert len(sizes) == len(strides)
        assert min([offset, *sizes, *strides]) >= 0
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise _wrong(f"describes weight {name[:120]!r} in a form unknown here", "") from error
    if 0 in sizes:
        return
    last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    if (last + 1) * item > available:
        raise _wrong(
            f"describes weight {name[:120]!r} by {(last + 1) * item} bytes, but {available} are "
            "there",
            "the file is damaged; write it again by torch.export.save",
        )
