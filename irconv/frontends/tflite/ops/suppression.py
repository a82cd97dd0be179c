"""Suppression of boxes that overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irconv.frontends.tflite.ops.registry import converts
from irconv.frontends.tflite.refusal import RefusalError

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.frontends.tflite.site import Site

__all__: list[str] = []


@converts("NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5")
def non_max_suppression(site: Site) -> None:
    """NON_MAX_SUPPRESSION: NonMaxSuppression of one class, filled up with zeros to its limit."""
    nodes = site.nodes
    soft = site.code == "NON_MAX_SUPPRESSION_V5"
    if soft:
        sigma = site.constant(5)
        if sigma is None or float(sigma.reshape(-1)[0]) != 0.0:
            raise RefusalError("it lowers scores instead of dropping boxes (soft NMS)")
    boxes = nodes.unsqueeze(site.input(0).real(), 0)
    scores = nodes.unsqueeze(site.input(1).real(), 0, 1)
    limit = nodes.reshape(site.int64(2), [1])
    overlap, least = (nodes.reshape(site.input(index).real(), [1]) for index in (3, 4))
    chosen = nodes.op("NonMaxSuppression", boxes, scores, limit, overlap, least)
    chosen = nodes.reshape(nodes.slice(chosen, [2], [3], [1]), [-1])
    count = nodes.sizes(chosen)
    pads = nodes.op("Concat", nodes.ints([0]), nodes.op("Sub", limit, count), axis=0)
    picked = nodes.op("Gather", site.input(1).real(), chosen)
    results: list[ir.Value] = [nodes.op("Pad", chosen, pads)]
    if soft:
        results.append(nodes.op("Pad", picked, pads))
    results.append(nodes.reshape(count, []))
    for index, value in enumerate(results):
        output = site.output(index)
        output.set_raw(nodes.cast(value, output.tensor.dtype))
