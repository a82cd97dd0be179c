"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from irconv.config import CompileOptions, parse_bytes

__all__ = [
    "changed_options",
    "json_option",
    "judging_options",
    "limit_options",
    "max_ram_option",
    "python_option",
    "source_options",
    "target_option",
    "timeout_option",
]

_F = TypeVar("_F", bound=Callable[..., Any])


class _Size(click.ParamType[int]):
    """A size in bytes, such as ``4GiB``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return value if isinstance(value, int) else parse_bytes(value)


def json_option(function: _F) -> _F:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")(
        function
    )


def target_option(function: _F) -> _F:
    """Add ``--target``, which may be repeated."""
    return click.option(
        "-t",
        "--target",
        "targets",
        multiple=True,
        metavar="T",
        help="Target, such as onnx, openvino or trt{precision=fp16,sm=89}; may be repeated; "
        "'all' stands for every target that can be built here.",
    )(function)


def source_options(function: _F) -> _F:
    """Add the options that say how a source is read and on what it is run."""
    for option in reversed(
        (
            click.option(
                "--input",
                "inputs",
                multiple=True,
                metavar="SPEC",
                help="Shape and dtype of an input: 'x[1,3,224,224]{f32}'; may be repeated.",
            ),
            click.option(
                "--output-name",
                "outputs",
                multiple=True,
                metavar="NAME",
                help="A value of the source that is to be an output; may be repeated.",
            ),
            click.option(
                "--signature", metavar="NAME", help="Which of the source's signatures to read."
            ),
            click.option(
                "--frontend",
                metavar="SPEC",
                help="Frontend to read the source by, such as pytorch{opset=18}.",
            ),
            click.option(
                "--frontend-python",
                type=click.Path(exists=True, dir_okay=False),
                help="Interpreter of another environment, which has the source's framework.",
            ),
            click.option(
                "--shape",
                "shapes",
                multiple=True,
                metavar="DIM=RANGE",
                help="Range of a named dimension: batch=1..8@4, or batch=4 to bind it.",
            ),
            click.option(
                "--trust",
                is_flag=True,
                help="Run code that the source names. Only for sources that you trust.",
            ),
        )
    ):
        function = option(function)
    return function


def max_ram_option(text: str) -> Callable[[_F], _F]:
    """Return a decorator that adds ``--max-ram`` with its line of help."""
    return click.option("--max-ram", type=_Size(), metavar="SIZE", help=text)


def limit_options(function: _F) -> _F:
    """Add the limits of worker processes."""
    return timeout_option(max_ram_option("Memory a worker may use, such as 4GiB.")(function))


def timeout_option(function: _F) -> _F:
    """Add ``--timeout``."""
    return click.option(
        "--timeout", type=click.FloatRange(min=0.1), metavar="S", help="Seconds a step may take."
    )(function)


def judging_options(function: _F) -> _F:
    """Add the options that say on which inputs outputs are compared."""
    for option in reversed(
        (
            click.option(
                "--data", type=click.Path(), help="Real inputs: an .npz file, or a folder of them."
            ),
            click.option("--golden", type=click.Path(), help="Recorded goldens to judge by."),
            click.option(
                "--samples", type=click.IntRange(1, 100), help="Generated samples. [default: 3]"
            ),
            click.option("--seed", type=int, help="Seed of generated inputs. [default: 0]"),
        )
    ):
        function = option(function)
    return function


def python_option(function: _F) -> _F:
    """Add ``--python`` for commands that serve one bundle."""
    return click.option(
        "--python",
        type=click.Path(exists=True, dir_okay=False),
        help="Interpreter of another environment to run the bundle in.",
    )(function)


def changed_options(**given: Any) -> dict[str, Any]:
    """Return the options that the user gave: those not None, empty or at their default."""
    defaults = CompileOptions()
    return {
        name: value
        for name, value in given.items()
        if value is not None and value != () and value != getattr(defaults, name)
    }
