"""decompose-einsum against NumPy, over equations that the ONNX suite leaves out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from irconv.passes.base import PassContext
from irconv.passes.decompose.einsum import DecomposeEinsum

EQUATIONS = (
    "ii->i", "iij->j", "ii", "...ii->...i", "iji,ik->jk", "ij,jk,kl->il", "abc,cd,def->abef",
    "...i,...i->...", "ij,kl->ijkl", "i,i", "ij,ij->", "bhqd,bhkd->bhqk", "...ij,jk->...ik",
    " a b , b -> a", "ab...,b...->a...", "i,j,k->kji", "ab,ab,ab->b", "ba", "...ba",
)  # fmt: skip
SIZES = dict(zip("abcdefhijklq", (2, 3, 4, 1, 2, 5, 3, 2, 3, 4, 2, 3), strict=True))
HIDDEN = (2, 3)
"""What the ellipsis stands for; later operands have fewer of its dims, so that they broadcast."""


def operands(equation: str, dtype: type) -> list[np.ndarray]:
    generator = np.random.default_rng(3)
    made = []
    for number, term in enumerate(equation.replace(" ", "").split("->")[0].split(",")):
        before, dots, after = term.partition("...")
        dims = [*(SIZES[c] for c in before), *(HIDDEN[number:] if dots else ()),
                *(SIZES[c] for c in after)]  # fmt: skip
        made.append(generator.integers(-3, 4, dims).astype(dtype))
    return made


@pytest.mark.parametrize("equation", EQUATIONS)
@pytest.mark.parametrize(
    ("dtype", "dynamic"), [(np.float32, True), (np.int8, False)], ids=["dynamic", "static-int8"]
)
def test_equals_numpy(equation: str, dtype: type, dynamic: bool, kit: SimpleNamespace) -> None:
    arrays = operands(equation, dtype)
    expected = np.einsum(equation.replace(" ", ""), *arrays)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    values = [
        helper.make_tensor_value_info(
            f"x{number}",
            kind,
            [f"d{number}{axis}" if dynamic else size for axis, size in enumerate(array.shape)],
        )
        for number, array in enumerate(arrays)
    ]
    node = helper.make_node("Einsum", [value.name for value in values], ["y"], equation=equation)
    result = helper.make_tensor_value_info("y", kind, [None] * expected.ndim)
    graph = helper.make_graph([node], "g", values, [result])
    model = ir.from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    )
    assert DecomposeEinsum().run(model, PassContext()).modified
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    feeds = {value.name: array for value, array in zip(values, arrays, strict=True)}
    (found,) = kit.ort_outputs(model, feeds)
    np.testing.assert_array_equal(found, expected)
