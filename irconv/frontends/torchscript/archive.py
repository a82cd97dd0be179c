"""Reading a TorchScript archive with irconv's own eyes, and copying what is safe of it.

``torch.jit.load`` compiles the archive's code, runs the ``__setstate__`` methods in it and
trusts the sizes that its pickles state. This module needs no PyTorch. It judges every member
and writes a fresh archive of the judged bytes, so that PyTorch reads exactly what was judged.
"""

from __future__ import annotations

import ast
import pickletools
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from irconv.errors import InputError
from irconv.frontends.torch_files.kind import FileKind, kind_of_stream
from irconv.frontends.torch_files.pickle_scan import (
    PICKLE_LIMIT,
    TENSORS,
    PickleRules,
    dangers_of_pickle,
)
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
from irconv.frontends.torchscript.code_scan import (
    dangers_of_code,
    defined_names,
    is_known_class,
    parse_code,
)
from irconv.frontends.torchscript.signature import ScriptSignature, find_signature

__all__ = ["ScriptArchive", "read_script_archive"]

_WHERE = "frontend torchscript"
_WHAT = "the TorchScript archive"
_CODE_LIMIT = 256 << 20
_COPIED_ROOT = "module"

_CODE = re.compile(r"code/(?P<module>__torch__(?:/.+)?)\.py")
_PICKLE = re.compile(r"(?P<folder>data|constants|traced_inputs)\.pkl|code/.+\.debug_pkl")
_PAYLOAD = re.compile(r"(?:data|constants|traced_inputs)/\d+")
_PLAIN = re.compile(
    r"byteorder|version|\.data/(?:version|serialization_id)|\.format_version|\.storage_alignment"
)
_IGNORED = re.compile(r"extra/.*|bytecode\.pkl|mobile_debug_handles\.pkl|.*\.debug_pkl")
_HELPERS = frozenset(
    f"torch.jit._pickle {name}"
    for name in (
        "build_boollist", "build_doublelist", "build_intlist", "build_tensorlist",
        "build_tensor_from_id", "restore_type_tag",
    )
)  # fmt: skip
_QUANTIZED = frozenset(
    {"torch._utils _rebuild_qtensor", "torch per_tensor_affine", "torch per_channel_affine"}
)


@dataclass(frozen=True)
class ScriptArchive:
    """What a TorchScript archive says of itself, and what loading it could do.

    Attributes:
        root: Full name of the module's class.
        signature: Of its ``forward``; None where it has none.
        code_files: How many files of code it has.
        calls: How often the code names each operator of ``torch`` and ``ops``.
        tensors: Its parameters, buffers and constants by name.
        traced: Whether the module was traced, and so has one path for all inputs.
        dangers: What it could do beside computing; empty for an honest file.
        notes: What was left out of the copy.
    """

    root: str
    signature: ScriptSignature | None
    code_files: int
    calls: Mapping[str, int]
    tensors: Mapping[str, TensorFacts]
    traced: bool
    dangers: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read_script_archive(stream: IO[bytes], copy_to: Path | None = None) -> ScriptArchive:
    """Judge a TorchScript archive, and copy it where it is safe.

    Args:
        stream: The file's bytes, seekable.
        copy_to: Where to write the judged copy; it must not exist. Nothing is left there when
            the archive holds dangers.

    Raises:
        InputError: If it is no TorchScript archive that this version reads, or is damaged.
    """
    _check_kind(kind_of_stream(stream))
    with open_zip(stream, _WHAT) as archive:
        members = rooted_members(archive, _WHAT)
        if "data.pkl" not in members:
            raise _wrong(
                "has the layout before PyTorch 1.4",
                "load and save it again with a newer PyTorch by torch.jit.save",
            )
        reader = _Reader(archive, members)
        found = reader.judge()
        if copy_to is not None and not found.dangers:
            reader.copy(copy_to)
        return found


def _check_kind(kind: FileKind) -> None:
    if kind is FileKind.SCRIPT:
        return
    hints = {
        FileKind.PROGRAM: "leave --frontend out, or name pytorch: it reads .pt2 files",
        FileKind.OBJECTS: "leave --frontend out, or name pytorch: it says what it needs",
        FileKind.OLD_OBJECTS: "leave --frontend out, or name pytorch: it says what it needs",
        FileKind.SAFETENSORS: "leave --frontend out, or name pytorch: it says what it needs",
    }
    raise InputError(
        f"the file is {kind.value}, not {FileKind.SCRIPT.value}",
        where=_WHERE,
        hint=hints.get(kind, "write it by torch.jit.save(torch.jit.script(module.eval()), path)"),
    )


def _wrong(what: str, hint: str) -> InputError:
    return InputError(f"{_WHAT} {what}", where=_WHERE, hint=hint)


