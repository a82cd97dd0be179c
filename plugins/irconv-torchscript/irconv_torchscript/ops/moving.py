"""Operators that move values: shapes, joining, cutting."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from irconv_torchscript.dtypes import ANY
from irconv_torchscript.held import Held, Node
from irconv_torchscript.registry import emits

if TYPE_CHECKING:
    from irconv_torchscript.site import Site

_INTEGERS = (ir.DataType.INT64, ir.DataType.INT32)
_FAR = 1 << 62


def _same_ints(site: Site) -> list[Any] | None:
    """Return the integers of the first input, if it is no tensor yet."""
    value = site.value(0)
    held = site.held(0)
    if value is None or value.dtype != ir.DataType.INT64 or held.tensor is not None:
        return None
    return held.ints


def sizes_of(site: Site, index: int = 0) -> Any:
    """Return the sizes of an input: numbers where they are fixed, nodes where not."""
    dims = site.dims(index)
    tensor = site.tensor(index)
    if dims is None:
        return site.call("shapes.sizes", tensor)
    return [site.method("size", tensor, axis) if dim is None else dim
            for axis, dim in enumerate(dims)]  # fmt: skip


@emits("Constant", dtypes=ANY, refuse=lambda node: _sparse(node))
def constant(site: Site) -> Held:
    """Section Constant."""
    from irconv.graph.constants import constant_tensor

    value = site.node.outputs[0]
    tensor = constant_tensor(value)
    assert tensor is not None
    return site.builder.constant_held(value, tensor)


def _sparse(node: ir.Node) -> str:
    return "sparse constants are not built" if "sparse_value" in node.attributes else ""


@emits("Identity", dtypes=ANY)
def identity(site: Site) -> Held:
    """Section Identity."""
    return site.held(0)


@emits("Dropout")
def dropout(site: Site) -> tuple[Any, ...]:
    """Section Dropout: nothing is dropped in inference; in training, by torch's random numbers."""
    training = site.const(2)
    value = site.tensor(0)
    if not site.given(2) or (training is not None and not training.item()):
        return value, site.torch("ones_like", value, dtype=site.builder.dtype("bool"))
    return site.items(site.call("random.dropout", *[site.tensor(i) for i in range(3)]), 2)


@emits("Shape", dtypes=ANY)
def shape(site: Site) -> Any:
    """Section Shape: sizes stay integers."""
    sizes = sizes_of(site)
    start, end = site.attr("start", 0), site.attr("end")
    if not isinstance(sizes, list):
        node = site.call("shapes.part", sizes, start, _FAR if end is None else end)
        return site.call("shapes.tensor_of_ints", node, site.builder.dtype("int64"))
    return Held(ints=sizes[start:end])


@emits("Size", dtypes=ANY)
def size(site: Site) -> Any:
    """Section Size."""
    dims = site.dims()
    if dims is not None and None not in dims:
        return Held(ints=[math.prod(dim for dim in dims if dim is not None)], scalar=True)
    return Held(ints=[site.method("numel", site.tensor(0))], scalar=True)


@emits("Reshape", dtypes=ANY)
def reshape(site: Site) -> Any:
    """Section Reshape: torch.reshape; 0 copies a size unless allowzero."""
    target = site.ints(1)
    if not isinstance(target, list) or site.held(1).ints is None:
        return site.call("shapes.reshape", site.tensor(0), target, bool(site.attr("allowzero", 0)))
    ints = _same_ints(site)
    if ints is not None and target in ([-1], [1], []) and (target == [-1] or len(ints) == 1):
        return Held(ints=ints, scalar=not target)
    tensor = site.tensor(0)
    if not site.attr("allowzero", 0):
        target = [
            site.method("size", tensor, axis) if dim == 0 and isinstance(dim, int) else dim
            for axis, dim in enumerate(target)
        ]
    return site.torch("reshape", tensor, site.list_of(target))


