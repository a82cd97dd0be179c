"""The evaluator of constants: right on ONNX's own cases, and safe on hostile ones."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from irconv.graph.evaluate import EXACT, ROUNDED, EvaluationError, evaluate, predict

OPSETS = {"": 20}
INT64 = np.iinfo(np.int64)


def run(
    op: str, arrays: Sequence[Any], *, opsets: dict[str, int] = OPSETS, **attributes: object
) -> np.ndarray:
    values = [ir.Value(name=f"x{index}") for index in range(len(arrays))]
    node = ir.node(op, values, attributes, outputs=[ir.Value(name="y")])
    tensors = [ir.tensor(np.asarray(array)) for array in arrays]
    return evaluate(predict(node, tensors, opsets), tensors, opsets)["y"]


def test_integer_division_truncates() -> None:
    assert run("Div", [[-7, 7], [2, -2]]).tolist() == [-3, -3]
    assert run("Mod", [[-7, 7], [2, -2]]).tolist() == [1, -1]


@pytest.mark.parametrize(
    ("op", "arrays", "reason"),
    [
        ("Div", ([1, 2], [1, 0]), "by zero"),
        ("Div", ([INT64.min, 2], [-1, 1]), "overflows"),
        ("Mod", ([1, 2], [1, 0]), "by zero"),
        ("Mod", ([INT64.min, 2], [-1, 1]), "overflows"),
        ("Range", (0, 10, 0), "step"),
        ("Range", (np.float32(0), np.float32(np.inf), np.float32(1)), "infinity"),
        ("Max", (np.float32([1]), np.float32([np.nan])), "NaN"),
        ("Relu", (np.float32([1, -0.0]),), "zeros of both signs"),
        ("Min", (np.float32([0.0]), np.float32([-0.0])), "zeros of both signs"),
        ("Pow", ([2], [-1]), "negative power"),
        ("Gather", ([1, 2], [5]), "evaluation fails"),
        ("Add", ([1, 2], [1, 2, 3]), "do not fit"),
        ("NonZero", ([1, 2],), "not known beforehand"),
        ("BitShift", (np.uint8([1]), np.uint8([9])), "shifts"),
    ],
)
def test_hazards_are_refused(op: str, arrays: Sequence[Any], reason: str) -> None:
    attributes = {"direction": "LEFT"} if op == "BitShift" else {}
    with pytest.raises(EvaluationError, match=reason):
        run(op, arrays, **attributes)


@pytest.mark.parametrize(
    ("number", "to", "fits"),
    [
        (127.9, ir.DataType.INT8, True),
        (128.0, ir.DataType.INT8, False),
        (-128.9, ir.DataType.INT8, True),
        (-129.0, ir.DataType.INT8, False),
        (-0.5, ir.DataType.UINT64, True),
        (-1.0, ir.DataType.UINT64, False),
        (2.0**63, ir.DataType.INT64, False),
        (-(2.0**63), ir.DataType.INT64, True),
        (2.0**64, ir.DataType.UINT64, False),
        (np.nan, ir.DataType.INT32, False),
        (np.inf, ir.DataType.FLOAT16, True),
    ],
)
def test_casts_out_of_range_are_refused(number: float, to: ir.DataType, fits: bool) -> None:
    if fits:
        assert run("Cast", [np.float64([number])], to=int(to)).dtype == to.numpy()
    else:
        with pytest.raises(EvaluationError, match="cannot hold"):
            run("Cast", [np.float64([number])], to=int(to))


@pytest.mark.parametrize(
    ("op", "arrays", "nbytes"),
    [
        ("ConstantOfShape", ([1 << 20, 1 << 20],), 1 << 42),
        ("Expand", (np.float32(1), [1 << 20, 1 << 20]), 1 << 42),
        ("Expand", (np.zeros((0, 1), np.float32), [0, 1 << 40]), 1 << 42),
        ("Tile", (np.float32([1]), [1 << 40]), 1 << 42),
        ("Range", (0, 10**12, 1), 8 * 10**12),
        ("Pad", (np.float32([1]), [1 << 40, 0]), 4 * (1 << 40) + 4),
        ("OneHot", ([0], np.int64(1 << 40), np.float32([0, 1])), 1 << 42),
    ],
)
def test_sizes_are_known_before_anything_is_computed(
    op: str, arrays: Sequence[Any], nbytes: int
) -> None:
    values = [ir.Value(name=f"x{index}") for index in range(len(arrays))]
    node = ir.node(op, values, outputs=[ir.Value(name="y")])
    prediction = predict(node, [ir.tensor(np.asarray(array)) for array in arrays], OPSETS)
    assert prediction.nbytes == nbytes


def test_float8_is_left_alone() -> None:
    with pytest.raises(EvaluationError, match="float8e4m3fn"):
        run("Cast", [np.float32([1])], to=int(ir.DataType.FLOAT8E4M3FN))


def test_older_opsets_take_attributes() -> None:
    squeezed = run("Squeeze", [np.zeros((1, 2))], opsets={"": 11}, axes=[0])
    assert squeezed.shape == (2,)


@pytest.mark.slow
def test_onnx_node_cases() -> None:
    """Every case of ONNX's own suite that is evaluated at all gives the expected output."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    right: Counter[str] = Counter()
    for case in cases:
        model = case.model
        node = model.graph.node[0]
        if len(model.graph.node) != 1 or node.domain or node.op_type not in EXACT | ROUNDED:
            continue
        opsets = {entry.domain: entry.version for entry in model.opset_import}
        for inputs, outputs in case.data_sets:
            feeds = dict(zip([value.name for value in model.graph.input], inputs, strict=True))
            tensors = [None if name == "" else _tensor(feeds[name]) for name in node.input]
            try:
                prediction = predict(ir.serde.deserialize_node(node), tensors, opsets)
                results = evaluate(prediction, tensors, opsets)
            except EvaluationError:
                continue
            for value, expected in zip(model.graph.output, outputs, strict=True):
                wanted = _tensor(expected).numpy()
                found = results[value.name]
                assert found.dtype == wanted.dtype, case.name
                rtol = 0 if node.op_type in EXACT else 1e-5
                np.testing.assert_allclose(found, wanted, rtol, atol=rtol, err_msg=case.name)
            right[node.op_type] += 1
    assert set(right) >= EXACT | ROUNDED
    assert right.total() > 500


def _tensor(value: Any) -> ir.TensorProtocol:
    if isinstance(value, onnx.TensorProto):
        return ir.serde.deserialize_tensor(value)
    return ir.tensor(np.asarray(value))
