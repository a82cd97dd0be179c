"""What is asked of a model after passes: the same outputs, a sound model, nothing left to do."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from assembly import LARGEST
from execution import open_session
from hypothesis import assume
from hypothesis.errors import UnsatisfiedAssumption
from orders import is_exact
from strategy import RandomModel

from irconv.backends.base import Precision
from irconv.graph.serialize import save_model
from irconv.graph.walk import all_nodes
from irconv.passes.base import Pass, PassContext
from irconv.passes.fit_onnxruntime import FitOnnxruntime
from irconv.passes.manager import PassManager
from irconv.runtime.base import Runner
from irconv.runtime.onnxruntime import OnnxRuntimeRunner
from irconv.verify.extract import extract
from irconv.verify.golden import Golden
from irconv.verify.metrics import compare_outputs
from irconv.verify.movement import movement_limits
from irconv.verify.noise import UNIT_ROUNDOFF
from irconv.verify.tolerance import MARGIN, derive_tolerances
from irconv.verify.verifier import judge

__all__ = [
    "assert_kept",
    "assert_sound",
    "compare",
    "is_usable",
    "outputs_of",
    "run_each_twice",
]

Outputs = dict[str, np.ndarray]
_OTHER_SIZE = 2
"""What a named dimension is in a second run, where the model allows for it."""


def outputs_of(model: onnx.ModelProto, feeds: Outputs) -> Outputs:
    """Return the outputs of a model in ONNX Runtime, whose own optimizations are off."""
    session = open_session(model)
    names = [value.name for value in model.graph.output]
    return dict(zip(names, session.run(names, feeds), strict=True))


def is_usable(random: RandomModel) -> bool:
    """Say whether the checker accepts a model, and ONNX Runtime gives the same outputs twice."""
    try:
        onnx.checker.check_model(random.proto, full_check=True)
        first, second = (outputs_of(random.proto, random.feeds) for _ in range(2))
    except Exception:
        return False
    return all(first[name].tobytes() == second[name].tobytes() for name in first)


def assert_kept(random: RandomModel, passes: Sequence[Pass]) -> list[str]:
    """Run passes one after the other, each twice, and check all that they promise.

    Returns:
        The passes that changed something.

    Raises:
        AssertionError: Saying which promise does not hold; where outputs differ, the passes are
            run again one by one to name the first that moved them.
    """
    model, modified = run_each_twice(random.model(), passes)
    if not modified:
        return []
    try:
        compare(random, model, modified)
    except AssertionError as error:
        raise AssertionError(f"{_first_wrong(random, passes)}: {error}") from error
    return [str(pass_) for pass_ in modified]


def assert_sound(
    random: RandomModel, passes: Sequence[Pass], *, precision: Precision | None
) -> None:
    """Run passes, lossy ones among them, and check what they promise but for equal outputs.

    Args:
        random: The model.
        passes: The passes.
        precision: What the outputs are held to; None if they may be anything.
    """
    model, modified = run_each_twice(random.model(), passes)
    if all(pass_.effect != "lossy" for pass_ in modified):
        return
    after = ir.to_proto(model)
    onnx.checker.check_model(after, full_check=True)
    _compare_declarations(random.proto, after)
    was = outputs_of(random.proto, random.feeds)
    now = _outputs_after(model, after, random.feeds)
    assert _signature(now) == _signature(was)
    if precision is not None:
        golden = Golden([random.feeds], [was], "data", None, {})
        limits = derive_tolerances(random.model(), golden, precision, _open_reference)
        verification = judge(golden, [now], limits, level="graph", reference={})
        assert verification.verdict != "fail", verification.reason


def _signature(outputs: Outputs) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    return {name: (array.dtype, array.shape) for name, array in outputs.items()}


def run_each_twice(model: ir.Model, passes: Sequence[Pass]) -> tuple[ir.Model, list[Pass]]:
    """Run passes, each a second time right after itself; return those that changed something."""
    pipeline = [pass_ for pass_ in passes for _ in range(2)]
    manager = PassManager(pipeline, strict=True)
    assert manager.passes == pipeline, "the manager keeps an order that it allows"
    result = manager.run(model)
    modified: list[Pass] = []
    for pass_, first, second in zip(passes, result.records[::2], result.records[1::2], strict=True):
        assert not second.modified, f"{pass_} changes the model again when it runs a second time"
        if first.modified:
            modified.append(pass_)
    return result.model, modified


def _first_wrong(random: RandomModel, passes: Sequence[Pass]) -> str:
    model = random.model()
    for pass_ in passes:
        before = ir.to_proto(model)
        model, acted = run_each_twice(model, [pass_])
        if acted:
            try:
                compare(RandomModel(before, random.feeds), model, [pass_])
            except AssertionError as error:
                return f"{pass_} ({error}) on\n{onnx.printer.to_text(before)}\n"
    return "all passes together, none of them alone"


def compare(random: RandomModel, model: ir.Model, passes: Sequence[Pass]) -> None:
    """Assert that what passes made of a model is sound, and gives what the model gives."""
    after = ir.to_proto(model)
    try:
        onnx.checker.check_model(after, full_check=True)
    except Exception as error:
        raise AssertionError(f"the checker refuses the model: {error}") from error
    _assert_no_lost_reader(model)
    _compare_declarations(random.proto, after)
    _compare_outputs(random.proto, model, random.feeds, passes)
    resized = _resized(random)
    if resized is None:
        return
    try:
        outputs_of(random.proto, resized)
    except Exception:
        return  # the model holds sizes that fit the first inputs alone
    _compare_outputs(random.proto, model, resized, passes)


def _assert_no_lost_reader(model: ir.Model) -> None:
    """Assert that nodes which a pass took out of the model no longer read its values."""
    nodes = set(all_nodes(model))
    for node in nodes:
        for value in node.outputs:
            lost = [user for user, _ in value.uses() if user not in nodes]
            assert not lost, f"{value.name!r} is still read by {lost[0].op_type} {lost[0].name!r}"


def _resized(random: RandomModel) -> Outputs | None:
    """Return inputs in which the named dimensions have another size; None where none has a name."""
    feeds, named = dict(random.feeds), False
    if any(node.op_type == "Compress" for node in all_nodes(random.model())):
        return None  # ONNX Runtime takes conditions that are longer than the data
    for value in random.proto.graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_param and value.name in feeds:
                feeds[value.name] = np.take(feeds[value.name], range(_OTHER_SIZE), axis)
                named = True
    return feeds if named else None


def _compare_outputs(
    before: onnx.ModelProto, model: ir.Model, feeds: Outputs, passes: Sequence[Pass]
) -> None:
    was = outputs_of(before, feeds)
    now = _outputs_after(model, ir.to_proto(model), feeds)
    for name, array in was.items():
        assert now[name].dtype == array.dtype, f"output {name!r}: another dtype"
        assert now[name].shape == array.shape, f"output {name!r}: another shape"
    if all(is_exact(pass_) for pass_ in passes) and not _holds_halves(ir.from_proto(before)):
        for name, array in was.items():
            assert now[name].tobytes() == array.tobytes(), f"output {name!r}: a bit differs"
        return
    _compare_numbers(before, model, feeds, was, now)


def _holds_halves(model: ir.Model) -> bool:
    """Say whether a model holds float16, which ONNX Runtime computes in float32.

    It rounds once after nodes that stand together, so what stands together shows in the bits.
    """
    nodes = list(all_nodes(model))
    values = [value for node in nodes for value in (*node.inputs, *node.outputs)]
    casts = {node.attributes.get_int("to", 0) for node in nodes if node.op_type == "Cast"}
    return ir.DataType.FLOAT16 in casts or any(
        value is not None and value.dtype == ir.DataType.FLOAT16 for value in values
    )


def _outputs_after(model: ir.Model, proto: onnx.ModelProto, feeds: Outputs) -> Outputs:
    """Run a model; where ONNX Runtime lacks a kernel, after ``fit-onnxruntime``."""
    from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as LacksKernel

    try:
        return outputs_of(proto, feeds)
    except LacksKernel:
        fitted = ir.from_proto(proto)
        FitOnnxruntime().run(fitted, PassContext())
        try:
            return outputs_of(ir.to_proto(fitted), feeds)
        except LacksKernel:
            raise UnsatisfiedAssumption from None  # nothing here runs it
    except Exception as error:
        assume("Integer division by zero" not in str(error))  # in a body that never ran
        raise AssertionError(f"ONNX Runtime no longer runs the model: {error}") from error


def _compare_declarations(before: onnx.ModelProto, after: onnx.ModelProto) -> None:
    for was, now in zip(before.graph.output, after.graph.output, strict=True):
        assert was.name == now.name
        assert was.type.tensor_type.elem_type == now.type.tensor_type.elem_type, was.name
        dims, kept = was.type.tensor_type.shape.dim, now.type.tensor_type.shape.dim
        assert len(dims) == len(kept), f"output {was.name!r} is declared with another rank"
        for dim, other in zip(dims, kept, strict=True):
            if dim.HasField("dim_value"):
                assert dim == other, f"output {was.name!r} is declared with another shape"


def _cancelling(before: onnx.ModelProto, feeds: Outputs, name: str) -> float:
    """Return what rounding may leave where terms cancel that are as large as any value so far.

    A sum inside one operator errs by unit roundoffs of its terms, which its result does not show.
    """
    model = ir.from_proto(before)
    if (
        next(value for value in model.graph.outputs if value.name == name).dtype
        != ir.DataType.FLOAT
    ):
        return 0.0
    part = ir.to_proto(extract(model, [name]))
    inner = [item for node in part.graph.node for item in node.output if item not in ("", name)]
    part.graph.output.extend(onnx.ValueInfoProto(name=item) for item in inner)
    given = {value.name for value in part.graph.input}
    arrays = outputs_of(part, {key: value for key, value in feeds.items() if key in given})
    fixed = [onnx.numpy_helper.to_array(tensor) for tensor in part.graph.initializer]
    terms = (*arrays.values(), *feeds.values(), *fixed)
    floats = [array for array in terms if _is_float(array)]
    sizes = np.abs(np.concatenate([array.astype(np.float64).ravel() for array in floats]))
    largest = float(sizes[sizes <= LARGEST].max(initial=0.0))  # beyond are masks
    return MARGIN * UNIT_ROUNDOFF["float32"] * largest


def _open_reference(model: ir.Model) -> Runner:
    """Open a model in ONNX Runtime, which has read all of it when this returns."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        save_model(model, path)
        return OnnxRuntimeRunner(path, optimize=False, threads=1)


