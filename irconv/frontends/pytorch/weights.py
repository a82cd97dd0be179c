"""Reading files of weights with irconv's own eyes: state dicts, checkpoints, safetensors.

Needs no PyTorch. What a pickle would import is told without importing it, and sizes are held
to the bytes that are there.
"""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from irconv.errors import InputError
from irconv.frontends.torch_files.kind import FileKind, kind_of_stream
from irconv.frontends.torch_files.pickle_scan import (
    PICKLE_LIMIT,
    dangers_of_pickle,
    is_tensor_file_member,
)
from irconv.frontends.torch_files.safetensors_header import read_header
from irconv.frontends.torch_files.tensor_facts import (
    TensorFacts,
    check_stored,
    named_tensors,
    read_facts,
)
from irconv.frontends.torch_files.zip_structure import (
    copy_member,
    open_zip,
    read_member,
    rooted_members,
)

__all__ = ["WeightsFile", "choose_entry", "refuse_without_class", "read_weights", "way_out"]

_WHERE = "frontend pytorch"
_WHAT = "the file of weights"
_NO_STATE = "tensors that are no state dict"
_IMPORT = re.compile(r"it imports (.+)")


@dataclass(frozen=True)
class WeightsFile:
    """What a file of weights says of itself.

    Attributes:
        kind: Its format.
        what: What it holds, in words.
        tensors: Its tensors by dotted name.
        entries: Where it is a checkpoint, the keys under which state dicts stand.
        classes: What unpickling it would import beside PyTorch's own tensors.
        dangers: What opening it would run; empty where it holds weights alone.
    """

    kind: FileKind
    what: str
    tensors: Mapping[str, TensorFacts]
    entries: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    dangers: tuple[str, ...] = ()


def read_weights(stream: IO[bytes], copy_to: Path | None = None) -> WeightsFile:
    """Judge a file of weights, and copy it where it is safe.

    Args:
        stream: The file's bytes, seekable.
        copy_to: Where to write the judged copy; it must not exist. Nothing is left there when
            opening the file would run code.

    Raises:
        InputError: If it is none, or damaged.
    """
    kind = kind_of_stream(stream)
    if kind is FileKind.SAFETENSORS:
        found = WeightsFile(kind, kind.value, read_header(stream))
        if copy_to is not None:
            stream.seek(0)
            with copy_to.open("xb") as target:
                shutil.copyfileobj(stream, target, 1 << 20)
        return found
    if kind is FileKind.OBJECTS:
        return _read_archive(stream, copy_to)
    if kind is FileKind.OLD_OBJECTS:
        raise InputError(
            f"the file is {kind.value}",
            where=_WHERE,
            hint="load it by torch.load and write it again by torch.save",
        )
    raise InputError(
        f"the file is {kind.value}",
        where=_WHERE,
        hint="give a .pt2 of torch.export.save, a TorchScript archive, or a state dict of "
        "torch.save or safetensors",
    )


def way_out(found: WeightsFile) -> str:
    """Return what the user can do to import a file of weights."""
    if found.dangers:
        return (
            "save its state_dict() by torch.save and name its class, or re-run with --trust if "
            "you made this file or know who did"
        )
    options = "module=package.module:Class"
    if found.entries:
        options += f",entry={found.entries[0]}"
    return (
        "name the class or factory that builds the module: "
        f"--frontend 'pytorch{{{options}}}' --trust --input 'x[batch,3,224,224]{{f32}}'"
    )


def refuse_without_class(found: WeightsFile) -> InputError:
    """Return the error for a file that holds no graph, where no class is named."""
    if found.dangers:
        reasons = "\n".join(f"  - {reason}" for reason in found.dangers[:5])
        more = f"\n  - and {len(found.dangers) - 5} more" if len(found.dangers) > 5 else ""
        what = f"the file holds {found.what}, and opening it would run code:\n{reasons}{more}"
    else:
        what = f"the file holds {found.what} and no graph: it does not say what to compute"
    return InputError(what, where=_WHERE, hint=way_out(found))


def choose_entry(found: WeightsFile, entry: str) -> None:
    """Check that the state dict which is asked for is there.

    Args:
        found: A file of weights.
        entry: The key of a checkpoint; empty for the file's top level.

    Raises:
        InputError: If it is not.
    """
    if found.dangers:
        raise refuse_without_class(found)
    entries = ", ".join(found.entries)
    if entry and entry not in found.entries:
        raise InputError(
            f"the file holds {found.what}, without a state dict {entry!r}",
            where=_WHERE,
            hint=f"its state dicts are: {entries}" if entries else "leave the option entry out",
        )
    if not entry and found.entries:
        raise InputError(
            f"the file holds a checkpoint with the state dicts {entries}",
            where=_WHERE,
            hint=f"choose one by the frontend's option entry, for example entry={found.entries[0]}",
        )
    if not entry and found.what == _NO_STATE:
        raise InputError(
            f"the file holds {found.what}",
            where=_WHERE,
            hint="write the module's state_dict() by torch.save",
        )


def _read_archive(stream: IO[bytes], copy_to: Path | None) -> WeightsFile:
    with open_zip(stream, _WHAT) as archive:
        members = rooted_members(archive, _WHAT)
        content = read_member(archive, members["data.pkl"], PICKLE_LIMIT)
        found = dangers_of_pickle(content)
        strange = sorted(name for name in members if not is_tensor_file_member(name))
        dangers = [*found, *(f"member {name[:120]!r} is no part of it" for name in strange)]
        if dangers:
            classes = tuple(match[1] for reason in found if (match := _IMPORT.fullmatch(reason)))
            what = "a pickled object" if classes else FileKind.OBJECTS.value
            return WeightsFile(FileKind.OBJECTS, what, {}, classes=classes, dangers=tuple(dangers))
        value = read_facts(content, _WHAT)
        tensors = dict(named_tensors(value))
        check_stored(tensors, "data", members, _WHAT)
        if copy_to is not None:
            _copy(archive, members, copy_to)
    what, entries = _describe(value)
    return WeightsFile(FileKind.OBJECTS, what, tensors, entries)


def _copy(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], path: Path) -> None:
    with zipfile.ZipFile(path, "x") as target:
        for name, member in members.items():
            copy_member(archive, member, target, f"weights/{name}")


def _describe(value: Any) -> tuple[str, tuple[str, ...]]:
    if _is_state(value):
        return "a state dict", ()
    if isinstance(value, dict):
        entries = tuple(str(key) for key, item in value.items() if item and _is_state(item))
        if entries:
            return "a checkpoint", entries
    return _NO_STATE, ()


def _is_state(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(key, str) and isinstance(item, TensorFacts) for key, item in value.items()
    )
