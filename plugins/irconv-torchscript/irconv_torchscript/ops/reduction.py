"""Reductions, running sums, positions of extrema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from irconv_torchscript.dtypes import UNSIGNED
from irconv_torchscript.held import Node
from irconv_torchscript.registry import emits

if TYPE_CHECKING:
    from irconv_torchscript.site import Site

_KINDS = (
    "L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare",
)  # fmt: skip


@emits(*(f"Reduce{kind}" for kind in _KINDS))
def reduce(site: Site) -> Node:
    """Sections ReduceL1 to ReduceSumSquare."""
    kind = site.node.op_type.removeprefix("Reduce")
    axes = site.int_list(1) if site.given(1) else site.list_of([])
    keep, noop = bool(site.attr("keepdims", 1)), bool(site.attr("noop_with_empty_axes", 0))
    known = site.const(1)
    if (
        kind in ("Sum", "Mean")
        and known is not None
        and known.size
        and (site.dtype().is_floating_point())
    ):
        return site.torch(kind.lower(), site.tensor(0), [int(axis) for axis in known.reshape(-1)],
                          keep)  # fmt: skip
    return site.call("reduction.reduce", site.tensor(0), kind, axes, keep, noop)


@emits("ArgMax", "ArgMin")
def arg_extremum(site: Site) -> Node:
    """Sections ArgMax, ArgMin: the first position, or the last one."""
    return site.call(
        "reduction.arg_extremum",
        site.tensor(0),
        site.attr("axis", 0),
        bool(site.attr("keepdims", 1)),
        bool(site.attr("select_last_index", 0)),
        site.node.op_type == "ArgMax",
    )


@emits("CumSum", "CumProd")
def running(site: Site) -> Node:
    """Sections CumSum, CumProd."""
    return site.call(
        "reduction.running",
        site.tensor(0),
        site.integer(1),
        bool(site.attr("exclusive", 0)),
        bool(site.attr("reverse", 0)),
        site.node.op_type == "CumProd",
    )


@emits("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def global_pool(site: Site) -> Any:
    """Sections GlobalAveragePool, GlobalMaxPool, GlobalLpPool."""
    rank = site.rank()
    if site.node.op_type == "GlobalLpPool":
        return site.call("reduction.global_lp", site.tensor(0), float(site.attr("p", 2)))
    if rank is None or rank < 3:
        kind = "Mean" if site.node.op_type == "GlobalAveragePool" else "Max"
        return site.call("reduction.over_space", site.tensor(0), kind)
    name = "mean" if site.node.op_type == "GlobalAveragePool" else "amax"
    return site.torch(name, site.tensor(0), list(range(2, rank)), True)


@emits("TopK", dtypes=UNSIGNED)
def top_k(site: Site) -> tuple[Node, ...]:
    """Section TopK: a stable sort, so of equal values the first comes first."""
    flips = site.dtype() == ir.DataType.UINT64
    value = site.call("unsigned.flip", site.tensor(0)) if flips else site.tensor(0)
    found = site.call(
        "reduction.top_k", value, site.integer(1), site.attr("axis", -1),
        bool(site.attr("largest", 1)),
    )  # fmt: skip
    values, places = site.items(found, 2)
    return site.call("unsigned.flip", values) if flips else values, places


@emits("Hardmax")
def hardmax(site: Site) -> Node:
    """Section Hardmax: 1 at the first largest value."""
    return site.call("reduction.hardmax", site.tensor(0), site.attr("axis", -1))


@emits("Unique")
def unique(site: Site) -> tuple[Node, ...]:
    """Section Unique."""
    axis = site.attr("axis")
    ordered = bool(site.attr("sorted", 1))
    if axis is None:
        found = site.call("reduction.unique_values", site.tensor(0), ordered)
    else:
        found = site.call("reduction.unique_slices", site.tensor(0), axis, ordered)
    return site.items(found, 4)
