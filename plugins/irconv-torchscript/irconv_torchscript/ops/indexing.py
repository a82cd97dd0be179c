"""Gathering and scattering."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from irconv_torchscript.dtypes import ANY, UNSIGNED
from irconv_torchscript.held import Held, Node
from irconv_torchscript.registry import emits

if TYPE_CHECKING:
    from irconv_torchscript.site import Site


@emits("Gather", dtypes=ANY)
def gather(site: Site) -> Any:
    """Section Gather: torch.index_select; torch.select where the index is one constant."""
    axis = site.attr("axis", 0)
    indices = site.const(1)
    value = site.value(0)
    held = site.held(0)
    if (
        indices is not None
        and held.ints is not None
        and not held.scalar
        and value is not None
        and value.dtype == ir.DataType.INT64
        and indices.ndim <= 1
    ):
        picked = [held.ints[int(index)] for index in indices.reshape(-1)]
        return Held(ints=picked, scalar=indices.ndim == 0)
    if indices is not None and indices.ndim == 0:
        return site.torch("select", site.tensor(0), axis, int(indices))
    return site.call("indexing.gather", site.tensor(0), site.tensor(1), axis)


@emits("GatherElements", dtypes=UNSIGNED)
def gather_elements(site: Site) -> Node:
    """Section GatherElements: torch.gather."""
    return site.call(
        "indexing.gather_elements", site.tensor(0), site.tensor(1), site.attr("axis", 0)
    )


@emits("GatherND", dtypes=UNSIGNED)
def gather_nd(site: Site) -> Node:
    """Section GatherND: one flat index for each slice."""
    return site.call(
        "indexing.gather_nd", site.tensor(0), site.tensor(1), site.attr("batch_dims", 0)
    )


@emits("ScatterElements", dtypes=UNSIGNED, refuse=lambda node: _ordered(node))
def scatter_elements(site: Site) -> Node:
    """Section ScatterElements: torch.scatter, scatter_reduce."""
    return site.call(
        "indexing.scatter_elements", *site.tensors(), site.attr("axis", 0),
        site.attr("reduction", "none"),
    )  # fmt: skip


@emits("ScatterND", dtypes=UNSIGNED, refuse=lambda node: _ordered(node))
def scatter_nd(site: Site) -> Node:
    """Section ScatterND: scatter of slices by flat indices."""
    return site.call("indexing.scatter_nd", *site.tensors(), site.attr("reduction", "none"))


def _ordered(node: ir.Node) -> str:
    reduction = node.attributes.get("reduction")
    kind = node.inputs[0].dtype if node.inputs[0] is not None else None
    if kind == ir.DataType.UINT64 and reduction is not None and reduction.as_string() != "none":
        return "torch scatters no unsigned integers of 64 bits with a reduction"
    return ""


@emits("TensorScatter", dtypes=UNSIGNED)
def tensor_scatter(site: Site) -> Node:
    """Section TensorScatter: an update of a cache, from a position for each batch entry."""
    return site.call(
        "indexing.tensor_scatter", *[site.tensor(index) for index in range(3)],
        site.attr("axis", -2), site.attr("mode", "linear") == "circular",
    )  # fmt: skip


@emits("NonZero")
def non_zero(site: Site) -> Node:
    """Section NonZero: torch.nonzero, transposed."""
    return site.call("indexing.non_zero", site.tensor(0))


@emits("Compress", dtypes=UNSIGNED)
def compress(site: Site) -> Node:
    """Section Compress."""
    axis = site.attr("axis")
    value = site.tensor(0)
    if axis is None:
        value, axis = site.torch("reshape", value, [-1]), 0
    return site.call("indexing.compress", value, site.tensor(1), axis)


@emits("OneHot")
def one_hot(site: Site) -> Node:
    """Section OneHot; an index out of range gives no one."""
    return site.call("indexing.one_hot", *site.tensors(), site.attr("axis", -1))


@emits("ReverseSequence", dtypes=UNSIGNED)
def reverse_sequence(site: Site) -> Node:
    """Section ReverseSequence."""
    return site.call(
        "indexing.reverse_sequence", *site.tensors(), site.attr("batch_axis", 1),
        site.attr("time_axis", 0),
    )  # fmt: skip


@emits("ArrayFeatureExtractor", domain="ai.onnx.ml")
def array_feature_extractor(site: Site) -> Node:
    """Section ArrayFeatureExtractor: columns of the last axis."""
    return site.call("indexing.last_axis", *site.tensors())


@emits("Binarizer", domain="ai.onnx.ml")
def binarizer(site: Site) -> Node:
    """Section Binarizer."""
    above = site.torch("gt", site.tensor(0), float(site.attr("threshold", 0.0)))
    return site.method("to", above, site.torch_dtype(site.dtype()))


@emits("NonMaxSuppression")
def non_max_suppression(site: Site) -> Node:
    """Section NonMaxSuppression: greedy, by score."""
    most = site.integer(2) if site.given(2) else 0
    overlap = site.tensor(3)
    score = site.tensor(4)
    zero = site.builder.weight("zero", np.zeros((), np.float32), ir.DataType.FLOAT)
    return site.call(
        "detection.non_max_suppression", site.tensor(0), site.tensor(1), most,
        zero if overlap is None else overlap, score, bool(site.attr("center_point_box", 0)),
    )  # fmt: skip
