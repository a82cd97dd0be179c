from __future__ import annotations

import itertools

import numpy as np
import onnx_ir as ir
import pytest

from irconv.passes.base import PassContext
from irconv.passes.fold_layouts import FoldLayouts

SHAPE = (3, 70, 130)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
def test_a_large_weight_is_transposed_as_numpy_does(order: tuple[int, ...], dtype: type) -> None:
    weight = np.random.default_rng(0).integers(0, 100, SHAPE).astype(dtype)
    model = ir.from_onnx_text(
        '< ir_version: 10, opset_import: ["" : 20] > g (int64 i) => (int64 z) '
        f"{{ t = Transpose <perm = {list(order)}> (w) y = Gather (t, i) z = Size (y) }}"
    )
    transpose, gather = model.graph[0], model.graph[1]
    value = transpose.inputs[0]
    assert value is not None
    value.const_value = ir.tensor(weight, name="w")
    value.shape, value.type = ir.Shape(SHAPE), ir.TensorType(ir.DataType.from_numpy(weight.dtype))
    model.graph.initializers.add(value)

    assert FoldLayouts().run(model, PassContext()).modified
    folded = gather.inputs[0]
    assert folded is not None
    assert folded.const_value is not None
    found = folded.const_value.numpy()
    np.testing.assert_array_equal(found, np.transpose(weight, order))
    assert found.flags.c_contiguous
