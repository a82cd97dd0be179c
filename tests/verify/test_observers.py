from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
import pytest

from irconv.passes.base import Effect, Pass, PassContext, PassResult
from irconv.passes.manager import PassManager
from irconv.verify.inputs import generate_samples
from irconv.verify.observers import AccuracyObserver, DumpObserver, VerifyObserver


@dataclass(frozen=True)
class ScaleWeights(Pass):
    """Multiply every float weight by a factor."""

    name: ClassVar[str] = "scale-weights"
    factor: float = 1.0

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        for value in model.graph.initializers.values():
            if value.dtype == ir.DataType.FLOAT and value.shape.rank() > 1:
                array = value.const_value.numpy() * np.float32(self.factor)
                value.const_value = ir.tensor(array, name=value.name)
        return PassResult(True)


def with_effect(effect_: Effect, factor: float) -> Pass:
    @dataclass(frozen=True)
    class Scale(ScaleWeights):
        effect: ClassVar[Effect] = effect_

    return Scale(factor)


def run(model, observer, *passes):
    return PassManager(passes, observers=[observer]).run(model)


def test_lossy_passes_get_their_accuracy(cnn, open_reference):
    samples = generate_samples(cnn, count=2)
    observer = AccuracyObserver(open_reference, samples)
    result = run(cnn, observer, with_effect("lossy", 1.01), with_effect("lossy", 1.01))
    first, second = (record.details["accuracy"]["y"] for record in result.records)
    assert set(first) == {"max_abs", "cosine", "snr_db", "top1"}
    assert first["max_abs"] > 0
    assert first["cosine"] > 0.99
    assert 20 < first["snr_db"] < 40
    assert observer.effects["y"] > max(first["max_abs"], second["max_abs"]), "effects add up"


def test_other_passes_are_not_run_for_accuracy(cnn):
    def never(model):
        raise AssertionError("no lossy pass, no run")

    observer = AccuracyObserver(never, [])
    result = run(cnn, observer, with_effect("bit-exact", 1.01))
    assert "accuracy" not in result.records[0].details
    assert observer.effects == {}


def test_a_lossy_pass_that_makes_nan_is_rolled_back(cnn, open_reference):
    observer = AccuracyObserver(open_reference, generate_samples(cnn, count=1))
    result = run(cnn, observer, with_effect("lossy", float("nan")))
    assert "NaN" in result.records[0].error
    assert not result.modified
    assert observer.effects == {}


@pytest.mark.parametrize(
    ("effect", "factor", "kept"),
    [
        ("bit-exact", 1.0, True),
        ("bit-exact", 1 + 2**-23, False),
        ("real-arithmetic", 1 + 2**-23, True),
        ("real-arithmetic", 1.001, False),
        ("lossy", 1.5, True),
    ],
)
def test_passes_are_held_to_their_declared_effect(effect, factor, kept, cnn, open_reference):
    observer = VerifyObserver(open_reference, generate_samples(cnn, count=1))
    (record,) = run(cnn, observer, with_effect(effect, factor)).records
    assert record.modified is kept
    if not kept:
        assert "output 'y' moved by" in record.error
        assert effect in record.error


def test_a_pass_that_breaks_the_model_is_rolled_back(cnn, open_reference):
    @dataclass(frozen=True)
    class Break(Pass):
        name: ClassVar[str] = "break-it"

        def run(self, model: ir.Model, context: PassContext) -> PassResult:
            node = next(node for node in model.graph if node.op_type == "Gemm")
            node.op_type = "NoSuchOperator"
            return PassResult(True)

    observer = VerifyObserver(open_reference, generate_samples(cnn, count=1))
    (record,) = run(cnn, observer, Break()).records
    assert "no longer runs" in record.error


def test_dumps_are_numbered_and_only_of_changes(cnn, tmp_path):
    @dataclass(frozen=True)
    class Nothing(Pass):
        name: ClassVar[str] = "do-nothing"

        def run(self, model: ir.Model, context: PassContext) -> PassResult:
            return PassResult(False)

    run(cnn, DumpObserver(tmp_path / "ir"), Nothing(), with_effect("lossy", 2.0))
    names = sorted(path.name for path in (tmp_path / "ir").iterdir())
    assert names == ["000-input.txt", "001-scale-weights.txt"]
    assert "Conv" in (tmp_path / "ir" / "000-input.txt").read_text()
