"""Sequences and optional values: lists and Optional of TorchScript."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from irconv_torchscript.dtypes import ANY
from irconv_torchscript.held import Held, Node
from irconv_torchscript.registry import emits

if TYPE_CHECKING:
    from irconv_torchscript.site import Site


@emits("SequenceEmpty", dtypes=ANY)
def empty(site: Site) -> Node:
    """Section SequenceEmpty."""
    return site.call("sequences.empty")


@emits("SequenceConstruct", dtypes=ANY)
def construct(site: Site) -> Node:
    """Section SequenceConstruct."""
    return site.call("sequences.construct", site.tensors())


@emits("SequenceAt", dtypes=ANY)
def at(site: Site) -> Node:
    """Section SequenceAt."""
    return site.call("sequences.at", site.tensor(0), site.integer(1))


@emits("SequenceInsert", dtypes=ANY)
def insert(site: Site) -> Node:
    """Section SequenceInsert."""
    place = site.integer(2) if site.given(2) else None
    return site.call("sequences.insert", site.tensor(0), site.tensor(1), place)


@emits("SequenceErase", dtypes=ANY)
def erase(site: Site) -> Node:
    """Section SequenceErase."""
    place = site.integer(1) if site.given(1) else -1
    return site.call("sequences.erase", site.tensor(0), place)


@emits("SequenceLength", dtypes=ANY)
def length(site: Site) -> Held:
    """Section SequenceLength."""
    return Held(ints=[site.call("sequences.length", site.tensor(0))], scalar=True)


@emits("SplitToSequence", dtypes=ANY)
def split(site: Site) -> Node:
    """Section SplitToSequence."""
    axis = site.attr("axis", 0)
    if not site.given(1):
        return site.call(
            "sequences.split_ones", site.tensor(0), axis, bool(site.attr("keepdims", 1))
        )
    if site.rank(1) == 0:
        return site.call("sequences.split_even", site.tensor(0), site.integer(1), axis)
    return site.call("sequences.split_sizes", site.tensor(0), site.int_list(1), axis)


@emits("ConcatFromSequence", dtypes=ANY)
def concat(site: Site) -> Node:
    """Section ConcatFromSequence: torch.cat or stack of a list."""
    name = "stack" if site.attr("new_axis", 0) else "cat"
    return site.torch(name, site.tensor(0), site.attr("axis"))


@emits("Optional", dtypes=ANY)
def optional(site: Site) -> Any:
    """Section Optional."""
    if site.given(0):
        return (
            site.call("sequences.some", site.tensor(0))
            if _is_tensor(site.value(0))
            else (site.call("sequences.some_list", site.tensor(0)))
        )
    kind = site.attr("type")
    is_list = kind is not None and isinstance(kind.type, ir.SequenceType)
    return site.call("sequences.none_list" if is_list else "sequences.none")


def _is_tensor(value: ir.Value | None) -> bool:
    kind = None if value is None else value.type
    if isinstance(kind, ir.OptionalType):
        kind = kind.elem_type
    return not isinstance(kind, ir.SequenceType)


@emits("OptionalHasElement", dtypes=ANY)
def has_element(site: Site) -> Node:
    """Section OptionalHasElement."""
    if not site.given(0):
        return site.torch("tensor", False)
    name = "has" if _is_tensor(site.value(0)) else "has_list"
    return site.call(f"sequences.{name}", site.tensor(0))


@emits("OptionalGetElement", dtypes=ANY)
def get_element(site: Site) -> Node:
    """Section OptionalGetElement."""
    name = "get" if _is_tensor(site.value(0)) else "get_list"
    return site.call(f"sequences.{name}", site.tensor(0))
