"""Operators that only move elements: other shapes, other orders, joining and splitting."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from irconv_coreml import node as ask
from irconv_coreml.ops.refusals import constant_inputs, float_input
from irconv_coreml.ops.registry import Reason, emits
from irconv_coreml.site import Dim, Site, Var

__all__: list[str] = []


def _target_refusal(node: ir.Node) -> Reason:
    if ask.output_shape(node) is None:
        return "DYNAMIC_RANK: the rank of its output is not known"
    return ""


@emits("Reshape", refuses=_target_refusal)
def _reshape(site: Site) -> Var:
    """ONNX Reshape as MIL reshape: to known sizes, with at most one -1, or to a computed shape.

    A 0 stands for the input's size there; MIL has that only where the ranks are equal.
    """
    x, wanted = site.x, site.ints(1)
    known = ask.static_shape(site.out_shape())
    if known is not None:
        return site.reshape(x, known)
    if wanted is None:
        rank = len(site.out_shape() or ())
        return site.mb.reshape(x=x, shape=site[1]) if rank else site.as_scalar(x)
    sizes = site.shape_vector(x) if 0 in wanted else []
    return site.reshape(x, [sizes[i] if size == 0 else size for i, size in enumerate(wanted)])


@emits("Flatten")
def _flatten(site: Site) -> Var:
    """ONNX Flatten as MIL reshape to two dimensions."""
    x = site.x
    axis, dims = site.int_("axis", 1), site.dims(x)
    axis += len(dims) if axis < 0 else 0
    rows, columns = _product(dims[:axis]), _product(dims[axis:])
    if rows is None and columns is None:
        whole = site.mb.shape(x=x)
        head = site.mb.slice_by_index(x=whole, begin=[0], end=[axis])
        return site.reshape(x, [site.mb.reduce_prod(x=head, keep_dims=True), -1])
    return site.reshape(x, [-1 if rows is None else rows, -1 if columns is None else columns])


def _product(dims: tuple[Dim, ...]) -> int | None:
    known = ask.static_shape(dims)
    return None if known is None else math.prod(known)


def _axes_or_static(node: ir.Node) -> Reason:
    if ask.static_shape(ask.output_shape(node)) is not None:
        return ""
    if ask.given(node, 1) is not None and ask.constant(node, 1) is None:
        return "NOT_CONSTANT: MIL wants the axes to be constants"
    if ask.given(node, 1) is None and ask.static_shape(ask.shape(node, 0)) is None:
        return "DYNAMIC_SHAPE: which dimensions are 1 is not known"
    return ""


@emits("Squeeze", refuses=_axes_or_static)
def _squeeze(site: Site) -> Var:
    """ONNX Squeeze as MIL squeeze, or reshape where only the result is known."""
    known, axes = ask.static_shape(site.out_shape()), site.ints(1)
    if axes is None and site.has(1):
        return site.reshape(site.x, known or ())
    if axes is None:
        axes = [index for index, dim in enumerate(site.dims(site.x)) if dim == 1]
    return site.mb.squeeze(x=site.x, axes=axes) if axes else site.x


@emits("Unsqueeze", refuses=_axes_or_static)
def _unsqueeze(site: Site) -> Var:
    """ONNX Unsqueeze as MIL expand_dims, or reshape where only the result is known."""
    axes = site.ints(1)
    if axes is None:
        return site.reshape(site.x, ask.static_shape(site.out_shape()) or ())
    rank = len(site.x.shape) + len(axes)
    return site.mb.expand_dims(x=site.x, axes=sorted(axis % rank for axis in axes))


@emits("Transpose")
def _transpose(site: Site) -> Var:
    """ONNX Transpose as MIL transpose."""
    rank = len(site.x.shape)
    perm = site.int_list("perm") or list(range(rank))[::-1]
    return site.mb.transpose(x=site.x, perm=perm) if rank > 1 else site.x


@emits("Concat")
def _concat(site: Site) -> Var:
    """ONNX Concat as MIL concat."""
    values = site.all()
    if len(values) == 1:
        return values[0]
    return site.mb.concat(values=values, axis=site.axis(values[0], 0))


def _split_sizes(node: ir.Node) -> list[int] | None:
    """Return the sizes of the pieces, from the node or from what is known of the outputs."""
    wanted = ask.constant_int_list(node, 1)
    if wanted is not None:
        return wanted
    dims = ask.shape(node, 0) or ()
    axis = ask.attr_int(node, "axis", 0) % max(1, len(dims))
    pieces = [shape[axis] for shape in (ask.output_shape(node, i) or (None,) * (axis + 1)
                                        for i in range(len(node.outputs)))]  # fmt: skip
    known = ask.static_shape(tuple(pieces))
    if known is not None:
        return list(known)
    size, count = dims[axis] if dims else None, len(node.outputs)
    if size is None or ask.given(node, 1) is not None:
        return None
    step = -(-size // count)
    return [min(step, size - index * step) for index in range(count)]


def _split_refusal(node: ir.Node) -> Reason:
    if _split_sizes(node) is None:
        return "DYNAMIC_SHAPE: the sizes of the pieces must be known"
    return ""


@emits("Split", refuses=_split_refusal)
def _split(site: Site) -> list[Var]:
    """ONNX Split as MIL split."""
    sizes = _split_sizes(site.node)
    assert sizes is not None
    if len(sizes) == 1:
        return [site.x]
    return list(site.mb.split(x=site.x, split_sizes=sizes, axis=site.axis(site.x, 0)))


@emits("Expand", refuses=_target_refusal)
def _expand(site: Site) -> Var:
    """ONNX Expand: MIL tile where all sizes are known, otherwise a product with ones."""
    mb, x = site.mb, site.x
    have, known = ask.static_shape(site.dims(x)), ask.static_shape(site.out_shape())
    if have is not None and known is not None:
        if have == known:
            return x
        full = (1,) * (len(known) - len(have)) + have
        wide = x if full == have else site.mb.reshape(x=x, shape=np.array(full, np.int32))
        reps = [goal // size for goal, size in zip(known, full, strict=True)]
        return mb.tile(x=wide, reps=reps) if any(rep != 1 for rep in reps) else wide
    number = site.cast(x, "int32") if site.kind(x) == "bool" else x
    ones = mb.fill(shape=site[1], value=site.like(1, number))
    return site.cast(mb.mul(x=number, y=ones), site.kind(x))


@emits("Tile")
def _tile(site: Site) -> Var:
    """ONNX Tile as MIL tile."""
    reps = site.ints(1)
    return site.mb.tile(x=site.x, reps=site[1] if reps is None else reps)


def _blocks(op_type: str, native: str) -> None:
    @emits(op_type, refuses=float_input)
    def emit(site: Site) -> Var:
        block = site.int_("blocksize", 1)
        if site.text("mode", "DCR") == "CRD" and op_type == "DepthToSpace":
            return site.mb.pixel_shuffle(x=site.x, upscale_factor=block)
        if site.text("mode", "DCR") == "CRD":
            return site.mb.pixel_unshuffle(x=site.x, downscale_factor=np.uint32(block))
        return getattr(site.mb, native)(x=site.x, block_size=block)

    emit.__doc__ = f"ONNX {op_type} as MIL {native}; the order CRD is a pixel shuffle."


_blocks("DepthToSpace", "depth_to_space")
_blocks("SpaceToDepth", "space_to_depth")


@emits("ReverseSequence")
def _reverse_sequence(site: Site) -> Var:
    """ONNX ReverseSequence as MIL reverse_sequence."""
    return site.mb.reverse_sequence(
        x=site.x,
        lengths=site[1],
        seq_axis=site.int_("time_axis", 0),
        batch_axis=site.int_("batch_axis", 1),
    )


def _triangle_refusal(node: ir.Node) -> Reason:
    dims = ask.shape(node, 0) or (None, None)
    if None in dims[-2:]:
        return "DYNAMIC_SHAPE: the sizes of the matrices must be known"
    return constant_inputs(1)(node)


@emits("Trilu", refuses=_triangle_refusal)
def _trilu(site: Site) -> Var:
    """ONNX Trilu: a choice between the input and 0 by a constant triangle."""
    mb, x, offset = site.mb, site.x, (site.ints(1) or [0])[0]
    rows, columns = (dim or 1 for dim in site.dims(x)[-2:])
    lower = not site.int_("upper", 1)
    keep = np.tri(rows, columns, offset if lower else offset - 1, dtype=np.bool_)
    keep = keep if lower else ~keep
    if site.kind(x) == "bool":
        return mb.logical_and(x=x, y=keep)
    shape = [1] * (len(x.shape) - 2) + [rows, columns]
    factor = keep.reshape(shape)
    return mb.select(cond=np.broadcast_to(factor, shape), a=x, b=site.like(0, x))
