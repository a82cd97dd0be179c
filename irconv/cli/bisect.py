"""``irconv bisect``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from irconv.cli.options import (
    changed_options,
    json_option,
    judging_options,
    limit_options,
    source_options,
)
from irconv.cli.output import emit_json, progress
from irconv.config import CompileOptions
from irconv.errors import ExitCode

if TYPE_CHECKING:
    from irconv.bisection.result import Bisection


@click.command("bisect")
@click.argument("model")
@click.option("-t", "--target", metavar="T", required=True, help="The target to look at.")
@click.option(
    "--broken", metavar="NAME", help="The output to look at. [default: the first that differs]"
)
@source_options
@click.option("-O", "level", type=click.IntRange(0, 3), help="Optimization level. [default: 2]")
@click.option("--passes", metavar="SPEC", help="Passes to run instead of the level's pipeline.")
@click.option("--quantize", metavar="RECIPE", help="Quantization, such as weights-int8.")
@click.option("--prune", metavar="SPEC", help="Pruning, such as magnitude{sparsity=0.5}.")
@judging_options
@click.option(
    "--python",
    type=click.Path(exists=True, dir_okay=False),
    help="Interpreter of another environment for the target's worker.",
)
@limit_options
@json_option
def command(
    model: str,
    target: str,
    broken: str | None,
    python: str | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Find which pass, which rewrite in it and which tensor broke an output of MODEL.

    MODEL and the options are those of a `compile` whose outputs differ. Nothing is published. Exit
    code 1 if an output differs, 0 if none does.
    """
    from irconv.bisection.bisect import bisect_model
    from irconv.spec import parse_spec

    interpreters = {parse_spec(target).name: python} if python else None
    options = dataclasses.replace(
        CompileOptions(), **changed_options(**given, targets=(target,), python=interpreters)
    )
    with progress(quiet=as_json) as show:
        result = bisect_model(model, options, output=broken, progress=show)
    if as_json:
        emit_json(result.to_json())
    else:
        _print(result)
    return int(ExitCode.OK if result.culprit == "none" else ExitCode.MISMATCH)


def _print(result: Bisection) -> None:
    click.echo(f"target {result.target}: {result.summary}")
    if result.output is not None:
        click.echo(f"  output: {result.output.name!r}: {result.output.reason}")
    if result.pass_:
        click.echo(f"  pass:   {result.pass_}, round {result.round} of {result.stage}")
    if result.site is not None:
        became = ", ".join(f"{op} {node!r}" for node, op in result.site.nodes)
        origin = (
            ""
            if result.site.found_by == "count"
            else " (the pass does not count its rewrites; read from the graph)"
        )
        arrow = f" -> {became}" if became else ""
        click.echo(f"  site:   {result.site.op} {result.site.node!r}{arrow}{origin}")
    elif result.pass_:
        click.echo("  site:   could not be told: the pass changed no node")
    if result.tensor is not None:
        tensor = result.tensor
        distance = "NaN or infinity" if tensor.max_abs is None else f"{tensor.max_abs:.3g}"
        click.echo(
            f"  tensor: {tensor.name!r}, computed by {tensor.op} {tensor.node!r}, is the first "
            f"that is off: by {distance}, allowed is {tensor.limit:.3g}"
        )
    if result.note:
        click.echo(f"  note:   {result.note}")
    if result.way_out:
        click.echo(f"  next:   {result.way_out}")
    click.echo(f"found in {result.runs} runs of some state of the model", err=True)
