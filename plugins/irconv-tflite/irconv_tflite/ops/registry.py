"""The one registry of emitters.

The contract of an emitter::

    @emits("Relu")
    def relu(graph: GraphWriter, node: ir.Node) -> None:
        \"\"\"ONNX Relu: RELU.\"\"\"
        x = graph.read(node.inputs[0])
        graph.write(node.outputs[0], graph.op("RELU", [x], x.shape))

* It reads its inputs by :meth:`GraphWriter.read` (a tensor, maybe converted to a dtype that the
  kernel takes), adds operators, and binds **every** used output by :meth:`GraphWriter.write`,
  which converts back to the ONNX output's dtype.
* What TFLite cannot express it refuses by raising :class:`RefusalError` with a code, a reason and
  a way out. It does so before or while it adds operators; the same function answers
  ``supports()`` and ``check()`` in a dry run, so there is nothing else to keep in step. It must
  therefore never touch the data of a large constant: transformations of weights are given to
  :meth:`GraphWriter.derived` or :meth:`GraphWriter.deferred`, which run when the file is written.
* A LiteRT kernel ends the process, or computes wrongly, on dtypes and ranks that it does not
  know. An emitter therefore brings operands into a dtype its kernel takes (see
  :mod:`irconv_tflite.ops.kinds`) and refuses a rank over the kernel's limit.
* Shapes may be dynamic (None in a shape). Sizes that only the run knows come from the operator
  ``SHAPE``; shape operands are int32.
* Channel-last operators are nodes of the domain ``irconv.nhwc``, each with a model-local function
  that defines it by ONNX operators; their activations are NHWC, their weights as in ONNX. They
  are emitted by functions of this registry, never by their bodies. An operator of the plain
  domain with the same name is emitted between transposes, and transposes that undo each other
  are cancelled later. Activations (RELU, RELU6, RELU_N1_TO_1) are fused into their producer after
  emission, by :mod:`irconv_tflite.emit.peephole`, so no pass need do it.
* Bodies of control flow are written by :func:`irconv_tflite.emit.lower.lower_body`.

A family is a module of this package; all of them are imported on first use.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import onnx_ir as ir

if TYPE_CHECKING:
    from irconv_tflite.emit.writer import GraphWriter

    Emitter = Callable[[GraphWriter, ir.Node], None]

__all__ = ["NHWC", "emits", "find_emitter", "operators"]

NHWC = "irconv.nhwc"
"""Domain of operators with channel-last activations.

Their names are those of ONNX, with ``1D`` or ``3D`` behind where they have not two spatial
dimensions; one emitter serves all.
"""

_EMITTERS: dict[tuple[str, str], Emitter] = {}


def emits(*op_types: str, domain: str = "") -> Callable[[Emitter], Emitter]:
    """Register a function as the emitter of operators of one domain."""

    def register(emitter: Emitter) -> Emitter:
        for op_type in op_types:
            assert (domain, op_type) not in _EMITTERS, f"{op_type} has two emitters"
            _EMITTERS[domain, op_type] = emitter
        return emitter

    return register


@cache
def _load_families() -> None:
    import irconv_tflite.ops as families

    for module in pkgutil.iter_modules(families.__path__):
        importlib.import_module(f"{families.__name__}.{module.name}")


def find_emitter(node: ir.Node) -> Emitter | None:
    """Return the emitter of a node, or None where there is none."""
    _load_families()
    domain = "" if node.domain == "ai.onnx" else node.domain
    op_type = node.op_type
    if domain == NHWC:
        op_type = op_type.removesuffix("1D").removesuffix("3D")
    return _EMITTERS.get((domain, op_type))


def operators() -> frozenset[tuple[str, str]]:
    """Return domain and type of every operator that has an emitter."""
    _load_families()
    return frozenset(_EMITTERS)
