"""Pooling of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irconv.frontends.tflite.ops.registry import converts
from irconv.frontends.tflite.windows import window_attributes

if TYPE_CHECKING:
    from typing import Any

    from irconv.frontends.tflite.site import Site

__all__: list[str] = []


@converts("AVERAGE_POOL_2D")
def average_pool_2d(site: Site) -> None:
    """AVERAGE_POOL_2D: AveragePool over what is not padding."""
    x = site.input(0).real(first=True)
    site.write(site.nodes.op("AveragePool", x, **_window(site)), first=True)


@converts("MAX_POOL_2D")
def max_pool_2d(site: Site) -> None:
    """MAX_POOL_2D: MaxPool."""
    x = site.input(0).real(first=True)
    site.write(site.nodes.op("MaxPool", x, **_window(site)), first=True)


@converts("L2_POOL_2D")
def l2_pool_2d(site: Site) -> None:
    """L2_POOL_2D: the root of the mean of squares."""
    nodes = site.nodes
    x = site.input(0).real(first=True)
    mean = nodes.op("AveragePool", nodes.op("Mul", x, x), **_window(site))
    site.write(nodes.op("Sqrt", mean), first=True)


def _window(site: Site) -> dict[str, Any]:
    kernel = [int(site.option(f"filter_{side}")) for side in ("height", "width")]
    return window_attributes(site, site.input(0).shape[1:-1], kernel)
