"""Mod of floating-point numbers, which OpenVINO takes with ``fmod=1`` only."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.passes.decompose.site import Site

__all__ = ["modulo"]


def modulo(site: Site) -> ir.Value:
    """ONNX Mod (since 10) with ``fmod=0``: of the C remainder, which has the sign of the data.

    The divisor is added where the two signs differ, as NumPy does. OpenVINO gives NaN for an
    infinite divisor, by which a finite number stays as it is.
    """
    data, divisor = site.input(0), site.input(1)
    finite = site.op("Not", site.op("IsInf", data))
    whole = site.op("And", site.op("IsInf", divisor), finite)
    remainder = site.op("Where", whole, data, site.op("Mod", data, divisor, fmod=1))
    below, negative = site.op("Less", remainder, 0.0), site.op("Less", divisor, 0.0)
    exact = site.op("Equal", remainder, 0.0)
    differs = site.op("And", site.op("Xor", below, negative), site.op("Not", exact))
    return site.op("Where", differs, site.op("Add", remainder, divisor), remainder)
