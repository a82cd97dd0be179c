"""What the worker of the PyTorch frontend says of sources that do not do.

One worker serves all tests, as importing PyTorch takes seconds.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from irconv.errors import InputError, UnsupportedError
from irconv.shapes import parse_input, parse_shapes
from irconv.worker import Worker, WorkerLimits

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("torch") is None, reason="PyTorch is not installed"
    ),
]


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        service = "irconv.frontends.pytorch.service:PytorchService"
        with Worker(service, limits=WorkerLimits(seconds=240), label="pytorch") as started:
            yield started


def stated(*texts: str) -> list[Any]:
    specs = [parse_input(text) for text in texts]
    return [(spec.name, list(spec.dims), spec.dtype) for spec in specs]


def load_factory(worker: Worker, name: str, *texts: str, shape: str = "") -> None:
    worker.call(
        "load_factory",
        target=name,
        inputs=stated(*texts),
        shapes={
            dim: [bounds.minimum, bounds.best, bounds.maximum]
            for dim, bounds in parse_shapes([shape]).items()
        },
    )


def export(worker: Worker, folder: Path) -> Any:
    return worker.call(
        "export", path=str(folder / "m.onnx"), examples=str(folder / "examples.npz"), opset=20
    )


@pytest.mark.parametrize(
    ("source", "texts", "what", "where"),
    [
        ("pytorch_models:raises", (), "no weights today", "pytorch_models.py"),
        ("pytorch_models:number", (), "returned a int", "frontend pytorch"),
        ("pytorch_models:NOTHING", (), "not a function", "frontend pytorch"),
        ("pytorch_models:absent", (), "has no 'absent'", "frontend pytorch"),
        ("no_such_module:make", (), "cannot be imported", "frontend pytorch"),
        ("pytorch_models:cnn", (), "without example inputs", "--input"),
        ("pytorch_models:cnn", ("y[1,3,8,8]",), "no argument 'y'", "--input y"),
        ("pytorch_models:cnn", ("x[1,?,8,8]",), "open dimension", "--input x"),
        ("pytorch_models:words", ("ids[1]",), "does not fit the example", "--input ids"),
        ("pytorch_models:words", ("nope[1]",), "not given an input 'nope'", "--input nope"),
        ("pytorch_models:branching", (), "cannot trace", "pytorch_models.py"),
        ("pytorch_models:numbers", (), "output 'number' is a Python number", "frontend pytorch"),
        ("pytorch_models:restless", (), "training mode", "frontend pytorch"),
    ],
)
def test_a_factory_that_does_not_do(
    worker: Worker, source: str, texts: tuple[str, ...], what: str, where: str
) -> None:
    with pytest.raises(InputError) as caught:
        load_factory(worker, source, *texts)
    assert what in caught.value.what
    assert where in caught.value.where
    assert caught.value.hint
    assert len(caught.value.what.splitlines()) <= 8


@pytest.mark.parametrize(
    ("factory", "op", "code"),
    [
        ("bessel", "i0e", "return torch.special.i0e(y)"),
        ("custom", "irconv_tests::twist", "return twist(x + 1)"),
    ],
)
def test_an_operator_without_translation_names_the_line(
    worker: Worker, tmp_path: Path, factory: str, op: str, code: str
) -> None:
    load_factory(worker, f"pytorch_models:{factory}")
    with pytest.raises(UnsupportedError) as caught:
        export(worker, tmp_path)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "UNSUPPORTED_OP"
    assert op in diagnostic.op
    lines = Path(__file__).with_name("pytorch_models.py").read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if code in text)
    assert f"pytorch_models.py:{line}" in diagnostic.reason
    assert diagnostic.way_out


def test_a_range_that_the_code_does_not_take_is_suggested(worker: Worker) -> None:
    with pytest.raises(InputError, match="cannot trace") as caught:
        load_factory(worker, "pytorch_models:positions", "x[batch,length]")
    assert "--shape length=1..16" in caught.value.hint
    load_factory(worker, "pytorch_models:positions", "x[batch,length]", shape="length=1..16")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("x[batch,5]", "its dimension 1 is 4, not 5"),
        ("x[batch]", "it has 2 dimensions"),
        ("x[batch,width]", "fixed at 4"),
        ("x[batch,4]{i64}", "its dtype is float32"),
        ("y[batch,4]", "has no input 'y'"),
    ],
)
def test_inputs_that_do_not_fit_the_program(
    worker: Worker, exported_programs: Path, text: str, what: str
) -> None:
    worker.call("load_program", path=str(exported_programs / "plus.pt2"), trust=True)
    with pytest.raises(InputError) as caught:
        worker.call("name_dimensions", inputs=stated(text))
    assert what in str(caught.value)
