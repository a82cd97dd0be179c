"""Describing a ``.pt2`` or a file of weights from its JSON or pickle, without PyTorch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import IO, Any

from irconv.errors import InputError
from irconv.frontends.names import free_name, leaf_name
from irconv.frontends.pytorch.archive import (
    ITEM_BYTES,
    UNBOUNDED,
    ProgramArchive,
    read_program_archive,
)
from irconv.frontends.pytorch.weights import read_weights, way_out
from irconv.frontends.torch_files.tensor_facts import count_parameters

__all__ = ["describe_program", "describe_weights"]

_SYMBOL = re.compile(r"Symbol\('(\w+)'[^()]*\)")


def describe_program(file: IO[bytes]) -> dict[str, Any]:
    """Return JSON-ready facts about a ``.pt2``.

    Raises:
        InputError: If it is no exported program, or damaged.
    """
    archive = read_program_archive(file)
    facts: dict[str, Any] = {
        "what": "an exported program",
        "bytes": file.seek(0, 2),
        "archive_version": archive.archive_version,
        "pickles": list(archive.pickles),
        "needs_trust": bool(archive.dangers),
        "dangers": list(archive.dangers),
        "notes": list(archive.notes),
    }
    return facts if archive.dangers else facts | _describe_graph(archive)


def describe_weights(file: IO[bytes]) -> dict[str, Any]:
    """Return JSON-ready facts about a file of weights, or of a pickled object.

    Raises:
        InputError: If it is none, or damaged.
    """
    found = read_weights(file)
    facts: dict[str, Any] = {
        "what": found.what,
        "bytes": file.seek(0, 2),
        "needs_trust": True,
        "dangers": list(found.dangers),
        "notes": [f"to import it, {way_out(found)}"],
    }
    if found.entries:
        facts["state_dicts"] = list(found.entries)
    if not found.dangers:
        facts |= count_parameters(found.tensors.values())
        facts["tensors"] = [
            {"name": name, "dtype": tensor.dtype, "shape": list(tensor.shape)}
            for name, tensor in found.tensors.items()
        ]
    return facts


def _describe_graph(archive: ProgramArchive) -> dict[str, Any]:
    """Return facts about the program of a judged archive without dangers."""
    program = archive.program
    try:
        graph = program["graph_module"]["graph"]
        signature = program["graph_module"]["signature"]
        values = graph["tensor_values"]
        called = {
            name: name
            for entry in signature["input_specs"]
            if "user_input" in entry
            for name in _user_tensor(entry["user_input"])
        }
        returned = _named_outputs(program, signature["output_specs"], set(called))
        dims: dict[str, str] = {}
        inputs = [_tensor(name, values[key], dims) for name, key in called.items()]
        outputs = [_tensor(name, values[key], dims) for name, key in returned.items()]
        ranges = {
            dims[symbol]: [_bound(bounds["min_val"]), _bound(bounds["max_val"])]
            for symbol, bounds in program["range_constraints"].items()
            if symbol in dims
        }
        schema = program["schema_version"]
        count, size = _parameters(archive.weights)
        return {
            "schema_version": f"{schema['major']}.{schema['minor']}",
            "torch_version": str(program.get("torch_version", "")),
            "inputs": inputs,
            "outputs": outputs,
            "ranges": ranges,
            "nodes": len(graph["nodes"]),
            "operators": _operators(graph["nodes"]),
            "parameters": count,
            "parameter_bytes": size,
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"the program's graph is not of the form that torch.export writes: {error!r}",
            where="frontend pytorch",
            hint="the file is damaged; write it again with torch.export.save",
        ) from error


def _bound(value: int | None) -> int | None:
    return value if value is not None and abs(value) < UNBOUNDED else None


def _user_tensor(entry: Mapping[str, Any]) -> list[str]:
    tensor = entry["arg"].get("as_tensor")
    return [tensor["name"]] if tensor else []


def _named_outputs(program: Mapping[str, Any], specs: list[Any], taken: set[str]) -> dict[str, str]:
    """Return the graph's name of each tensor output by the name that the frontend gives it."""
    _, tree = json.loads(program["graph_module"]["module_call_graph"][0]["signature"]["out_spec"])
    entries = [entry["user_output"] for entry in specs if "user_output" in entry]
    named: dict[str, str] = {}
    for path, entry in zip(_leaves(tree), entries, strict=True):
        for key in _user_tensor(entry):
            named[free_name(leaf_name(path), taken)] = key
    return named


def _leaves(
    tree: Mapping[str, Any], path: tuple[str | int, ...] = ()
) -> Iterator[tuple[str | int, ...]]:
    if tree["type"] is None:
        yield path
        return
    context = json.loads(tree["context"])
    children = range(len(tree["children_spec"]))
    keys: list[str | int] = list(children) if context is None else [str(key) for key in context]
    for key, child in zip(keys, tree["children_spec"], strict=True):
        yield from _leaves(child, (*path, key))


def _tensor(name: str, meta: Mapping[str, Any], dims: dict[str, str]) -> dict[str, Any]:
    dtype, _ = ITEM_BYTES.get(meta["dtype"], ("unknown", 0))
    shape = [_dim(size, f"{name}_dim_{axis}", dims) for axis, size in enumerate(meta["sizes"])]
    return {"name": name, "dtype": dtype, "shape": shape}


def _dim(size: Mapping[str, Any], name: str, dims: dict[str, str]) -> int | str | None:
    """Return a size, the name of a free dimension, or None for one computed from others."""
    if "as_int" in size:
        return int(size["as_int"])
    symbol = _SYMBOL.fullmatch(str(size["as_expr"]["expr_str"]))
    return dims.setdefault(symbol[1], name) if symbol else None


def _operators(nodes: list[Mapping[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for node in nodes:
        name = str(node["target"]).removeprefix("torch.ops.")
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _parameters(weights: Mapping[str, Any]) -> tuple[int, int]:
    """Return the count and bytes of all weights; one that is shared counts once."""
    count = size = 0
    seen: set[str] = set()
    for entry in weights.values():
        meta = entry.get("tensor_meta")
        if meta is None or entry["path_name"] in seen:
            continue
        seen.add(entry["path_name"])
        elements = 1
        for dim in meta["sizes"]:
            elements *= int(dim["as_int"])
        count += elements
        size += elements * ITEM_BYTES[meta["dtype"]][1]
    return count, size
