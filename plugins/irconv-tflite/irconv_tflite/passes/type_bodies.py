"""Types of what a loop hands from step to step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from irconv.passes.base import Pass, PassContext, PassResult

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["TypeBodies"]

_COUNTERS = 2


@dataclass(frozen=True)
class TypeBodies(Pass):
    """Give the inputs of a Loop's body the types of what the loop starts with.

    ONNX lets a body leave them out. Dtype and rank cannot change from step to step where the
    model is to run on TFLite; sizes may, so only those that the loop's own result has too are
    taken over.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (int64 trips, float[2, 3] x) => (float[2, 3] y) {
            y = Loop <body = b (int64 i, bool going, a) => (bool on, float[2, 3] c)
                { on = Identity(going)  c = Add(a, a) }> (trips, , x)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (int64 trips, float[2, 3] x) => (float[2, 3] y) {
            y = Loop <body = b (int64 i, bool going, float[2, 3] a) => (bool on, float[2, 3] c)
                { on = Identity(going)  c = Add(a, a) }> (trips, , x)
        }
    """

    name: ClassVar[str] = "type-bodies"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes",)

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Type the inputs of all bodies; linear in nodes."""
        from irconv.graph.walk import all_nodes

        del context
        changed = sum(
            _type_body(node)
            for node in all_nodes(model)
            if node.op_type == "Loop" and node.domain == ""
        )
        return PassResult(changed > 0, {"values": changed})


def _type_body(node: ir.Node) -> int:
    import onnx_ir as ir

    body = node.attributes["body"].as_graph()
    changed = 0
    scalars = (ir.DataType.INT64, ir.DataType.BOOL)
    for value, dtype in zip(body.inputs, scalars, strict=False):
        if value.type is None:
            value.type = ir.TensorType(dtype)
            changed += 1
        if value.shape is None:
            value.shape = ir.Shape([])
            changed += 1
    states = zip(
        body.inputs[_COUNTERS:], node.inputs[_COUNTERS:], node.outputs, body.outputs[1:],
        strict=False,
    )  # fmt: skip
    for value, start, result, last in states:
        if start is None:
            continue
        if value.type is None and start.type is not None:
            value.type = start.type
            changed += 1
        if value.shape is None and start.shape is not None:
            value.shape = ir.Shape(_common(start.shape, result.shape, last.shape))
            changed += 1
    return changed


def _common(start: ir.Shape, *others: ir.Shape | None) -> list[int | None]:
    """Return the sizes that all known shapes agree on."""
    dims: list[int | None] = [dim if isinstance(dim, int) else None for dim in start]
    for other in others:
        if other is None or len(other) != len(dims):
            return [None] * len(dims)
        dims = [dim if dim == known else None for dim, known in zip(dims, other, strict=True)]
    return dims
