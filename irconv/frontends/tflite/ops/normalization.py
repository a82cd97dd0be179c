"""Operators that bring numbers into a common measure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irconv.frontends.tflite.ops.registry import converts

if TYPE_CHECKING:
    from irconv.frontends.tflite.site import Site

__all__: list[str] = []

_SMALLEST_SQUARE = 1e-6


@converts("SOFTMAX")
def softmax(site: Site) -> None:
    """SOFTMAX along the channels: Softmax, after Mul where it has a factor."""
    x, nodes = site.input(0), site.nodes
    first = site.follows_first(x)
    value = x.real(first=first)
    beta = float(site.option("beta"))
    if beta != 1.0:
        value = nodes.op("Mul", value, nodes.constant(beta, "float32"))
    site.write(nodes.op("Softmax", value, axis=1 if first else -1), first=first)


@converts("LOG_SOFTMAX")
def log_softmax(site: Site) -> None:
    """LOG_SOFTMAX along the channels: LogSoftmax."""
    x = site.input(0)
    first = site.follows_first(x)
    value = site.nodes.op("LogSoftmax", x.real(first=first), axis=1 if first else -1)
    site.write(value, first=first)


@converts("L2_NORMALIZATION")
def l2_normalization(site: Site) -> None:
    """L2_NORMALIZATION along the channels: Div by the root of the sum of squares."""
    x, nodes = site.input(0), site.nodes
    first = site.follows_first(x)
    value = x.real(first=first)
    total = nodes.op("ReduceSumSquare", value, nodes.ints([1 if first else -1]))
    total = nodes.op("Max", total, nodes.constant(_SMALLEST_SQUARE, "float32"))
    site.write(nodes.op("Div", value, nodes.op("Sqrt", total)), first=first)


@converts("LOCAL_RESPONSE_NORMALIZATION")
def local_response_normalization(site: Site) -> None:
    """LOCAL_RESPONSE_NORMALIZATION: LRN, whose alpha is divided by its size."""
    size = 2 * int(site.option("radius")) + 1
    value = site.nodes.op(
        "LRN",
        site.input(0).real(first=True),
        size=size,
        alpha=float(site.option("alpha")) * size,
        beta=float(site.option("beta")),
        bias=float(site.option("bias")),
    )
    site.write(value, first=True)
