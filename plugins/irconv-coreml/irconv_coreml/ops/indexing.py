"""Gathering, scattering, and what is found by position."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from irconv_coreml import node as ask
from irconv_coreml.ops.palette import palette_indices, stored_palette
from irconv_coreml.ops.refusals import constant_inputs
from irconv_coreml.ops.registry import Reason, emits
from irconv_coreml.site import Site, Var

__all__: list[str] = []

_MODES = {"none": "update", "add": "add", "mul": "mul", "max": "max", "min": "min"}


def from_start(site: Site, indices: Var, size: object) -> Var:
    """Return indices counted from the start; since iOS17 MIL takes none from the end.

    Args:
        site: The node.
        indices: Indices from ``-size`` to ``size - 1``.
        size: How many there are: numbers, or a MIL value; broadcast against the indices.
    """
    mb = site.mb
    behind = mb.add(x=indices, y=size)
    return mb.select(cond=mb.less(x=indices, y=np.int32(0)), a=behind, b=indices)


def _positions(site: Site, index: int, x: Var, axis: int) -> Var:
    """Return the indices of an input along an axis, counted from the start."""
    known, size = site.constant(index), site.dims(x)[axis]
    if known is not None and (size is not None or not known.size or known.min() >= 0):
        return np.where(known < 0, known + (size or 0), known).astype(np.int32)
    if size is not None:
        return from_start(site, site[index], np.int32(size))
    return from_start(site, site[index], site.shape_vector(x)[axis])


def _numeric(site: Site, x: Var) -> Var:
    return site.cast(x, "int32") if site.kind(x) == "bool" else x


def _is_followed(site: Site, x: Var) -> bool:
    """Return whether MIL's builder knows items of a vector of floats."""
    return site.kind(x).startswith("fp") and len(x.shape) == 1 and x.sym_val is not None


@emits("Gather")
def _gather(site: Site) -> Var:
    """ONNX Gather as MIL gather; bools as integers; a palette as constexpr_lut_to_dense.

    MIL's builder fails where a size that it follows becomes a scalar of floats: it is gathered
    as a vector, or a constant where it is known.
    """
    if (indices := palette_indices(site)) is not None:
        return stored_palette(site, indices)
    x = _numeric(site, site.x)
    axis = site.axis(x, 0)
    positions = _positions(site, 1, x, axis)
    if site.constant(1) is not None and not positions.shape and _is_followed(site, x):
        item = x.sym_val[int(positions)]
        if isinstance(item, float):
            return site.like(item, x)
        return site.as_scalar(site.mb.gather(x=x, indices=positions.reshape(1), axis=axis))
    return site.mb.gather(x=x, indices=positions, axis=axis)


def _elements_refusal(node: ir.Node) -> Reason:
    data, indices = ask.shape(node, 0), ask.shape(node, 1)
    if data is None or indices is None:
        return "DYNAMIC_RANK: the ranks of its inputs must be known"
    axis = ask.attr_int(node, "axis", 0) % max(1, len(data))
    other = [(a, b) for i, (a, b) in enumerate(zip(data, indices, strict=True)) if i != axis]
    if any(a is None or b is None for a, b in other) and data != indices:
        return "DYNAMIC_SHAPE: sizes beside the axis must be known"
    return ""


@emits("GatherElements", refuses=_elements_refusal)
def _gather_elements(site: Site) -> Var:
    """ONNX GatherElements as MIL gather_along_axis, of the part that the indices span."""
    mb, x = site.mb, _numeric(site, site.x)
    axis = site.axis(x, 0)
    wanted = list(ask.shape(site.node, 1) or ())
    have = list(site.dims(x))
    indices = _positions(site, 1, x, axis)
    end = [have[i] if i == axis else wanted[i] for i in range(len(have))]
    if end != have and None not in end:
        x = mb.slice_by_index(x=x, begin=[0] * len(end), end=end)
    return mb.gather_along_axis(x=x, indices=indices, axis=axis)


def _nd_refusal(node: ir.Node) -> Reason:
    indices = ask.shape(node, 1)
    if indices is None or indices[-1] is None:
        return "DYNAMIC_SHAPE: how many dimensions are indexed is not known"
    return ""


def _coordinates(site: Site, x: Var, first: int) -> Var:
    """Return the tuples of an input counted from the start, for dims from ``first`` on."""
    depth = (ask.shape(site.node, 1) or (0,))[-1] or 0
    dims = site.dims(x)[first : first + depth]
    known = site.constant(1)
    static = ask.static_shape(dims)
    if known is not None and (static is not None or known.min() >= 0):
        return np.where(known < 0, known + np.array(static or 0, np.int32), known).astype(np.int32)
    sizes = site.vector(site.shape_vector(x)[first : first + depth])
    return from_start(site, site[1], sizes)


@emits("GatherND", refuses=_nd_refusal)
def _gather_nd(site: Site) -> Var:
    """ONNX GatherND as MIL gather_nd; bools as integers."""
    x, batch = _numeric(site, site.x), site.int_("batch_dims", 0)
    options = {"batch_dims": batch} if batch else {}
    return site.mb.gather_nd(x=x, indices=_coordinates(site, x, batch), **options)


