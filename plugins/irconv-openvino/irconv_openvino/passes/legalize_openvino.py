"""What OpenVINO lacks, by function bodies of the ONNX standard and by decompositions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.passes.decompose.base import Rule

__all__ = ["LegalizeOpenvino"]


@dataclass(frozen=True)
class LegalizeOpenvino(Pass):
    """Replace each node that OpenVINO refuses or gets wrong by others that it takes.

    First come the function bodies of the ONNX standard, then irconv's own decompositions, so the
    meaning stays. A node with neither stays, and is refused later by name.

    Before::

        <ir_version: 13, opset_import: ["" : 28]>
        example (float[N, 4] x, float[N, 4] gate) => (float[N, 4] y) {
            y = SwiGLU(x, gate)
        }

    After::

        <ir_version: 13, opset_import: ["" : 28]>
        example (float[N, 4] x, float[N, 4] gate) => (float[N, 4] y) {
            "SwiGLU/SwishGate" = Swish <alpha = 1.0> (x)
            y = Mul("SwiGLU/SwishGate", gate)
        }
    """

    name: ClassVar[str] = "legalize-openvino"
    effect: ClassVar[Effect] = "real-arithmetic"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Expand or decompose what the table of refusals names; linear in nodes."""
        from irconv.graph.function_bodies import expand_nodes
        from irconv.passes.decompose.base import replace_nodes
        from irconv.passes.sites import Sites
        from irconv_openvino.support import refusal

        sites = Sites(context)
        expanded, stayed = expand_nodes(model, lambda node: not refusal(node).ok, sites.permit)
        kept = {id(node): Refusal(node.name or "", node.op_type, why) for node, why in stayed}
        decomposed = replace_nodes(model, _rules(), sites, _would_help)
        refusals = [kept[id(node)] for node, _ in stayed if node.graph is not None]
        counts = {"expanded": dict(Counter(expanded)), **decomposed.details}
        modified = bool(expanded) or decomposed.modified
        return PassResult(modified, counts, (*refusals, *decomposed.refusals), sites.made)


def _would_help(node: ir.Node) -> bool:
    """Return whether a decomposition of ``node`` would be right in OpenVINO.

    It computes the positions of a nearest Resize with other roundings than ONNX says, unless
    they are constants.
    """
    from irconv_openvino.support import refusal

    support = refusal(node)
    mode = node.attributes.get_string("mode", "nearest")
    if node.op_type == "Resize" and mode == "nearest" and not _has_constant_geometry(node):
        return False
    return not support.ok and support.code != "UNSUPPORTED_DTYPE"


def _has_constant_geometry(node: ir.Node) -> bool:
    from irconv_openvino.support.node import is_constant

    data = node.inputs[0]
    static = data is not None and data.shape is not None and data.shape.is_static()
    return static and all(is_constant(node, index) for index in range(1, len(node.inputs)))


def _rules() -> dict[str, Rule]:
    """Return the rules of every family of decompositions that irconv has, and OpenVINO's own."""
    from irconv.passes.catalog import PASSES
    from irconv.passes.decompose.base import Decomposition
    from irconv_openvino.passes.modulo import modulo
    from irconv_openvino.passes.tile import tile

    families = [cls for cls in PASSES if issubclass(cls, Decomposition)]
    rules = {op_type: rule for family in families for op_type, rule in family.rules.items()}
    return {**rules, "Mod": modulo, "Tile": tile}
