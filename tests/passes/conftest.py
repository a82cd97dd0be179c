"""What the golden cases, the docstring blocks and the random graphs are checked with."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from irconv.graph.text import format_model
from irconv.passes.base import Pass, PassContext
from irconv.passes.manager import PassManager

sys.path.insert(0, str(Path(__file__).parent))

_SYMBOL_SIZE = 3


@dataclass(frozen=True)
class Applied:
    """A model before and after a pass that was checked to keep its promises."""

    before: ir.Model
    after: ir.Model
    modified: bool
    refusals: tuple[str, ...]


def parse(text: str) -> ir.Model:
    return ir.from_onnx_text(text)


def apply_pass(
    pass_: Pass, text: str, context: PassContext | None = None, *, checked: bool = True
) -> Applied:
    """Run a pass on a model given as text; strict, twice, and with the ONNX checker."""
    before, model = parse(text), parse(text)
    result = PassManager([pass_], strict=True).run(model, context)
    again = PassManager([pass_], strict=True).run(result.model, context)
    assert not again.modified, "a second run changes the model again"
    if checked:
        onnx.checker.check_model(ir.to_proto(result.model), full_check=True)
    refusals = tuple(refusal.reason for refusal in result.records[0].refusals)
    return Applied(before, result.model, result.modified, refusals)


def same_text(left: ir.Model, right: ir.Model) -> None:
    """Compare ``left``, printed and parsed again, with ``right``, which was parsed."""
    printed = onnx.printer.to_text(ir.to_proto(left))
    assert format_model(parse(printed)) == format_model(right)


def seeded_feeds(model: ir.Model, seed: int = 0) -> dict[str, np.ndarray]:
    """Return inputs for a model; every symbolic dim is 3, and the first float is -0.0."""
    generator = np.random.default_rng(seed)
    feeds: dict[str, np.ndarray] = {}
    for value in model.graph.inputs:
        if value.name in model.graph.initializers:
            continue
        assert value.shape is not None
        assert value.dtype is not None
        shape = tuple(dim if isinstance(dim, int) else _SYMBOL_SIZE for dim in value.shape)
        dtype = value.dtype.numpy()
        if dtype.kind == "b":
            array = np.ones(shape, dtype)
        elif dtype.kind in "iu":
            array = generator.integers(0, 4, shape).astype(dtype)
        else:
            array = generator.standard_normal(shape).astype(dtype)
            array.flat[:1] = -0.0
        feeds[str(value.name)] = array
    return feeds


def ort_outputs(model: ir.Model, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Run a small model in ONNX Runtime with all of its own optimizations off."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, dict(feeds)))


def same_outputs(before: ir.Model, after: ir.Model, *, exact: bool) -> None:
    """Check that ONNX Runtime gives equal outputs: to the bit, or at rtol 1e-5 (float16: 4e-3).

    The inputs are made for ``after``, where dims may have been bound to sizes.
    """
    feeds = seeded_feeds(after)
    for name, was, now in zip(
        [value.name for value in before.graph.outputs],
        ort_outputs(before, feeds),
        ort_outputs(after, feeds),
        strict=True,
    ):
        assert was.dtype == now.dtype, name
        assert was.shape == now.shape, name
        if exact:
            np.testing.assert_array_equal(now, was, err_msg=str(name))
            assert now.tobytes() == was.tobytes(), f"{name}: the sign of a zero or a NaN differs"
        else:
            rtol, atol = (4e-3, 4e-3) if was.dtype == np.float16 else (1e-5, 1e-6)
            np.testing.assert_allclose(now, was, rtol=rtol, atol=atol, err_msg=str(name))


def same_as_reference(before: ir.Model, after: ir.Model) -> None:
    """Check that ONNX Runtime runs ``after`` only, and gives what ``before`` means."""
    import onnxruntime
    from onnx.reference import ReferenceEvaluator

    feeds = seeded_feeds(after)
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented):
        ort_outputs(before, feeds)
    expected = ReferenceEvaluator(ir.to_proto(before)).run(None, feeds)
    for was, now in zip(expected, ort_outputs(after, feeds), strict=True):
        assert was.dtype == now.dtype
        np.testing.assert_allclose(now, was, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """Return the functions above; tests have no package to import them from."""
    functions: tuple[Callable[..., object], ...] = (
        apply_pass, ort_outputs, parse, same_as_reference, same_outputs, same_text, seeded_feeds,
    )  # fmt: skip
    return SimpleNamespace(**{function.__name__: function for function in functions})
