"""The TorchScript frontend: archives of every kind, and the module's outputs as reference.

One worker serves all tests but the first, as importing PyTorch takes seconds.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from irconv.errors import InputError, UnsupportedError
from irconv.frontends.base import Imported, ImportRequest
from irconv.frontends.torchscript import TorchScriptFrontend
from irconv.frontends.torchscript import frontend as frontend_module
from irconv.graph.interface import input_specs, output_specs
from irconv.graph.serialize import save_model
from irconv.graph.walk import all_nodes
from irconv.runtime.base import Feeds
from irconv.runtime.onnxruntime import OnnxRuntimeRunner
from irconv.shapes import parse_input, parse_shapes
from irconv.worker import WorkerLimits

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed"
)
BY_SCRIPT = "exported by PyTorch's TorchScript exporter"
BY_TRACE = "exported by a trace at the example's sizes and PyTorch's newer exporter"
BY_PROGRAM = "exported by an exported program and PyTorch's newer exporter"


class Imports:
    """Imports archives and closes them at the end of the test."""

    def __init__(self, archives: Path, folder: Path) -> None:
        self.archives = archives
        self.folder = folder
        self.opened: list[Imported] = []

    def __call__(
        self, name: str, *texts: str, frontend: TorchScriptFrontend | None = None
    ) -> Imported:
        directory = self.folder / f"scratch{len(list(self.folder.iterdir()))}"
        directory.mkdir()
        request = ImportRequest(
            directory=directory,
            limits=WorkerLimits(seconds=240),
            inputs=[parse_input(text) for text in texts if "[" in text],
            shapes=parse_shapes([text for text in texts if "[" not in text]),
        )
        source = str(self.archives / name)
        imported = (frontend or TorchScriptFrontend()).load(source, request)
        self.opened.append(imported)
        return imported


@pytest.fixture
def load_alone(script_archives: Path, tmp_path: Path) -> Iterator[Imports]:
    imports = Imports(script_archives, tmp_path)
    yield imports
    for imported in imports.opened:
        imported.close()


@pytest.fixture
def load(
    load_alone: Imports, shared_worker: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> Imports:
    service = shared_worker("irconv.frontends.torchscript.service:TorchScriptService")
    monkeypatch.setattr(frontend_module, "_start", lambda request: service)
    return load_alone


def assert_reference(imported: Imported, folder: Path, samples: list[Feeds]) -> None:
    """The module's outputs and those of ONNX Runtime have the same names, order and values."""
    path = folder / f"m{len(list(folder.glob('m*.onnx')))}.onnx"
    save_model(imported.model, path)
    with imported.open_reference() as reference, OnnxRuntimeRunner(path) as runner:
        for sample in samples:
            wanted, found = reference.run(sample), runner.run(sample)
            assert list(wanted) == list(found)
            for name, value in wanted.items():
                assert np.asarray(value).dtype == np.asarray(found[name]).dtype
                np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-5)


