"""Values that come from sizes and numbers alone."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from irconv_coreml import node as ask
from irconv_coreml.dtypes import MIL_DTYPES
from irconv_coreml.ops.refusals import static_input
from irconv_coreml.ops.registry import Reason, emits
from irconv_coreml.site import NUMPY_DTYPES, Site, Var

__all__: list[str] = []


@emits("Shape")
def _shape(site: Site) -> Var:
    """ONNX Shape as MIL shape, or a constant; ``start`` and ``end`` slice it."""
    x = site.x
    rank = len(x.shape)
    first, last, _ = slice(site.int_("start", 0), site.int_("end", rank)).indices(rank)
    dims = ask.static_shape(site.dims(x)[first:last])
    if dims is not None:
        return np.array(dims, np.int32)
    whole = site.mb.shape(x=x)
    if (first, last) == (0, rank):
        return whole
    return site.mb.slice_by_index(x=whole, begin=[first], end=[last])


@emits("Size")
def _size(site: Site) -> Var:
    """ONNX Size: the product of the sizes."""
    dims = ask.static_shape(site.dims(site.x))
    if dims is not None:
        return np.int32(np.prod(dims, dtype=np.int64))
    return site.mb.reduce_prod(x=site.mb.shape(x=site.x), keep_dims=False)


@emits("Range")
def _range(site: Site) -> Var:
    """ONNX Range as MIL range_1d."""
    start, end, step = (site.as_scalar(var) for var in site.all())
    return site.mb.range_1d(start=start, end=end, step=step)


def _length(node: ir.Node) -> Reason:
    dims = ask.shape(node, 0)
    if dims is None or dims[0] is None:
        return "DYNAMIC_RANK: the rank of its output is not known"
    return ""


@emits("ConstantOfShape", refuses=_length)
def _constant_of_shape(site: Site) -> Var:
    """ONNX ConstantOfShape as MIL fill."""
    kind = site.out_mil()
    attribute = site.node.attributes.get("value")
    value = 0 if attribute is None else attribute.as_tensor().numpy().reshape(-1)[0]
    number = NUMPY_DTYPES[kind](value)
    if (ask.shape(site.node, 0) or (0,))[0] == 0:
        return number
    return site.mb.fill(shape=site.x, value=number)


@emits("EyeLike", refuses=static_input)
def _eye_like(site: Site) -> Var:
    """ONNX EyeLike as a constant."""
    rows, columns = (dim or 1 for dim in site.dims(site.x))
    kind = MIL_DTYPES[site.out_dtype()]
    return np.eye(rows, columns, site.int_("k", 0)).astype(NUMPY_DTYPES[kind])
