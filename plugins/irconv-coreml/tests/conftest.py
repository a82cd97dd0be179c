"""What several tests of the plugin share."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pytest
from irconv_coreml.reference import ReferenceModel
from irconv_coreml.sdk import load_coremltools

Arrays: TypeAlias = "dict[str, np.ndarray[Any, Any]]"
SaveProgram: TypeAlias = "Callable[..., Path]"
Command: TypeAlias = "Callable[..., Outcome]"
Interpret: TypeAlias = "Callable[..., Arrays]"


@pytest.fixture
def save_program(tmp_path: Path) -> SaveProgram:
    """Write a program made with MIL's builder; no pass of coremltools changes it."""

    def save(
        build: Callable[..., Mapping[str, Any]], inputs: Arrays, target: str = "iOS17"
    ) -> Path:
        coremltools = load_coremltools()
        from coremltools.converters.mil import mil

        kinds = {
            "float32": mil.types.fp32, "float16": mil.types.fp16, "int32": mil.types.int32,
        }  # fmt: skip
        placeholders = {
            name: mil.Placeholder(array.shape, dtype=kinds[array.dtype.name])
            for name, array in inputs.items()
        }
        program = mil.Program()
        opset = getattr(coremltools.target, target)
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            with mil.Function(placeholders, opset_version=opset) as function:
                built = build(mil.Builder, **function.inputs)
                function.set_outputs(
                    [mil.Builder.identity(x=value, name=name) for name, value in built.items()]
                )
            program.add_function("main", function)
            model = coremltools.convert(
                program,
                convert_to="mlprogram",
                minimum_deployment_target=opset,
                compute_precision=coremltools.precision.FLOAT32,
                pass_pipeline=coremltools.PassPipeline.EMPTY,
                skip_model_load=True,
            )
            path = tmp_path / "program.mlpackage"
            model.save(str(path))
        return path

    return save


@pytest.fixture
def interpret(save_program: SaveProgram) -> Interpret:
    """Write a program made with MIL's builder, and run it in the reference interpreter."""

    def run(
        build: Callable[..., Mapping[str, Any]], inputs: Arrays, target: str = "iOS17"
    ) -> Arrays:
        path = save_program(build, inputs, target)
        return ReferenceModel(path, {}).predict("", inputs)

    return run


class Outcome(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture
def irconv_cli(capfd: pytest.CaptureFixture[str]) -> Command:
    """Run the command line in this process."""
    from irconv.cli.main import run

    def call(*arguments: object) -> Outcome:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call