def rows(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def operators(imported: Imported) -> set[str]:
    return {node.op_type for node in all_nodes(imported.model)}


def interface(imported: Imported) -> list[str]:
    specs = (*input_specs(imported.model), *output_specs(imported.model))
    return [str(spec) for spec in specs]


def test_a_traced_module_brings_its_shapes(load_alone: Imports, tmp_path: Path) -> None:
    imported = load_alone("traced.pt")
    assert interface(imported) == ["x: float32[2,3,8,8]", "output: float32[2,5]"]
    assert imported.source.frontend == "torchscript"
    assert (imported.source.opset, len(imported.source.sha256)) == (20, 64)
    assert BY_SCRIPT in imported.source.notes
    assert_reference(imported, tmp_path, [{"x": rows(1, 2, 3, 8, 8)}])
    proto = (tmp_path / "m0.onnx").read_bytes()
    assert str(Path(__file__).parent).encode() not in proto


@pytest.mark.slow
@pytest.mark.parametrize("name", ["traced.pt", "training.pt", "frozen.ts"])
def test_a_free_batch(load: Imports, tmp_path: Path, name: str) -> None:
    frontend = TorchScriptFrontend(opset=18)
    imported = load(name, "x[batch,3,8,8]", "batch=1..4", frontend=frontend)
    assert interface(imported) == ["x: float32[batch,3,8,8]", "output: float32[batch,5]"]
    assert imported.source.opset == 18
    assert_reference(imported, tmp_path, [{"x": rows(n, n, 3, 8, 8)} for n in (1, 2, 4)])


@pytest.mark.slow
def test_a_loop_runs_as_often_as_the_input_says(load: Imports, tmp_path: Path) -> None:
    imported = load("loop.pt", "x[batch,4]", "count[]")
    assert interface(imported)[:2] == ["x: float32[batch,4]", "count: int64[]"]
    assert "Loop" in operators(imported)
    samples = [{"x": rows(count, 3, 4), "count": np.asarray(count)} for count in (0, 1, 2, 5, 17)]
    assert_reference(imported, tmp_path, samples)


@pytest.mark.slow
def test_a_loop_and_a_branch_that_the_data_decide(load: Imports, tmp_path: Path) -> None:
    imported = load("search.pt", "x[batch,4]")
    assert {"Loop", "If"} <= operators(imported)
    signs = [{"x": sign * np.abs(rows(4, 2, 4)) * size} for sign in (1, -1) for size in (1e-3, 90)]
    with imported.open_reference() as reference:
        steps = [int(np.asarray(reference.run(sample)["output_1"])) for sample in signs]
    assert steps[0] == steps[2] == 0
    assert min(steps[1], steps[3]) > 5
    assert_reference(imported, tmp_path, signs)


@pytest.mark.slow
def test_nested_loops_and_a_list_that_grows(load: Imports, tmp_path: Path) -> None:
    imported = load("greedy.pt", "x[batch,4]", "steps[]{i64}")
    samples = [{"x": rows(n, 2, 4), "steps": np.asarray(n)} for n in (1, 2, 5, 6)]
    assert_reference(imported, tmp_path, samples)


@pytest.mark.slow
def test_a_loop_over_recurrent_cells(load: Imports, tmp_path: Path) -> None:
    """Operators that the exporter lacks: the cells, and the check of their inputs' rank."""
    imported = load("cells.pt", "x[batch,4]", "steps[]")
    samples = [{"x": rows(n, 2, 4), "steps": np.asarray(n)} for n in (0, 1, 4)]
    assert_reference(imported, tmp_path, samples)


@pytest.mark.slow
def test_trees_are_flattened_by_name(load: Imports, tmp_path: Path) -> None:
    texts = ["parts_0[batch,4]", "parts_1[batch,4]", "table_bias[4]"]
    imported = load("shapes.pt", *texts)
    assert interface(imported) == [
        "parts_0: float32[batch,4]",
        "parts_1: float32[batch,4]",
        "table_bias: float32[4]",
        "total: float32[batch,4]",
        "first_part: float32[batch,4]",
    ]
    assert "argument 'scale' stays at 2.0" in imported.source.notes
    sample = {"parts_0": rows(1, 3, 4), "parts_1": rows(2, 3, 4), "table_bias": rows(3, 4)}
    assert_reference(imported, tmp_path, [sample])
    masked = load("shapes.pt", *texts, "mask[batch,4]", "scale[]")
    more = {"mask": rows(5, 3, 4), "scale": np.asarray(0.25)}
    assert_reference(masked, tmp_path, [sample | more])


@pytest.mark.slow
def test_a_named_tuple_names_the_outputs(load: Imports, tmp_path: Path) -> None:
    imported = load("pair.pt", "x[2,3]")
    assert interface(imported)[1:] == ["left: float32[2,3]", "right: float32[2,3]"]
    assert_reference(imported, tmp_path, [{"x": rows(1, 2, 3)}])
    tree = load("tree.pt", "x[batch,3]", "pair_0[3,2]", "pair_1[2]")
    sample = {"x": rows(1, 5, 3), "pair_0": rows(2, 3, 2), "pair_1": rows(3, 2)}
    assert_reference(tree, tmp_path, [sample])


@pytest.mark.slow
def test_the_other_way_is_taken_where_the_first_does_not_do(load: Imports, tmp_path: Path) -> None:
    imported = load("rich.pt", "x[batch,8]", "batch=1..4")
    assert BY_PROGRAM in imported.source.notes
    assert any("aten::fft_rfft" in note for note in imported.source.notes)
    assert interface(imported)[0] == "x: float32[batch,8]"
    assert_reference(imported, tmp_path, [{"x": rows(n, n, 8)} for n in (1, 3, 4)])


@pytest.mark.slow
def test_code_that_only_its_configuration_branches_is_traced_at_fixed_sizes(
    load: Imports, tmp_path: Path
) -> None:
    imported = load("encoder.pt", "src[2,5,16]")
    assert BY_TRACE in imported.source.notes
    assert_reference(imported, tmp_path, [{"src": rows(n, 2, 5, 16)} for n in (1, 2)])
    with pytest.raises(UnsupportedError) as caught:
        load("encoder.pt", "src[batch,5,16]")
    assert "fix the free dimensions batch" in caught.value.diagnostics[-1].reason
    with pytest.raises(UnsupportedError, match="data decide on a branch"):
        load("search.pt", "x[2,4]", frontend=TorchScriptFrontend(route="trace"))


@pytest.mark.slow
def test_a_dtype_without_kernels_is_imported_unchecked(load: Imports) -> None:
    imported = load("brain.pt")
    assert interface(imported) == ["input: bfloat16[2,8]", "output: bfloat16[2,5]"]
    assert any("could not be checked here" in note for note in imported.source.notes)


@pytest.mark.slow
def test_what_no_way_can_express_names_operator_and_line(load: Imports) -> None:
    with pytest.raises(UnsupportedError) as caught:
        load("bessel.pt", "x[2,2]")
    lines = Path(__file__).with_name("torchscript_models.py").read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if "special.i0e" in text)
    first, second, third = caught.value.diagnostics
    assert first.op == "aten::special_i0e"
    assert f"torchscript_models.py:{line}" in first.reason
    assert "i0e" in second.op
    assert "i0e" in third.op
    assert first.way_out