@emits("Flatten", dtypes=ANY)
def flatten(site: Site) -> Node:
    """Section Flatten: two dimensions."""
    axis, rank = site.attr("axis", 1), site.rank()
    if axis == 1 and rank is not None and rank > 1:
        return site.torch("flatten", site.tensor(0), 1)
    return site.call("shapes.flatten", site.tensor(0), axis)


@emits("Squeeze", dtypes=ANY)
def squeeze(site: Site) -> Any:
    """Section Squeeze: torch.squeeze; a size other than 1 is an error."""
    ints = _same_ints(site)
    if ints is not None and len(ints) == 1 and not site.held(0).scalar:
        return Held(ints=ints, scalar=True)
    if not site.given(1):
        return site.torch("squeeze", site.tensor(0))
    axes = site.const(1)
    if axes is not None and axes.size == 1:
        return site.torch("squeeze", site.tensor(0), int(axes.reshape(-1)[0]))
    return site.call("shapes.squeeze", site.tensor(0), site.int_list(1))


@emits("Unsqueeze", dtypes=ANY)
def unsqueeze(site: Site) -> Any:
    """Section Unsqueeze: torch.unsqueeze."""
    ints = _same_ints(site)
    axes = site.const(1)
    if axes is not None and axes.size == 1:
        if ints is not None and site.held(0).scalar:
            return Held(ints=ints)
        return site.torch("unsqueeze", site.tensor(0), int(axes.reshape(-1)[0]))
    return site.call("shapes.unsqueeze", site.tensor(0), site.int_list(1))


@emits("Transpose", dtypes=ANY)
def transpose(site: Site) -> Node:
    """Section Transpose: torch.permute."""
    permutation = site.attr("perm")
    if permutation is None:
        return site.call("shapes.reverse_axes", site.tensor(0))
    return site.torch("permute", site.tensor(0), site.list_of(permutation))


@emits("Concat", dtypes=ANY)
def concat(site: Site) -> Any:
    """Section Concat: torch.cat."""
    held = [site.held(index) for index in range(site.count)]
    if site.dtype() == ir.DataType.INT64 and all(
        entry.ints is not None and not entry.scalar for entry in held
    ):
        return Held(ints=[item for entry in held for item in entry.ints or ()])
    return site.torch("cat", site.tensors(), site.attr("axis"))


@emits("Split", dtypes=ANY)
def split(site: Site) -> tuple[Node, ...]:
    """Section Split: torch.split with sizes; equal parts but the last where none are given."""
    axis, number = site.attr("axis", 0), len(site.node.outputs)
    if site.given(1):
        parts = site.torch("split_with_sizes", site.tensor(0), site.int_list(1), axis)
    else:
        parts = site.call("shapes.split_evenly", site.tensor(0), number, axis)
    return site.items(parts, number)


@emits("Slice", dtypes=ANY)
def slice_(site: Site) -> Any:
    """Section Slice: torch's own slicing where axes and steps are constant and steps forward."""
    starts, ends = site.ints(1), site.ints(2)
    known = isinstance(starts, list) and isinstance(ends, list)
    axes = (
        _constant_row(site, 3)
        if site.given(3)
        else (list(range(len(starts))) if isinstance(starts, list) else None)
    )
    steps = _constant_row(site, 4) if site.given(4) else ([1] * len(axes) if axes else axes)
    rank = site.rank()
    if not known or axes is None or steps is None or min(steps, default=1) < 1:
        return _dynamic_slice(site)
    if min(axes, default=0) < 0:
        if rank is None:
            return _dynamic_slice(site)
        axes = [axis % rank for axis in axes]
    bounds = [(_near(low), _near(high)) for low, high in zip(starts, ends, strict=True)]
    ints = _same_ints(site)
    if ints is not None and len(bounds) == 1 and all(isinstance(b, int) for b in bounds[0]):
        return Held(ints=ints[bounds[0][0] : bounds[0][1] : steps[0]])
    if not axes:
        return site.held(0)
    index = [slice(None)] * (max(axes) + 1)
    for axis, (low, high), step in zip(axes, bounds, steps, strict=True):
        index[axis] = slice(low, high, step)
    return site.item(site.tensor(0), tuple(index))


