"""Conversion between dtypes (ONNX sections Cast, CastLike, BitCast)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from irconv_torchscript.dtypes import ANY, UNSIGNED, WIDTHS
from irconv_torchscript.held import Held, Node
from irconv_torchscript.registry import emits

if TYPE_CHECKING:
    from irconv_torchscript.site import Site

__all__ = ["converted"]

_T = ir.DataType
_FLOAT8 = (_T.FLOAT8E4M3FN, _T.FLOAT8E4M3FNUZ, _T.FLOAT8E5M2, _T.FLOAT8E5M2FNUZ)
_LARGEST = {
    _T.FLOAT8E4M3FN: 448.0, _T.FLOAT8E4M3FNUZ: 240.0, _T.FLOAT8E5M2: 57344.0,
    _T.FLOAT8E5M2FNUZ: 57344.0,
}  # fmt: skip
_NARROW = {_T.INT4: 4, _T.UINT4: 4, _T.INT2: 2, _T.UINT2: 2}
_STORED_FLOATS = (*_FLOAT8, _T.FLOAT8E8M0, _T.FLOAT4E2M1)


def converted(
    site: Site, node: Node, source: ir.DataType, target: ir.DataType, *, saturate: bool = True
) -> Node:
    """Return a value of dtype ``source`` in dtype ``target``, as section Cast says."""
    if source == target:
        return node
    if source in _STORED_FLOATS and source != _T.FLOAT4E2M1:
        node, source = site.method("to", node, site.builder.dtype("float32")), _T.FLOAT
    wanted = site.torch_dtype(target)
    if target in _FLOAT8:
        largest = _LARGEST[target]
        return site.call("casting.to_float8", node, wanted, saturate, largest,
                         target in (_T.FLOAT8E4M3FNUZ, _T.FLOAT8E5M2FNUZ))  # fmt: skip
    if target == _T.FLOAT8E8M0:
        mode = site.attr("round_mode", "up") if site.node.op_type == "Cast" else "up"
        return site.call("casting.to_scale", node, mode, saturate)
    if target == _T.FLOAT4E2M1:
        return site.call("casting.to_float4", node)
    if target == _T.BOOL:
        return site.method("to", node, wanted)
    if source == _T.UINT64 and target.is_floating_point():
        return site.call("unsigned.to_float", node, wanted)
    if target == _T.UINT64 and source.is_floating_point():
        return site.call("unsigned.from_float", node)
    if source.is_floating_point() and not target.is_floating_point():
        node = site.method("to", node, site.builder.dtype("int64"))
    if target in _NARROW:
        node = site.method("to", node, site.builder.dtype("int64"))
        node = site.call("casting.to_narrow", node, _NARROW[target], target in (_T.INT4, _T.INT2))
    elif target in (_T.UINT16, _T.UINT32):
        node = site.method("to", node, site.builder.dtype("int64"))
        node = site.torch("bitwise_and", node, (1 << WIDTHS[target]) - 1)
    return site.method("to", node, wanted)


@emits("Cast", "CastLike", dtypes=ANY)
def cast(site: Site) -> Any:
    """Sections Cast, CastLike."""
    source = site.dtype()
    target = _T(site.attr("to")) if site.node.op_type == "Cast" else site.dtype(1)
    held = site.held(0)
    if source == target == _T.INT64 and held.ints is not None:
        return held
    if source == _T.INT64 and target == _T.INT64:
        return Held(site.tensor(0))
    return converted(site, site.tensor(0), source, target, saturate=bool(site.attr("saturate", 1)))


@emits("BitCast", dtypes=UNSIGNED)
def bit_cast(site: Site) -> Node:
    """Section BitCast: torch.view_copy in the dtypes of the interface."""
    from irconv_torchscript.dtypes import CARRIERS, INTERFACE

    source, target = site.dtype(), _T(site.attr("to"))
    node = site.tensor(0)
    if source in WIDTHS and source != _T.UINT64:
        node = site.method("to", node, site.builder.dtype(INTERFACE[source]))
    name = "int64" if target == _T.UINT64 else INTERFACE[target]
    node = site.torch("view_copy", node, dtype=site.builder.dtype(name))
    if target in WIDTHS and target != _T.UINT64:
        node = site.method("to", node, site.builder.dtype(CARRIERS[target]))
    return node
