"""tf2onnx's transpose optimizer, with what it lacks at opset 18.

TensorFlow keeps images channels last and ONNX channels first, so tf2onnx puts transposes around
convolutions and pushes them through the graph until they meet and cancel. From opset 18 on
reductions take their axes as an input, and tf2onnx pushes nothing through those that drop the
reduced dimensions, as global pooling does. A dense layer on an image is a matrix product over the
last dimension; between channels first it is a convolution of one pixel, which transposes pass.
tf2onnx makes a constant that is added to a convolution its bias, and stops at a scalar.

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


_TO_CHANNELS_LAST = [0, 2, 3, 1]


class _TransposeOptimizer(TransposeOptimizer):  # type: ignore[misc]
    """Pushes a transpose through reductions that drop dimensions, and through dense layers."""

    def _initialize_handlers(self) -> None:
        super()._initialize_handlers()
        self._handler_map["MatMul"] = self._matmul_handler

    def _matmul_handler(self, trans: Any, node: Any) -> bool:
        weights = node.inputs[1]
        is_image = list(trans.get_attr("perm").ints) == _TO_CHANNELS_LAST
        if not is_image or node.input[0] != trans.output[0] or not weights.is_const():
            return False
        matrix = weights.get_tensor_value(as_list=False)
        if matrix.ndim != 2 or matrix.dtype not in (np.float16, np.float32):
            return False
        if not self._switch_transpose_and_node(node, trans):
            return False
        kernel = np.ascontiguousarray(matrix.T)[:, :, None, None]
        constant = self._g.make_const(utils.make_name(weights.name), kernel)
        self._g.replace_input(node, node.input[1], constant.output[0], 1)
        node.type = "Conv"
        node.set_attr("kernel_shape", [1, 1])
        return True

    def _add_handler(self, trans: Any, node: Any) -> bool:
        added = node.inputs[1]
        if added.is_const() and added.get_tensor_value(as_list=False).ndim == 0:
            return bool(self._handle_node_having_branches(trans, node))
        return bool(super()._add_handler(trans, node))

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