def _reduction(node: ir.Node) -> Reason:
    if ask.attr_text(node, "reduction", "none") not in _MODES:
        return "UNSUPPORTED_FORM: MIL has no such reduction"
    return ""


@emits("ScatterND", refuses=[_nd_refusal, _reduction])
def _scatter_nd(site: Site) -> Var:
    """ONNX ScatterND as MIL scatter_nd; bools as integers."""
    x = _numeric(site, site.x)
    return site.mb.scatter_nd(
        data=x,
        indices=_coordinates(site, x, 0),
        updates=_numeric(site, site[2]),
        mode=_MODES[site.text("reduction", "none")],
    )


@emits("ScatterElements", refuses=[_elements_refusal, _reduction])
def _scatter_elements(site: Site) -> Var:
    """ONNX ScatterElements as MIL scatter_along_axis.

    Where the indices span only a part, as scatter_nd with every coordinate spelled out.
    """
    mb, x = site.mb, _numeric(site, site.x)
    axis, mode = site.axis(x, 0), _MODES[site.text("reduction", "none")]
    indices, updates = _positions(site, 1, x, axis), _numeric(site, site[2])
    wanted, have = ask.static_shape(ask.shape(site.node, 1)), site.dims(x)
    whole = wanted is None or all(
        a == b for i, (a, b) in enumerate(zip(wanted, have, strict=True)) if i != axis
    )
    if whole:
        return mb.scatter_along_axis(data=x, indices=indices, updates=updates, axis=axis, mode=mode)
    assert wanted is not None
    grids = np.meshgrid(*(np.arange(size, dtype=np.int32) for size in wanted), indexing="ij")
    columns = [
        mb.reshape(x=indices, shape=[-1, 1])
        if index == axis and not isinstance(indices, np.ndarray)
        else (indices if index == axis else grid).reshape(-1, 1)
        for index, grid in enumerate(grids)
    ]
    coordinates = mb.concat(values=columns, axis=1) if len(columns) > 1 else columns[0]
    flat = mb.reshape(x=updates, shape=[-1])
    return mb.scatter_nd(data=x, indices=coordinates, updates=flat, mode=mode)


@emits("OneHot")
def _one_hot(site: Site) -> Var:
    """ONNX OneHot: a comparison of the indices with 0 ... depth - 1 chooses between two values."""
    mb = site.mb
    indices = site.cast(site.x, "int32")
    rank = len(indices.shape) + 1
    axis = site.int_("axis", -1) % rank
    known = site.ints(1)
    if known is not None:
        depth: object = np.int32(known[0])
        numbers = np.arange(known[0], dtype=np.int32)
    else:
        depth = site.as_scalar(site.cast(site[1], "int32"))
        numbers = mb.range_1d(start=np.int32(0), end=depth, step=np.int32(1))
    positive = from_start(site, indices, depth)
    spread = mb.expand_dims(x=positive, axes=[axis])
    along = mb.reshape(x=numbers, shape=[-1 if index == axis else 1 for index in range(rank)])
    values = _numeric(site, site[2])
    off = mb.squeeze(x=mb.slice_by_index(x=values, begin=[0], end=[1]), axes=[0])
    on = mb.squeeze(x=mb.slice_by_index(x=values, begin=[1], end=[2]), axes=[0])
    hit = mb.cast(x=mb.equal(x=along, y=spread), dtype="int32")
    count = site.cast(hit, site.kind(values))
    hot = mb.mul(x=count, y=on)
    cold = mb.mul(x=mb.sub(x=site.like(1, values), y=count), y=off)
    return mb.add(x=hot, y=cold)


def _top_k_count(node: ir.Node) -> int | None:
    known = ask.constant_int_list(node, 1)
    if known is not None:
        return known[0]
    dims = ask.output_shape(node)
    return None if dims is None else dims[ask.attr_int(node, "axis", -1)]


def _top_k_refusal(node: ir.Node) -> Reason:
    if _top_k_count(node) is None:
        return "NOT_CONSTANT: MIL wants k to be a constant"
    return ""


@emits("TopK", refuses=_top_k_refusal)
def _top_k(site: Site) -> tuple[Var, Var]:
    """ONNX TopK as MIL topk."""
    values, indices = site.mb.topk(
        x=site.x,
        k=_top_k_count(site.node),
        axis=site.axis(site.x),
        ascending=not site.int_("largest", 1),
    )
    return values, indices


@emits("NonZero")
def _non_zero(site: Site) -> Var:
    """ONNX NonZero as MIL non_zero, whose result is transposed."""
    return site.mb.transpose(x=site.mb.non_zero(x=_numeric(site, site.x)), perm=[1, 0])


@emits("CumSum", refuses=constant_inputs(1), wraps=True)
def _cumsum(site: Site) -> Var:
    """ONNX CumSum as MIL cumsum."""
    axis = (site.ints(1) or [0])[0] % len(site.x.shape)
    return site.mb.cumsum(
        x=site.x,
        axis=axis,
        exclusive=bool(site.int_("exclusive", 0)),
        reverse=bool(site.int_("reverse", 0)),
    )
