"""If, Loop and Scan as TorchScript's own branches and loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from irconv_torchscript.dtypes import ANY
from irconv_torchscript.registry import emits

if TYPE_CHECKING:
    from irconv_torchscript.site import Site


@emits("If", dtypes=ANY)
def if_(site: Site) -> tuple[Any, ...]:
    """Section If."""
    from irconv_torchscript.bodies import build_if

    return build_if(site)


@emits("Loop", dtypes=ANY)
def loop(site: Site) -> tuple[Any, ...]:
    """Section Loop."""
    from irconv_torchscript.bodies import build_loop

    return build_loop(site)


@emits("Scan", dtypes=ANY, refuse=lambda node: _old(node))
def scan(site: Site) -> tuple[Any, ...]:
    """Section Scan, version 9 and later."""
    from irconv_torchscript.bodies import build_scan

    return build_scan(site)


def _old(node: ir.Node) -> str:
    if "directions" in node.attributes:
        return "Scan of opset 8 is not built"
    return ""
