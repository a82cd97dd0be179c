"""Palettes: constants that are stored as indices into a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from irconv_coreml import node as ask
from irconv_coreml.site import Site, Var

__all__ = ["palette_indices", "stored_palette"]

_BITS = {16: 4, 64: 6, 256: 8}
"""Width of an index by the size of the table; widths that all deployment targets have."""


def palette_indices(site: Site) -> np.ndarray[Any, Any] | None:
    """Return the constant uint8 indices of a Gather from a table of floats, or None."""
    table, value = site.constant(0), ask.given(site.node, 1)
    cast = value.producer() if value is not None else None
    if table is None or table.ndim != 1 or table.size not in _BITS or table.dtype.kind != "f":
        return None
    if cast is None or cast.op_type != "Cast" or not site.program.has_stored_weights:
        return None
    indices = ask.constant(cast, 0) if ask.dtype(cast, 0) == ir.DataType.UINT8 else None
    if indices is None or not indices.size or indices.max() >= table.size:
        return None
    return indices


def stored_palette(site: Site, indices: np.ndarray[Any, Any]) -> Var:
    """Return MIL constexpr_lut_to_dense: packed bits up to iOS17, narrow integers from iOS18."""
    from coremltools.converters.mil.mil import types

    table = site.constant(0)
    assert table is not None
    bits, hold = _BITS[table.size], site.program.hold
    table = hold(table, ask.given(site.node, 0))
    if site.program.has_blocks:
        narrow = {4: types.np_uint4_dtype, 6: types.np_uint6_dtype, 8: np.uint8}[bits]
        return site.mb.constexpr_lut_to_dense(
            indices=hold(indices, ask.given(site.node, 1)).astype(narrow),
            lut=table.reshape(*[1] * indices.ndim, table.size, 1),
        )
    bit_table = np.unpackbits(indices.reshape(-1, 1), axis=1, bitorder="little")[:, :bits]
    return site.mb.constexpr_lut_to_dense(
        indices=hold(np.packbits(bit_table, bitorder="little"), ask.given(site.node, 1)),
        lut=table,
        shape=np.array(indices.shape, np.uint32),
    )
