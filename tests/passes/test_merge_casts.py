"""One cast gives to the bit what two give, for every pair that merge-casts takes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnx_ir as ir
import pytest

from irconv.graph.dtype_range import holds_all
from irconv.passes.base import PassContext
from irconv.passes.merge_casts import MergeCasts

DTYPES = tuple(
    ir.DataType[name]
    for name in (
        "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
        "FLOAT16", "FLOAT", "DOUBLE",
    )
)  # fmt: skip


def extremes(dtype: ir.DataType) -> np.ndarray:
    numpy = dtype.numpy()
    if numpy.kind == "b":
        return np.array([False, True])
    some = np.random.default_rng(0).integers(0, 127, 50).astype(numpy)
    if numpy.kind in "iu":
        ends = np.array([0, 1, np.iinfo(numpy).min, np.iinfo(numpy).max], numpy)
    else:
        finite = np.finfo(numpy)
        small = [-0.0, 0.3, 1 / 3, finite.tiny, finite.smallest_subnormal]
        ends = np.array([*small, finite.min, finite.max, np.inf, -np.inf, np.nan], numpy)
    return np.concatenate([ends, some])


@pytest.mark.parametrize("source", DTYPES, ids=lambda dtype: dtype.name)
def test_two_casts_are_one(source: ir.DataType, kit: SimpleNamespace) -> None:
    pairs = [(one, other) for one in DTYPES for other in DTYPES if other != source]
    names = [f"{one.name.lower()}_{other.name.lower()}" for one, other in pairs]
    steps = (
        f"{name}_1 = Cast <to = {int(one)}> (x)  {name} = Cast <to = {int(other)}> ({name}_1)"
        for name, (one, other) in zip(names, pairs, strict=True)
    )
    kinds = {int(dtype): str(dtype).lower().replace("float64", "double") for dtype in DTYPES}
    outputs = ", ".join(
        f"{kinds[int(other)]}[N] {name}" for name, (_, other) in zip(names, pairs, strict=True)
    )
    text = (
        '<ir_version: 10, opset_import: ["" : 20]>\n'
        f"casts ({kinds[int(source)]}[N] x) => ({outputs}) {{ {' '.join(steps)} }}"
    )
    before, after = kit.parse(text), kit.parse(text)
    result = MergeCasts().run(after, PassContext())
    assert len(result.sites) + len(result.refusals) == len(pairs)
    assert result.modified == any(holds_all(dtype, source) for dtype in DTYPES)
    feeds = {"x": extremes(source)}
    was, now = kit.ort_outputs(before, feeds), kit.ort_outputs(after, feeds)
    assert len(after.graph) == 2 * len(pairs) - len(result.sites)
    for name, two, one in zip(names, was, now, strict=True):
        assert one.tobytes() == two.tobytes(), name
