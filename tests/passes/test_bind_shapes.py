"""bind-shapes: what it refuses, and sizes from both sources."""

from __future__ import annotations

import onnx_ir as ir
import pytest

from irconv.errors import InputError, UsageError
from irconv.graph.text import format_model
from irconv.passes.base import PassContext
from irconv.passes.bind_shapes import BindShapes
from irconv.shapes import parse_shapes
from irconv.spec import parse_spec

TEXT = """
< ir_version: 10, opset_import: ["" : 20] >
g (float[batch, seq, 4] x, float[?, 3] z) => (float[batch, seq, 4] y) { y = Relu (x) }
"""


def parse() -> ir.Model:
    return ir.from_onnx_text(TEXT)


def bind(*dims: str, shapes: str = "") -> ir.Model:
    model = parse()
    BindShapes(dims=dims).run(model, PassContext(shapes=parse_shapes([shapes])))
    return model


def sizes(model: ir.Model, name: str) -> list[object]:
    value = next(item for item in model.graph.inputs if item.name == name)
    assert value.shape is not None
    return [dim if isinstance(dim, int) else dim.value for dim in value.shape]


def test_options_and_ranges_are_added_up() -> None:
    model = bind("batch=2", "z[0]=5", shapes="seq=7")
    assert sizes(model, "x") == [2, 7, 4]
    assert sizes(model, "z") == [5, 3]


def test_an_open_range_is_not_bound() -> None:
    assert sizes(bind(shapes="batch=1..8@4"), "x") == ["batch", "seq", 4]


@pytest.mark.parametrize(
    ("dims", "shapes", "reason"),
    [
        (["bach=2"], "", "its named dimensions are: batch, seq"),
        (["batch=2"], "batch=3", "cannot be both 2 and 3"),
        (["batch=2", "x[0]=3"], "", "cannot be both 2 and 3"),
        (["x[2]=5"], "", "the model fixes it to 4"),
        (["x[3]=5"], "", "has rank 3"),
        (["w[0]=5"], "", "no input of the model has a dimension named 'w[0]'"),
        (["z[0]=5", "z[0]=6"], "", "cannot be both 5 and 6"),
    ],
)
def test_what_cannot_be_bound_is_bad_input(dims: list[str], shapes: str, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        bind(*dims, shapes=shapes)
    assert reason in str(caught.value)


def test_a_failure_changes_nothing() -> None:
    model = parse()
    with pytest.raises(InputError):
        BindShapes(dims=("batch=2", "unknown=3")).run(model, PassContext())
    assert format_model(model) == format_model(parse())


@pytest.mark.parametrize("text", ["batch", "batch=", "batch=0", "batch=-1", "=3", "batch=x"])
def test_a_wrong_text_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        BindShapes.from_options({"dims": (text,)})


def test_the_spec_reads_back() -> None:
    made = BindShapes(dims=("batch=4", "x[0]=2"))
    assert BindShapes.from_options(parse_spec(str(made)).options) == made


def test_expressions_are_evaluated_only_where_all_names_are_bound() -> None:
    model = parse()
    output = model.graph.outputs[0]
    output.shape = ir.Shape(["2*batch + 1", "batch*seq", "__import__('os')"])
    BindShapes(dims=("batch=3",)).run(model, PassContext())
    assert output.shape is not None
    assert next(iter(output.shape)) == 7
    assert [str(dim) for dim in list(output.shape)[1:]] == ["batch*seq", "__import__('os')"]