def _is_float(array: object) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind == "f"


def _compare_numbers(
    before: onnx.ModelProto, model: ir.Model, feeds: Outputs, was: Outputs, now: Outputs
) -> None:
    """Hold outputs to the tolerance that rounding noise gives.

    The noise is that of the model before and after: an operator that adds up many terms inside
    shows its roundings only where it is written out.
    """
    moved = {
        name: metrics
        for name, metrics in compare_outputs([was], [now]).items()
        if not metrics.equal
    }
    if not moved:
        return
    limits = movement_limits(ir.from_proto(before), moved, [was], [feeds], _open_reference)
    if any(metrics.max_abs > limits.get(name, 0.0) for name, metrics in moved.items()):
        other = movement_limits(model, moved, [now], [feeds], _open_reference)
        limits = {
            name: max(limits.get(name, 0.0), other.get(name, 0.0), _cancelling(before, feeds, name))
            for name in moved
        }
    for name, metrics in moved.items():
        limit = limits.get(name, 0.0)
        assert not metrics.problem, f"output {name!r}: {metrics.problem}"
        assert not metrics.nonfinite_mismatches, f"output {name!r} became NaN or infinite"
        assert metrics.max_abs <= limit, (
            f"output {name!r} moved by {metrics.max_abs:.3g}, and rounding explains {limit:.3g}"
        )
