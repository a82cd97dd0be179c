"""``irconv explain``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from irconv.cli.options import changed_options, json_option, limit_options, source_options
from irconv.cli.output import emit_json, progress
from irconv.config import CompileOptions

if TYPE_CHECKING:
    from irconv.explanation import Explanation, Firing
    from irconv.passes.base import Refusal

_SHOWN = 10


@click.command("explain")
@click.argument("model")
@click.option(
    "--pass", "pass_", metavar="PASS", required=True, help="The pass to explain: a name or spec."
)
@click.option(
    "-t",
    "--target",
    metavar="T",
    help="Look at what this target runs, too: what it adds to -O 3, and its legalization.",
)
@source_options
@click.option("-O", "level", type=click.IntRange(0, 3), help="Optimization level. [default: 2]")
@click.option("--passes", metavar="SPEC", help="Passes to run instead of the level's pipeline.")
@click.option("--quantize", metavar="RECIPE", help="Quantization, such as weights-int8.")
@click.option("--prune", metavar="SPEC", help="Pruning, such as magnitude{sparsity=0.5}.")
@click.option("--all", "show_all", is_flag=True, help="Name every node, however many there are.")
@limit_options
@json_option
def command(
    model: str,
    pass_: str,
    target: str | None,
    show_all: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Say where a pass fired in MODEL, where it nearly did, and the first condition that failed.

    The pipeline of the level runs as far as the pass, with --target also what the target adds and
    its legalization. A pass that is in none of them runs behind the level's pipeline. Nothing is
    emitted, compared or written.
    """
    from irconv.explanation import explain_pass

    targets = () if target is None else (target,)
    options = dataclasses.replace(CompileOptions(), **changed_options(**given, targets=targets))
    with progress(quiet=as_json) as show:
        show(f"running the pipeline of {model} up to {pass_}")
        explanation = explain_pass(model, pass_, options)
    if as_json:
        emit_json(explanation.to_json())
    else:
        _print(explanation, show_all=show_all)


def _print(explanation: Explanation, *, show_all: bool) -> None:
    runs = explanation.runs
    click.echo(f"{explanation.spec}: {explanation.place}")
    before, after = runs[0].nodes_before, runs[-1].nodes_after
    times = "one run" if len(runs) == 1 else f"{len(runs)} runs"
    click.echo(f"{times}; {before} nodes before, {after} after")
    for record in runs:
        if record.error:
            click.echo(f"rolled back: {record.error}")
    most = None if show_all else _SHOWN
    origin = "" if explanation.told else ", as the difference of the graph shows"
    click.echo(f"fired: {_sites(len(explanation.fired))}{origin}")
    _print_some([_firing(firing) for firing in explanation.fired], most)
    total = sum(len(reason.refusals) for reason in explanation.refused)
    click.echo(f"nearly fired: {_sites(total)}")
    for reason in explanation.refused:
        click.echo(f"  {len(reason.refusals)} x {reason.reason}")
        in_full = any(refusal.reason != reason.reason for refusal in reason.refusals)
        _print_some([_refusal(item, in_full=in_full) for item in reason.refusals], most, "    ")


def _sites(count: int) -> str:
    return "one site" if count == 1 else f"{count or 'no'} sites"


def _print_some(lines: list[str], most: int | None, indent: str = "  ") -> None:
    for line in lines[:most]:
        click.echo(indent + line)
    if most is not None and len(lines) > most:
        click.echo(f"{indent}… and {len(lines) - most} more; --all names them")


def _firing(firing: Firing) -> str:
    became = ", ".join(f"{op} {name!r}" for name, op in firing.became)
    return f"{firing.op} {firing.node!r}" + (f" -> {became}" if became else "")


def _refusal(refusal: Refusal, *, in_full: bool) -> str:
    place = f"{refusal.op} {refusal.node!r}"
    return f"{place}: {refusal.reason}" if in_full else place