@pytest.mark.slow
def test_a_buffer_that_a_call_changes(load: Imports) -> None:
    """Both exporters write the graph of a second call, which the check sees."""
    with pytest.raises(UnsupportedError, match="differs by 1 where") as caught:
        load("counting.pt", "x[2]")
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == ["EXPORT_WRONG"] * 3
    assert "every run is a first run" in caught.value.hint


@pytest.mark.slow
def test_a_module_traced_in_training_mode(load: Imports) -> None:
    with pytest.raises(
        InputError, match=r"aten::batch_norm at .*pytorch_models\.py:\d+ in forward"
    ) as caught:
        load("traced_in_training.pt")
    assert "eval()" in caught.value.hint


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "texts", "what", "hint"),
    [
        ("loop.pt", (), "'x', 'count'", "--input 'count[]{i64}'"),
        ("loop.pt", ("x[2,4]",), "'count'", "--input 'count[]{i64}'"),
        ("loop.pt", ("x[2,4]", "count[3]"), "one number", "count[]{int64}"),
        ("loop.pt", ("x[2,4]", "count[]", "n[]"), "no argument 'n'", "x, count"),
        ("shapes.pt", ("parts_0[4]",), "'table'", "table_KEY"),
        ("traced.pt", ("x[3,8,8]",), "traced with 4 dimensions", "a name where it is free"),
        ("frozen.ts", ("x[?,3,8,8]",), "open dimension", "a name if it is free"),
        ("frozen.ts", ("x[2,3,8]{i32}",), "fails on an input", ""),
    ],
)
def test_inputs_that_do_not_fit(
    load: Imports, name: str, texts: tuple[str, ...], what: str, hint: str
) -> None:
    with pytest.raises(Exception) as caught:
        load(name, *texts)
    assert what in str(caught.value)
    assert hint in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 4


def test_shapes_that_the_exporter_took_from_the_example_are_forgotten(load: Imports) -> None:
    imported = load("loop.pt", "x[batch,4]", "count[]")
    shapes = [value.shape for value in imported.model.graph.outputs]
    assert shapes == [ir.Shape([None, None])]


@pytest.mark.parametrize("options", [{"opset": 17}, {"opset": 21}, {"route": "magic"}])
def test_an_option_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        TorchScriptFrontend(**options)
