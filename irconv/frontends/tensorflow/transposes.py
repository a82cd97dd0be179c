"""tf2onnx's transpose optimizer, with what it lacks at opset 18.

TensorFlow keeps images channels last and ONNX channels first, so tf2onnx puts transposes around
convolutions and pushes them through the graph until they meet and cancel. From opset 18 on
reductions take their axes as an input, and tf2onnx pushes nothing through those that drop the
reduced dimensions, as global pooling does.

This module needs tf2onnx and is imported in the worker process only.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from tf2onnx import utils
from tf2onnx.optimizer import _get_optimizers
from tf2onnx.optimizer.transpose_optimizer import TransposeOptimizer

__all__ = ["OPTIMIZERS"]


class _TransposeOptimizer(TransposeOptimizer):  # type: ignore[misc]
    """Pushes a transpose through reductions that drop dimensions too."""

    def _reduce_latest_handler(self, trans: Any, node: Any) -> bool:
        keepdims = node.get_attr("keepdims")
        if keepdims is None or keepdims.i != 0:
            return bool(super()._reduce_latest_handler(trans, node))
        if len(node.input) < 2 or not node.inputs[1].is_const():
            return False
        perm = list(trans.get_attr("perm").ints)
        axes = [perm[axis] for axis in np.atleast_1d(node.inputs[1].get_tensor_value())]
        shape = self._g.get_shape(node.output[0])
        if not self._switch_transpose_and_node(node, trans, update_shape=False):
            return False
        constant = self._g.make_const(utils.make_name("axes"), np.array(axes, np.int64))
        self._g.replace_input(node, node.input[1], constant.output[0], 1)
        kept = [axis for axis in range(len(perm)) if axis not in axes]
        remaining = [kept.index(axis) for axis in perm if axis in kept]
        trans.set_attr("perm", remaining)
        if shape is not None:
            self._g.set_shape(node.output[0], [shape[remaining.index(i)] for i in range(len(kept))])
        return True


OPTIMIZERS = OrderedDict(_get_optimizers() | {"optimize_transpose": _TransposeOptimizer})
"""tf2onnx's optimizers by name, in its order."""