def _constant_row(site: Site, index: int) -> list[int] | None:
    array = site.const(index)
    return None if array is None else [int(item) for item in array.reshape(-1)]


def _near(bound: Any) -> Any:
    """TorchScript has no literal for the least integer."""
    return max(-_FAR, min(_FAR, bound)) if isinstance(bound, int) else bound


def _dynamic_slice(site: Site) -> Node:
    rows = []
    for index in range(1, 5):
        row = site.ints(index) if site.given(index) else None
        if isinstance(row, list):
            row = site.list_of([_near(item) for item in row])
        rows.append(row)
    return site.call("shapes.slice_axes", site.tensor(0), *rows)


@emits("Expand", dtypes=ANY)
def expand(site: Site) -> Node:
    """Section Expand: broadcasting in both directions."""
    return site.call("shapes.expand", site.tensor(0), site.int_list(1))


@emits("Tile", dtypes=ANY)
def tile(site: Site) -> Node:
    """Section Tile: Tensor.repeat."""
    return site.method("repeat", site.tensor(0), site.int_list(1))


@emits("ConstantOfShape", dtypes=ANY)
def constant_of_shape(site: Site) -> Node:
    """Section ConstantOfShape: a constant, expanded."""
    import numpy as np

    tensor = site.attr("value")
    array = np.zeros((), np.float32) if tensor is None else tensor.numpy().reshape(())
    dtype = ir.DataType.FLOAT if tensor is None else tensor.dtype
    fill = site.builder.weight("fill", array, dtype)
    return site.call("shapes.filled", fill, site.int_list(0))


@emits("Range")
def range_(site: Site) -> Node:
    """Section Range: torch.arange, with as many elements as ONNX says."""
    if site.dtype() in _INTEGERS:
        bounds = [site.integer(index) for index in range(3)]
        return site.torch("arange", *bounds, dtype=site.torch_dtype(site.dtype()))
    return site.call("shapes.float_range", *site.tensors())


@emits("DepthToSpace", "SpaceToDepth", dtypes=ANY)
def blocks(site: Site) -> Node:
    """Sections DepthToSpace, SpaceToDepth: reshape, permute, reshape."""
    size = site.attr("blocksize")
    if site.node.op_type == "SpaceToDepth":
        return site.call("shapes.space_to_depth", site.tensor(0), size,
                         site.attr("mode", "DCR") == "CRD")  # fmt: skip
    return site.call(
        "shapes.depth_to_space", site.tensor(0), size, site.attr("mode", "DCR") == "CRD"
    )


@emits("EyeLike")
def eye_like(site: Site) -> Node:
    """Section EyeLike."""
    dtype = ir.DataType(site.attr("dtype", site.dtype()))
    return site.call("shapes.eye_like", site.tensor(0), site.attr("k", 0), site.torch_dtype(dtype))


@emits("Trilu", dtypes=ANY)
def trilu(site: Site) -> Node:
    """Section Trilu: torch.triu, tril."""
    diagonal = site.integer(1) if site.given(1) else 0
    name = "triu" if site.attr("upper", 1) else "tril"
    return site.call(f"shapes.{name}", site.tensor(0), diagonal)


@emits("Pad", dtypes=ANY)
def pad(site: Site) -> Node:
    """Section Pad: constant values by torch.nn.functional.pad, other modes by index."""
    mode = site.attr("mode", "constant")
    value = site.tensor(2)
    pads = site.int_list(1)
    axes = site.int_list(3) if site.given(3) else None
    return site.call("padding.pad", site.tensor(0), pads, value, axes, mode)