class _Reader:
    """One open archive and its members."""

    def __init__(self, archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> None:
        self._archive = archive
        self._members = members

    def judge(self) -> ScriptArchive:
        texts = self._texts()
        trees = {path: parse_code(text) for path, text in texts.items()}
        defined = {
            name
            for path, tree in trees.items()
            if tree is not None
            for name in defined_names(_module_name(path), tree)
        }
        dangers = self._strange_members()
        for path, text in texts.items():
            dangers += dangers_of_code(path, text, trees[path], defined)
        pickles = self._pickles()
        rules = _rules(defined)
        for path, content in pickles.items():
            dangers += [f"{path}: {reason}" for reason in dangers_of_pickle(content, rules)]
        root = _root_class(pickles["data.pkl"])
        found = ScriptArchive(
            root=root,
            signature=None,
            code_files=len(texts),
            calls=_calls(trees.values()),
            tensors={},
            traced="traced_inputs.pkl" in pickles,
            dangers=tuple(dict.fromkeys(dangers)),
            notes=self._left_out(),
        )
        if dangers:
            return found
        facts = {
            path.removesuffix(".pkl"): read_facts(content, f"{_WHAT}'s {path}")
            for path, content in pickles.items()
            if not path.startswith("code/")
        }
        tree = trees.get(_code_path(root))
        signature = find_signature(tree, root.rpartition(".")[2]) if tree else None
        if signature is not None:
            signature = _with_traced_inputs(signature, facts.get("traced_inputs"))
        return replace(found, signature=signature, tensors=self._tensors(facts))

    def _texts(self) -> dict[str, str]:
        code = {name: member for name, member in self._members.items() if _CODE.fullmatch(name)}
        total = sum(member.file_size for member in code.values())
        if total > _CODE_LIMIT:
            raise _wrong(f"has {total} bytes of code; at most {_CODE_LIMIT} are read", "")
        return {
            name: read_member(self._archive, member, _CODE_LIMIT).decode("utf-8", "replace")
            for name, member in code.items()
        }

    def _pickles(self) -> dict[str, bytes]:
        return {
            name: read_member(self._archive, member, PICKLE_LIMIT)
            for name, member in self._members.items()
            if _PICKLE.fullmatch(name)
        }

    def _strange_members(self) -> list[str]:
        patterns = (_CODE, _PICKLE, _PAYLOAD, _PLAIN, _IGNORED)
        return [
            f"member {name[:120]!r} is no part of a TorchScript archive"
            for name in self._members
            if not any(pattern.fullmatch(name) for pattern in patterns)
        ]

    def _left_out(self) -> tuple[str, ...]:
        count = sum(1 for name in self._members if not _is_copied(name))
        return (f"{count} extra files of the archive were left out",) if count else ()

    def _tensors(self, facts: Mapping[str, Any]) -> dict[str, TensorFacts]:
        """Return the tensors by name, held to the bytes that are there."""
        found: dict[str, TensorFacts] = {}
        for folder in ("data", "constants"):
            tensors = dict(named_tensors(facts.get(folder)))
            check_stored(tensors, folder, self._members, _WHAT)
            prefix = "constants." if folder == "constants" else ""
            found |= {f"{prefix}{name}": tensor for name, tensor in tensors.items()}
        return found

    def copy(self, path: Path) -> None:
        with zipfile.ZipFile(path, "x") as target:
            for name, member in self._members.items():
                if _is_copied(name):
                    copy_member(self._archive, member, target, f"{_COPIED_ROOT}/{name}")


def _is_copied(name: str) -> bool:
    return _PICKLE.fullmatch(name) is not None or _IGNORED.fullmatch(name) is None


def _module_name(path: str) -> str:
    found = _CODE.fullmatch(path)
    assert found is not None
    return found["module"].replace("/", ".")


def _code_path(class_name: str) -> str:
    return f"code/{class_name.rpartition('.')[0].replace('.', '/')}.py"


def _rules(defined: set[str]) -> PickleRules:
    def imports(name: str) -> bool:
        if name.startswith("__torch__"):
            return is_known_class(name.replace(" ", "."), defined)
        return TENSORS.imports(name) or name in _HELPERS or name in _QUANTIZED

    return PickleRules(imports, TENSORS.opcodes | {"NEWOBJ"})


def _root_class(pickle: bytes) -> str:
    """Return the class of the module, which is the first name that its pickle imports."""
    try:
        for opcode, argument, _ in pickletools.genops(pickle):
            if opcode.name == "GLOBAL":
                return str(argument).replace(" ", ".", 1)
    except Exception as error:
        raise _wrong(f"has a broken data.pkl: {error}", "write it again") from error
    raise _wrong("holds no module", "save one by torch.jit.save")


def _calls(trees: Iterable[ast.Module | None]) -> dict[str, int]:
    """Return how often each operator is called by name, the most frequent first."""
    names = Counter(
        f"aten::{node.attr}"
        for tree in trees
        if tree is not None
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "torch"
    )
    return dict(sorted(names.items(), key=lambda item: (-item[1], item[0])))


def _with_traced_inputs(signature: ScriptSignature, traced: Any) -> ScriptSignature:
    """Add dtypes and shapes of a trace, where it recorded one plain tensor per argument."""
    values = traced.get("forward") if isinstance(traced, dict) else None
    arguments = signature.arguments
    if not isinstance(values, list) or len(values) != len(arguments):
        return signature
    if not all(isinstance(value, TensorFacts) for value in values):
        return signature
    known = tuple(
        replace(argument, dtype=value.dtype, shape=value.shape)
        for argument, value in zip(arguments, values, strict=True)
    )
    return replace(signature, arguments=known)
